"""CSV files as people write them: quotes that are left open, rows with too much or too little."""

import csv
import logging
from pathlib import Path

import pytest

from corpus.errors import CorpusError, InvalidRecord
from corpus.passages.corpora import PassageStream, open_corpus


def stream_of(path: Path, text: str) -> PassageStream:
    path.write_text(text, "utf-8")
    return open_corpus(path).read(skip_bad=True)


def read(path: Path, text: str) -> tuple[list[tuple[str, str]], list[int]]:
    """Return (id, text) of what is read, and the lines of what is not."""
    stream = stream_of(path, text)
    rows = [(passage.id, passage.text) for passage in stream]
    assert all(isinstance(error, InvalidRecord) for error in stream.bad)
    return rows, [error.line for error in stream.bad if isinstance(error, InvalidRecord)]


HEAD = "id,title,text\n"


def test_behind_a_row_that_is_not_csv_reading_goes_on(tmp_path: Path) -> None:
    rows, bad = read(
        tmp_path / "a.csv",
        HEAD + '1,A,one\n2,B,"Two" it begins\n3,C,three\n4,"D"x,four\n5,E,five\n',
    )
    assert rows == [("1", "one"), ("3", "three"), ("5", "five")]
    assert bad == [3, 5]


def test_a_quote_that_is_never_closed_takes_one_row(tmp_path: Path) -> None:
    text = HEAD + '1,A,one\n2,B,"two\n' + "".join(f"{n},T,text {n}\n" for n in range(3, 40))
    rows, bad = read(tmp_path / "a.csv", text)
    assert [id_ for id_, _ in rows] == ["1", *map(str, range(3, 40))]
    assert bad == [3]


def test_a_quote_left_open_and_a_field_in_quotes_behind_it(tmp_path: Path) -> None:
    rows, bad = read(
        tmp_path / "a.csv",
        HEAD + '1,A,"one\n2,B,two\n3,C,"three, quoted\nover two lines"\n4,D,four\n',
    )
    assert rows == [("2", "two"), ("3", "three, quoted\nover two lines"), ("4", "four")]
    assert bad == [2]


def test_an_open_quote_in_a_middle_column(tmp_path: Path) -> None:
    rows, bad = read(tmp_path / "a.tsv", 'id\ttitle\ttext\n1\t"A\tone\n2\tB\ttwo"\n3\tC\tthree\n')
    assert rows == [("1", "one"), ("2", 'two"'), ("3", "three")]
    assert bad == []
    rows, bad = read(tmp_path / "b.csv", HEAD + '1,"A,one\nx\n2,B,two"\n3,C,three\n')
    assert (rows, bad) == ([("2", 'two"'), ("3", "three")], [2, 3])


@pytest.mark.parametrize("delimiter", ["\t", ","])
def test_rows_between_two_stray_quotes_at_the_ends_of_lines_are_said(
    tmp_path: Path, delimiter: str, caplog: pytest.LogCaptureFixture
) -> None:
    lines = ["id,title,text", "1,A,one", '2,B,"Two', "3,C,three", '4,D,four 5"', "5,E,five"]
    text = "\n".join(lines).replace(",", delimiter) + "\n"
    with caplog.at_level(logging.WARNING):
        rows, bad = read(tmp_path / "a.csv", text)
    taken = "\n".join(["Two", *lines[3:4], "4,D,four 5"]).replace(",", delimiter)
    assert rows == [("1", "one"), ("2", taken), ("5", "five")]
    assert bad == []
    assert "lines 3 to 5 are one row by their quotes" in caplog.text
    assert "read as one" in caplog.text


@pytest.mark.parametrize("dialect", ["excel", "excel-tab", "unix"])
def test_what_a_writer_of_csv_wrote_is_read_as_it_was(tmp_path: Path, dialect: str) -> None:
    table = [
        ["1", "Rounds", "Results of the games:\n2,Lyon,Paris\n3,Nice,Metz"],
        ["2", "Rounds", "1,Lyon,Paris\n2,Nice,Metz"],
        ["q3", "Codes", "The list is this:\nr2,France,Paris\nr3,Spain,Madrid"],
        ["q4", "a,b\nq5,c", 'He said\n"no".'],
        ["5", "Tabs", "6\tB\tsix\n7\tC\tseven"],
        ["8", "Tea", "A drink."],
    ]
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, dialect).writerows([["id", "title", "text"], *table])
    stream = open_corpus(path).read()
    assert [[p.id, p.title, p.text] for p in stream] == table


def test_some_lines_that_look_like_rows_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = HEAD + '1,A,one\n2,B,"Two\n3,C,three\nand more, of it"\n5,E,five\n'
    with caplog.at_level(logging.WARNING):
        rows, bad = read(tmp_path / "a.csv", text)
    assert [id_ for id_, _ in rows] == ["1", "2", "5"]
    assert bad == []
    assert "lines 3 to 5 are one row by their quotes" in caplog.text


def test_text_over_several_lines_stays_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = HEAD + 'Kenya,Kenya,"Nairobi,\nMombasa, Kisumu, Eldoret\n\n1, 2, 3"\n2,B,two\n'
    with caplog.at_level(logging.WARNING):
        rows, bad = read(tmp_path / "a.csv", text)
    assert rows == [("Kenya", "Nairobi,\nMombasa, Kisumu, Eldoret\n\n1, 2, 3"), ("2", "two")]
    assert bad == []
    caplog.clear()
    assert read(tmp_path / "b.csv", HEAD + '1,A,"one\n\ntwo"\n')[0] == [("1", "one\n\ntwo")]
    assert caplog.text == ""


def test_text_that_an_unquoted_comma_cuts_is_refused(tmp_path: Path) -> None:
    stream = stream_of(tmp_path / "a.csv", HEAD + "1,A,one, and more\n2,B,two,,\n")
    assert [passage.text for passage in stream] == ["two"]
    assert "line 2: has 4 fields, the first line 3" in str(stream.bad[0])


def test_a_first_line_that_is_not_csv_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"id,title,text\r1,A,one\r2,B,two\r")
    with pytest.raises(CorpusError, match="in no known format"):
        open_corpus(tmp_path / "a.csv")
    with pytest.raises(CorpusError, match="its first line is not CSV"):
        list(open_corpus(tmp_path / "a.csv", format_name="csv").read())


@pytest.mark.parametrize("header", ["id,text,text", "id,text,title,title", "_id,_id,text"])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{header}\n1,one,two,three\n", "utf-8")
    with (
        pytest.raises(InvalidRecord, match="there twice") as raised,
        open_corpus(path).read() as passages,
    ):
        list(passages)
    assert raised.value.line == 1 and raised.value.field in ("id", "text", "title")


def test_a_column_that_nobody_reads_may_be_there_twice(tmp_path: Path) -> None:
    rows, bad = read(tmp_path / "t.csv", "id,text,note,note\n1,one,x,y\n")
    assert rows == [("1", "one")] and not bad


def test_a_value_longer_than_what_is_looked_at_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": "' + "a" * 100_000 + '", "text": "t"}\n', "utf-8")
    with pytest.raises(CorpusError, match="the value of 'id' in its first object goes on"):
        open_corpus(path)


@pytest.mark.parametrize("mark", [";", ",", "|", "\t"])
def test_a_line_that_says_what_separates_columns_is_no_header(tmp_path: Path, mark: str) -> None:
    header, rows = ("id", "text", "title"), [("1", "Nairobi, a city", "Kenya"), ("2", "", "Peru")]
    lines = [f"sep={mark}", mark.join(header)]
    lines += [mark.join(f'"{cell}"' for cell in row) for row in rows]
    (tmp_path / "p.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    stream = open_corpus(tmp_path / "p.csv").read(skip_bad=True)
    assert [(p.id, p.title, p.text) for p in stream] == [("1", "Kenya", "Nairobi, a city")]
    assert ["line 4" in str(error) for error in stream.bad] == [True]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_a_spreadsheet_exports_is_read(tmp_path: Path, encoding: str) -> None:
    """With semicolons where commas stand in numbers, columns without names, and empty rows."""
    text = 'id;title;text;;\r\n1;Kenya;"Nairobi; 4,4 million";;\r\n;;;;\r\n2;;"Lima,\r\nPeru";;\r\n'
    (tmp_path / "p.csv").write_bytes(text.encode(encoding))
    passages = list(open_corpus(tmp_path / "p.csv").read())
    assert [(p.id, p.title, " ".join(p.text.split())) for p in passages] == [
        ("1", "Kenya", "Nairobi; 4,4 million"),
        ("2", "", "Lima, Peru"),
    ]

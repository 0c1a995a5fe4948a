"""Records that cannot be used are named, or skipped and listed; what is no corpus says so."""

import json
from pathlib import Path

import pytest

from corpus.errors import CorpusError, DatasetNotFound, InvalidRecord
from corpus.passages import corpora
from corpus.passages.corpora import open_corpus
from corpus.passages.policy import PassagePolicy
from tests import corpus_files as make


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# name: (maker, format, passages)


BAD = {
    "not JSON": ("p.jsonl", b'{"id":"a","title":"t","text":"x"}\n{"id":\n', r"line 2: not JSON"),
    "a field too few": (
        "p.jsonl",
        b'{"id":"a","title":"t","text":"x"}\n{"id":"b","title":"t","txt":"x"}\n',
        r"line 2, field 'text': missing",
    ),
    "wrong encoding": (
        "p.jsonl",
        b'{"id":"a","title":"t","text":"x"}\n{"id":"b","title":"t","text":"\xe4"}\n',
        r"line 2: not UTF-8",
    ),
    "the same id twice": (
        "p.jsonl",
        b'{"id":"a","title":"t","text":"x"}\n{"id":"a","title":"t","text":"y"}\n',
        r"record 2, field 'id': 'a#0'",
    ),
    "csv with a row cut": ("g.csv", b"kid,text\n0,one\n1\n", r"line 3, field 'text': missing"),
    "csv in latin-1": ("g.csv", b"kid,text\n0,one\n1,\xe4\n", r"line 3, field 'text': not UTF-8"),
    "csv with a kid that is none": ("g.csv", b"kid,text\n0,a\nx,b\n", r"line 3, field 'kid'.*'x'"),
    "csv with an open quote": ("g.csv", b'kid,text\n0,one\n1,"two\n', r"line 3: .*quote"),
    "kb without texts": (
        "kb.json",
        b'{"https://a": {"title":"A","section_titles":["A"],"section_texts":["x"]},'
        b'"https://b": {"title":"B","section_titles":["B"]}}',
        r"page 2, field 'section_texts'.*https://b",
    ),
    "kb with sections that do not match": (
        "kb.json",
        b'{"https://a": {"title":"A","section_titles":["A"],"section_texts":["x"]},'
        b'"https://b": {"title":"B","section_titles":["B","C"],"section_texts":["x"]}}',
        r"page 2, field 'section_texts': has 1 entries but section_titles has 2",
    ),
    "kb cut short": (
        "kb.json",
        b'{"https://a": {"title":"A","section_titles":["A"],"section_texts":["x"]},'
        b'"https://b": {"title":"B","sect',
        r"page 2: the JSON ends or breaks off here",
    ),
    "wiki6m without titles": (
        "w.jsonl",
        b'{"wikidata_id":"Q1","wikipedia_title":"t","wikipedia_content":"x"}\n'
        b'{"wikidata_id":"Q2","wikipedia_content":"x"}\n',
        r"line 2, field 'wikipedia_title': missing",
    ),
    "dump with broken XML": (
        "w.xml",
        make.dump([("A", "x")]) + b"  <page>\n    <title>B</titel>\n  </page>\n",
        r"page 2: not XML",
    ),
    "dump without a title": (
        "w.xml",
        make.dump([("A", "x")]) + b"  <page>\n    <ns>0</ns><id>2</id>\n  </page>\n",
        r"page 2, field 'title'",
    ),
    "dump with a page left open": (
        "w.xml",
        make.dump([("A", "x")]).replace(b"  </page>\n", b"") + make.dump_page(2, "B", "y"),
        r"page 1: it has no </page>",
    ),
    "dump cut short": (
        "w.xml",
        make.dump([("A", "x"), ("B", "y")])[:-20],
        r"page 2: the file ends within this page",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_records_are_named(tmp_path: Path, case: str) -> None:
    name, content, message = BAD[case]
    path = written(tmp_path / name, content)
    with pytest.raises(CorpusError, match=f"{name}.*{message}"):
        list(open_corpus(path, policy=PassagePolicy(by="section")).read())


@pytest.mark.parametrize("case", BAD)
def test_bad_records_are_skipped_and_listed(tmp_path: Path, case: str) -> None:
    name, content, _ = BAD[case]
    stream = open_corpus(
        written(tmp_path / name, content), policy=PassagePolicy(by="section")
    ).read(skip_bad=True)

    assert len(list(stream)) == 1
    assert len(stream.bad) == 1


def test_reading_goes_on_behind_a_bad_record(tmp_path: Path) -> None:
    rows = [json.dumps({"id": f"p{n}", "text": f"Text number {n}."}) for n in range(9)]
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join([*rows[:3], "{oops", *rows[3:]]))
    stream = open_corpus(path).read(skip_bad=True)

    assert [p.id for p in stream] == [f"p{n}" for n in range(9)]
    assert str(stream.bad[0]).startswith(f"{path}, line 4: not JSON")


def test_what_is_no_corpus_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match="does not exist"):
        open_corpus(tmp_path / "none.jsonl")
    with pytest.raises(DatasetNotFound, match="has no"):
        open_corpus(tmp_path)
    with pytest.raises(CorpusError, match=r"no known format: the keys .* are a, b"):
        open_corpus(written(tmp_path / "x.jsonl", b'{"a": 1, "b": 2}\n'))
    with pytest.raises(CorpusError, match="no known format"):
        open_corpus(written(tmp_path / "y.csv", b"a,b\n1,2\n"))
    with pytest.raises(CorpusError, match=r"z\.text is in no known format.*ends in \.txt"):
        open_corpus(written(tmp_path / "z.text", b"Paris is the capital.\n"))
    for array in (b"[]", b"\xef\xbb\xbf\n[\n1, 2]\n"):
        with pytest.raises(CorpusError, match=r"list\.json begins like a JSON array, but not like"):
            open_corpus(written(tmp_path / "list.json", array))
    for nothing in (b"", b"\n \n", b"\xef\xbb\xbf"):
        with pytest.raises(CorpusError, match=r"none\.csv is empty"):
            open_corpus(written(tmp_path / "none.csv", nothing))
    with pytest.raises(CorpusError, match="'xml'"):
        open_corpus(tmp_path / "y.csv", format_name="xml")


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_an_array_is_read_an_object_at_a_time(
    tmp_path: Path, mark: bytes, indent: int | None
) -> None:
    rows = [{"id": 1, "text": "Łódź."}, {"id": "2"}, 3, {"id": "4", "text": "b", "title": None}]
    text = json.dumps(rows, ensure_ascii=False, indent=indent).encode()
    stream = open_corpus(written(tmp_path / "list.json", mark + text)).read(skip_bad=True)
    assert [(p.id, p.text) for p in stream] == [("1", "Łódź."), ("4", "b")]
    path = tmp_path / "list.json"
    assert [str(error) for error in stream.bad] == [
        f"{path}, record 2, field 'text': missing; add it as a non-empty string",
        f"{path}, record 3: must be a JSON object like {{...}}",
    ]
    assert stream.bytes_done == stream.bytes_total


def test_an_array_that_breaks_off_is_read_up_to_there(tmp_path: Path) -> None:
    path = written(tmp_path / "list.json", b'[{"id": "1", "text": "x"}, {"id": "2", "te')
    stream = open_corpus(path).read(skip_bad=True)
    assert [p.id for p in stream] == ["1"]
    assert "record 2: the JSON breaks off" in str(stream.bad[0])


def test_a_text_as_long_as_a_file_is_no_passage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "MOST_CHARACTERS", 50)
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"id": "1", "text": "word " * 20}) + "\n")
    with pytest.raises(InvalidRecord, match=r"has 99 characters, and at most 50.*--by tokens"):
        list(open_corpus(path).read())
    shorter = PassagePolicy(by="tokens", size=5, overlap=0)
    assert len(list(open_corpus(path, policy=shorter).read())) == 4

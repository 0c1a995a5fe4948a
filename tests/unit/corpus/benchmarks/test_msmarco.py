import gzip
from pathlib import Path

import pytest

from corpus.benchmarks.msmarco import read_triples
from corpus.errors import InvalidRecord

LINES = "what is kenya\tA country.\tA river.\n\nwhat is nile\tA river.\tA country.\n"


@pytest.mark.parametrize("name", ["triples.tsv", "triples.tsv.gz"])
def test_a_text_is_one_passage_wherever_it_stands(tmp_path: Path, name: str) -> None:
    data = LINES.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    first, second = read_triples(tmp_path / name)
    assert first.question == "what is kenya"
    assert (first.positive, first.negative) == (second.negative, second.positive)
    assert first.positive.text == "A country."


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"a\tb\n", "line 2: has 2 columns, not 3: question, positive"),
        (b"a\t\tc\n", "line 2, field 'positive passage': empty"),
        (b"a\tb\t\xff\n", "line 2: is not UTF-8"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    (tmp_path / "t.tsv").write_bytes(b"a\tb\tc\n" + line)
    with pytest.raises(InvalidRecord, match=said):
        list(read_triples(tmp_path / "t.tsv"))

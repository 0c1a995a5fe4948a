"""What is almost a file of passages: what is to be mended is said."""

from pathlib import Path

import pytest

from corpus.formats.recognise import UnknownFormat, recognise


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("p.jsonl", '{"title": "A", "text": "b"}\n', "'id' is missing"),
        ("p.jsonl", '{"id": "1", "content": "b"}\n', "'text' is missing"),
        ("p.jsonl", '{"ID": "1", "Text": "b"}\n', "call 'ID' 'id' and call 'Text' 'text'"),
        ("p.csv", "ID,Title,Text\n1,A,b\n", "call 'ID' 'id' and call 'Title' 'title' and "),
        ("p.csv", "id,Title,text\n1,A,b\n", "call 'Title' 'title'"),
        ("p.tsv", "title\ttext\nA\tb\n", "'id' is missing"),
    ],
)
def test_what_is_to_be_mended_is_said(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UnknownFormat) as refused:
        recognise(tmp_path / name)
    assert says in str(refused.value)
    assert "wikipedia-dump" not in str(refused.value)


def test_what_is_nothing_like_passages_gets_the_list(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"question": "a"}\n')
    with pytest.raises(UnknownFormat, match=r"Known are passages .*wikipedia-dump"):
        recognise(tmp_path / "a.jsonl")

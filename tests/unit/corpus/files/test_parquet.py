"""Parquet files: rows by their row group, and damage that leaves the rest readable."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus.errors import CorpusError, InvalidRecord
from corpus.passages.corpora import open_corpus
from tests import corpus_files as make


def test_rows_of_parquet_files_are_named_by_row_group(tmp_path: Path) -> None:
    rows = [{"passage_id": str(n), "passage_content": f"text {n}"} for n in range(5)]
    rows[4]["passage_content"] = None  # type: ignore[assignment]
    path = make.parquet(tmp_path / "test_passages-00000-of-00001.parquet", rows)
    with pytest.raises(InvalidRecord, match=r"row group 1, row 1, field 'passage_content'.*None"):
        list(open_corpus(path).read())


def test_a_parquet_schema_that_changed_is_named(tmp_path: Path) -> None:
    path = make.parquet(tmp_path / "x.parquet", [{"id": "1", "body": "x"}])
    with pytest.raises(CorpusError, match="columns are id, body"):
        open_corpus(path)
    with pytest.raises(CorpusError, match=r"no column 'passage_id', 'passage_content'; it has id"):
        list(open_corpus(path, format_name="m2kr").read())


def test_a_parquet_file_cut_short_is_named(tmp_path: Path) -> None:
    path = make.m2kr_passages(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorpusError, match="not a whole parquet file"):
        open_corpus(path)


def test_a_damaged_row_group_is_named(tmp_path: Path) -> None:
    path = make.m2kr_passages(tmp_path)
    data = bytearray(path.read_bytes())
    data[4:120] = bytes(116)
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=r"row group 0: cannot be read after row 0"):
        list(open_corpus(path).read())


def test_behind_a_damaged_row_group_reading_goes_on(tmp_path: Path) -> None:
    path = make.m2kr_passages(tmp_path)
    data = bytearray(path.read_bytes())
    data[4:120] = bytes(116)
    path.write_bytes(data)
    stream = open_corpus(path).read(skip_bad=True)
    passages = [passage.id for passage in stream]
    assert passages == [f"WikiWeb_{n}" for n in range(3, 8)]
    assert len(stream.bad) == 1
    assert "row group 0: cannot be read after row 0 of 3" in str(stream.bad[0])


def test_bytes_of_a_parquet_file_that_are_not_utf8(tmp_path: Path) -> None:
    good = pa.array(["text a", "text b", "text c"])
    offsets = good.buffers()[1]
    texts = pa.Array.from_buffers(
        pa.string(), 3, [None, offsets, pa.py_buffer(b"text atext \xe9text c")]
    )
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"passage_id": ["1", "2", "3"], "passage_content": texts}), path)
    stream = open_corpus(path).read(skip_bad=True)
    assert [(passage.id, passage.text) for passage in stream] == [("1", "text a"), ("3", "text c")]
    assert len(stream.bad) == 1
    assert "record 2, field 'text': holds bytes that are not UTF-8" in str(stream.bad[0])

"""Folders of which a part is missing, or linked, are not taken for something else."""

import logging
from pathlib import Path

import pytest

from corpus.benchmarks.m2kr import read_m2kr
from corpus.corpora import open_corpus
from corpus.datasets import dataset, missing_files
from corpus.errors import DatasetNotFound
from corpus.folders import corpus_files, lacking
from tests import corpus_files as make

TEXT = "A text that is long enough to be kept by the policy of pages."


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(TEXT)
    return [folder / name for name in names]


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        (["test-00000-of-00002.parquet", "test-00001-of-00002.parquet"], []),
        (["test-00000-of-00002.parquet"], ["test-00001-of-00002.parquet"]),
        (["test-00001-of-00002.parquet"], ["test-00000-of-00002.parquet"]),
        (["a-1-of-3.jsonl.gz", "a-3-of-3.jsonl.gz"], ["a-2-of-3.jsonl.gz"]),
        (["a_0_of_2.csv", "b_0_of_1.csv"], ["a_1_of_2.csv"]),
        (["t-0-of-2-3ec1.parquet", "t-1-of-2-9ab2.parquet"], []),
        (["w2024-00000-of-00001.parquet"], []),
        (["w.xml-p1p41242.bz2", "w.xml-p41243p151573.bz2"], []),
        (["w.xml-p000000010p000030302", "w.xml-p000030304p000088444"], []),
        (["w.xml-p1p41242.bz2", "w.xml-p151574p311329.bz2"], ["pages 41,243 to 151,573"]),
        (["w.xml-p41243p151573.bz2"], ["pages 1 to 41,242"]),
        (["a.jsonl", "b.jsonl"], []),
    ],
)
def test_parts_that_are_missing_are_named(
    tmp_path: Path, there: list[str], missing: list[str]
) -> None:
    found = lacking(touch(tmp_path, *there))
    assert len(found) == len(missing)
    assert all(name in text for name, text in zip(missing, found, strict=True))


def test_a_folder_without_a_part_is_refused(tmp_path: Path) -> None:
    first = make.m2kr_passages(tmp_path / "P")
    path = first.rename(first.with_name("test_passages-00000-of-00003.parquet"))
    with pytest.raises(DatasetNotFound, match=r"00001-of-00003\.parquet; .*00002-of-00003"):
        open_corpus(tmp_path / "P")
    # Named by itself it is read, and is not called the whole.
    assert open_corpus(path).name == "test_passages-00000-of-00003"
    assert len(list(open_corpus(path).read())) == 8


def test_a_link_to_nothing_and_an_unfinished_download_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "links", "a.md")
    (tmp_path / "links" / "b.md").symlink_to("../blobs/gone")
    with pytest.raises(DatasetNotFound, match=r"b\.md \(a link to \.\./blobs/gone, which is not"):
        corpus_files(tmp_path / "links")
    touch(tmp_path / "parts", "a.jsonl", "b.jsonl.gz.part", "notes.txt.part")
    with pytest.raises(DatasetNotFound, match=r"b\.jsonl\.gz\.part \(a download that is not"):
        corpus_files(tmp_path / "parts")


def test_what_is_no_data_may_be_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (file,) = touch(tmp_path, "a.md")
    (tmp_path / "elsewhere").symlink_to("gone")
    with caplog.at_level(logging.WARNING):
        assert corpus_files(tmp_path) == [file]
    assert "elsewhere is a link that leads nowhere" in caplog.text


def test_linked_folders_are_read_once(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/b.md", "pages/a.md", "pages/z/c.md", "pages/.git/d.md")
    (tmp_path / "pages" / "more").symlink_to("../elsewhere")
    (tmp_path / "pages" / "again").symlink_to("z")  # the folder itself comes first
    (tmp_path / "pages" / "z" / "round").symlink_to("..")
    (tmp_path / "pages" / "e.md").symlink_to("../elsewhere/b.md")
    found = corpus_files(tmp_path / "pages")
    names = [str(path.relative_to(tmp_path / "pages")) for path in found]
    assert names == ["a.md", "e.md", "more/b.md", "z/c.md"]
    ids = [passage.id for passage in open_corpus(tmp_path / "pages").read()]
    assert ids == ["a.md#0.0", "e.md#0.0", "more/b.md#0.0", "z/c.md#0.0"]


def test_a_dataset_in_part_is_not_there(tmp_path: Path) -> None:
    wanted = dataset("m2kr-okvqa")
    folder = tmp_path / "m2kr" / "OKVQA_passages"
    path = make.m2kr_passages(folder)
    make.parquet(tmp_path / "m2kr" / "OKVQA_data" / "test-00000-of-00001.parquet", [{"a": 1}])
    assert missing_files(wanted, tmp_path) == []
    path.rename(folder / "test_passages-00000-of-00002.parquet")
    (missing,) = missing_files(wanted, tmp_path)
    assert missing == str(folder / "test_passages-00001-of-00002.parquet")
    Path(missing).symlink_to("gone")
    assert "a link to gone" in missing_files(wanted, tmp_path)[0]


def test_questions_of_which_a_part_is_missing_are_refused(tmp_path: Path) -> None:
    make.parquet(tmp_path / "OKVQA_data" / "test-00001-of-00002.parquet", [{"question_id": "1"}])
    with pytest.raises(DatasetNotFound, match=r"test-00000-of-00002\.parquet"):
        list(read_m2kr(tmp_path, "okvqa"))


def test_a_dump_that_ends_early_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "w.xml"
    whole = make.dump([("A", TEXT), ("B", TEXT)]) + b"</mediawiki>\n\n"
    for content, said in ((whole, False), (whole[:-15], True)):
        path.write_bytes(content)
        with caplog.at_level(logging.WARNING):
            assert len(list(open_corpus(path).read())) == 2
        assert ("ends behind a whole page, but without </mediawiki>" in caplog.text) is said


def test_a_folder_of_plain_texts_says_what_is_read_and_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Paris.")
    (tmp_path / "b.docx").write_bytes(b"PK")
    with pytest.raises(DatasetNotFound) as caught:
        corpus_files(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} has no .jsonl, .json, .parquet, .csv, .tsv, .xml, .md, .markdown files; it "
        "has .docx, .txt. Check the path, or rename: plain text is read as Markdown where a "
        "file's name ends in .md"
    )
    (tmp_path / "a.txt").rename(tmp_path / "a.md")
    assert corpus_files(tmp_path) == [tmp_path / "a.md"]

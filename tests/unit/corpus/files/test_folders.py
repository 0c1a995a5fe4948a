"""Folders of which a part is missing, or linked, are not taken for something else."""

import json
import logging
from pathlib import Path

import pytest

from app.commands.corpus_options import _listed
from corpus.benchmarks.datasets import dataset, missing_files
from corpus.benchmarks.m2kr import read_m2kr
from corpus.errors import DatasetNotFound
from corpus.files.folders import corpus_files, lacking
from corpus.passages.corpora import open_corpus
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
    (tmp_path / "pages" / "again").symlink_to("z")  # the folder itself comes first
    (tmp_path / "pages" / "z" / "round").symlink_to("..")
    (tmp_path / "pages" / "e.md").symlink_to("../elsewhere/b.md")
    found = corpus_files(tmp_path / "pages")
    names = [str(path.relative_to(tmp_path / "pages")) for path in found]
    assert names == ["a.md", "e.md", "z/c.md"]
    ids = [passage.id for passage in open_corpus(tmp_path / "pages").read()]
    assert ids == ["a.md#0.0", "e.md#0.0", "z/c.md#0.0"]


def test_a_link_to_a_folder_elsewhere_is_left_out_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/b.md", "elsewhere/c.md", "pages/a.md")
    link = tmp_path / "pages" / "more"
    link.symlink_to("../elsewhere")
    corpus = open_corpus(tmp_path / "pages")
    assert [path.name for path in corpus.files] == ["a.md"]
    assert corpus.left_out == (link,)
    assert _listed(corpus.left_out, tmp_path / "pages") == "more (a link out of the folder)"
    (tmp_path / "pages" / "a.md").unlink()
    with pytest.raises(DatasetNotFound, match=rf"more is a link .* name {tmp_path}/elsewhere to"):
        corpus_files(tmp_path / "pages")
    # The folder that is named may itself be one.
    assert len(corpus_files(link)) == 2


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
        assert ("ends after a whole page, but without </mediawiki>" in caplog.text) is said


def test_a_folder_without_data_says_what_it_has(tmp_path: Path) -> None:
    for name in ("a.rst", "b.docx", "c.docx"):
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(DatasetNotFound) as caught:
        corpus_files(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} has no .jsonl, .json, .parquet, .csv, .tsv, .xml, .md, .markdown, .txt files; "
        "it has 2 .docx, 1 .rst. Check the path"
    )


NOTE, ROW = (
    "# Peru\n\nA country in the west of South America, on the Pacific.\n",
    "id,text\n1,One\n",
)
PACKAGE = json.dumps({"name": "site", "dependencies": {}})
LINE = json.dumps({"id": "1", "text": "One"}) + "\n"
ARRAY = json.dumps([{"id": "2", "text": "Two"}])

# What lies in a folder; what it is read as; what is left out.
FOLDERS = [
    ({"a.md": NOTE, "b.md": NOTE, "c.md": NOTE, "d.csv": ROW * 99}, "markdown", ["d.csv"]),
    ({"a.md": NOTE, "package.json": PACKAGE}, "markdown", ["package.json"]),
    ({"a.md": NOTE, "package.json": PACKAGE, "x.json": PACKAGE}, "markdown", ["package.json"]),
    ({"a.md": NOTE, "b.markdown": NOTE}, "markdown", []),
    ({"README.md": NOTE, "a.txt": NOTE, "b.txt": NOTE}, "markdown", []),
    ({"README.md": NOTE, "LICENSE.txt": NOTE, "rows.csv": ROW}, "csv", ["README.md"]),
    ({"README.md": NOTE, "passages.jsonl": LINE, "map.png": "P"}, "passages", ["map.png"]),
    ({"README.md": NOTE, "map.png": "P"}, "markdown", ["map.png"]),
    ({"a.csv": ROW, "b.tsv": ROW.replace(",", "\t").replace("1", "2")}, "csv", []),
    ({"a.txt": LINE}, "passages", []),
    ({"a.json": ARRAY, "tea.md": NOTE, "z.jsonl": LINE}, "passages", ["tea.md"]),
    ({"a.json": PACKAGE, "tea.md": NOTE * 9, "z.jsonl": LINE}, "markdown", ["a.json", "z.jsonl"]),
    ({"a.json": PACKAGE, "b.json": "", "z.jsonl": LINE}, "passages", ["a.json", "b.json"]),
]


@pytest.mark.parametrize(("files", "format_name", "left_out"), FOLDERS)
def test_a_folder_is_read_as_what_most_of_it_is(
    tmp_path: Path, files: dict[str, str], format_name: str, left_out: list[str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    corpus = open_corpus(tmp_path)
    assert corpus.format.name == format_name
    assert {*left_out} <= {file.name for file in corpus.left_out}
    assert len(corpus.files) + len(corpus.left_out) == len(files)
    assert list(corpus.read(skip_bad=True))


def test_a_format_that_is_named_decides(tmp_path: Path) -> None:
    for name, text in FOLDERS[0][0].items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    corpus = open_corpus(tmp_path, format_name="csv")
    assert [file.name for file in corpus.files] == ["d.csv"]
    assert [file.name for file in corpus.left_out] == ["a.md", "b.md", "c.md"]
    notes = open_corpus(tmp_path, format_name="markdown")
    assert [file.name for file in notes.files] == ["a.md", "b.md", "c.md"]
    with pytest.raises(DatasetNotFound, match=r"has no \.parquet files; it has 3 \.md, 1 \.csv"):
        open_corpus(tmp_path, format_name="m2kr")


def test_the_link_of_a_page(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "peru b.md").write_text(NOTE, encoding="utf-8")
    for base, url in (
        ("https://x.org/docs/", "https://x.org/docs/a/peru%20b.md"),
        ("https://x.org/{page}.html", "https://x.org/a/peru%20b.html"),
    ):
        (passage,) = open_corpus(tmp_path, base_url=base).read()
        assert passage.url == url
    front = f"---\nurl: https://own/peru\n---\n{NOTE}"
    (tmp_path / "a" / "peru b.md").write_text(front, encoding="utf-8")
    for base in ("", "https://x.org/docs/"):
        (passage,) = open_corpus(tmp_path, base_url=base).read()
        assert passage.url == "https://own/peru"
    row = {"id": "1", "text": "x", "url": "https://own"}
    own = make.jsonl(tmp_path / "p.jsonl", [row, {"id": "2", "text": "x"}])
    passages = open_corpus(own, base_url="https://x.org").read()
    assert [passage.url for passage in passages] == ["https://own", "https://x.org/2"]

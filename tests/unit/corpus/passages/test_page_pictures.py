"""From a corpus whose pages name pictures to a collection that finds the pages by them."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from app.cli import app
from corpus.errors import CorpusError, InvalidRecord
from corpus.passages.corpora import open_corpus
from corpus.passages.page_pictures import file_name, page_pictures
from retriever.engines.directory import lock_for_building
from retriever.pictures.collection import PictureCollection
from tests import corpus_files as make

COMMONS = "https://upload.wikimedia.org/wikipedia/commons"


def knowledge_base(folder: Path, *urls: object) -> Path:
    """E-VQA's knowledge base of as many pages, with these in place of their pictures."""
    path = make.evqa_kb(folder / "kb.json", len(urls))
    pages = json.loads(path.read_text("utf-8"))
    for page, pictures in zip(pages.values(), urls, strict=True):
        page["image_urls"] = pictures
    path.write_text(json.dumps(pages), "utf-8")
    return path


def test_a_page_has_its_first_picture_or_all(tmp_path: Path) -> None:
    first, second = f"{COMMONS}/a/a9/Kew%20Gardens.jpg", f"{COMMONS}/b/Palm_House.jpg?x=1"
    corpus = open_corpus(
        knowledge_base(tmp_path, ["https://x.org/", first, second, first], [], None)
    )
    page = "https://en.wikipedia.org/wiki/Page_0"
    row = {"image": "Kew Gardens.jpg", "entity": page, "name": "Page 0", "url": first}
    assert list(page_pictures(corpus)) == [row]
    done: list[tuple[int, int]] = []
    every = page_pictures(corpus, every=True, advance=lambda *now: done.append(now))
    assert list(every) == [row, row | {"image": "Palm_House.jpg", "url": second}]
    assert done[-1][0] == done[-1][1] == corpus.bytes_total


def test_wiki6m_has_one(tmp_path: Path) -> None:
    path = make.wiki6m(tmp_path / "Wiki6M.jsonl", 2)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    lines[1]["wikipedia_image_url"] = f"{COMMONS}/c.png"
    make.jsonl(path, lines)
    [row] = page_pictures(open_corpus(path))
    assert (row["image"], row["entity"], row["name"]) == ("c.png", "Q1", "Thing 1")


def test_of_wit_a_page_has_its_main_picture(tmp_path: Path) -> None:
    corpus = open_corpus(make.wit(tmp_path / "wit.tsv"))
    row = {
        "image": "1.jpg",
        "entity": "https://en.wikipedia.org/wiki/Page_0",
        "name": "Page 0",
        "url": "https://x.org/1.jpg",
    }
    assert next(page_pictures(corpus)) == row
    assert [row["image"] for row in page_pictures(corpus)] == ["1.jpg", "3.jpg"]
    every = [row["image"] for row in page_pictures(corpus, every=True)]
    assert every == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    corpus = open_corpus(knowledge_base(tmp_path, ["https://x.org/a.png"], [7]))
    with pytest.raises(InvalidRecord, match="image_urls"):
        list(page_pictures(corpus))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://x.org/a/..", ""),
        ("https://x.org/a/%2e%2e%2fb.png", "b.png"),
        ("https://x.org", ""),
        ("https://[x/a.png", ""),
        ("a.png", "a.png"),
    ],
)
def test_a_name_is_of_a_file_in_the_folder(url: str, name: str) -> None:
    assert file_name(url) == name


def test_the_commands_go_from_the_corpus_to_the_collection(tmp_path: Path) -> None:
    path = knowledge_base(tmp_path, ["https://x.org/red.png"], ["https://x.org/gone.png"])
    table, made = tmp_path / "pictures.jsonl", tmp_path / "lead.safetensors"
    done = CliRunner().invoke(app, ["corpus", "pictures", str(path), "--out", str(table)])
    assert done.exit_code == 0 and "2 pictures of kb" in done.output, done.output
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    arguments = ["index", "pictures", str(table), "--out", str(made)]
    assert isinstance(CliRunner().invoke(app, arguments).exception, InvalidRecord)
    parts = made.with_name("lead.safetensors.parts")
    parts.mkdir()
    with lock_for_building(parts):
        done = CliRunner().invoke(app, [*arguments, "--skip-missing"])
    assert "another process is making" in str(done.exception) and not made.exists()
    done = CliRunner().invoke(app, [*arguments, "--skip-missing"])
    assert done.exit_code == 0, done.output
    assert not parts.exists()
    collection = PictureCollection.open(made)
    page = "https://en.wikipedia.org/wiki/Page_0"
    assert collection.names == (("red.png", page),) and collection.titles == {page: "Page 0"}


def test_a_corpus_without_pictures_says_which_have_some(tmp_path: Path) -> None:
    path = make.google_search(tmp_path / "okvqa_full_corpus.csv", range(3))
    table = tmp_path / "pictures.jsonl"
    done = CliRunner().invoke(app, ["corpus", "pictures", str(path), "--out", str(table)])
    assert isinstance(done.exception, CorpusError) and "WIT do" in str(done.exception)
    assert list(tmp_path.iterdir()) == [path]

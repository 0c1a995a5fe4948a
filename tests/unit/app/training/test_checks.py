"""What is found about one's own data before anything is trained."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.training.checks import Finding, OwnData, check
from corpus.pictures.store import ImageFolder
from corpus.types import Passage
from tests.golden_cases import golden_image

PASSAGES = {
    passage.id: passage
    for passage in (
        Passage("ke", "Kenya", "Kenya is in Africa; its capital is Nairobi."),
        Passage("jp", "Japan", "Japan is in Asia; its capital is Tokyo."),
        Passage("jp2", "Nippon", "JAPAN is in Asia, its capital is Tokyo"),
        Passage("no", "Norway", "Norway is in Europe; its capital is Oslo."),
    )
}


@pytest.fixture
def images(tmp_path: Path) -> ImageFolder:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, name in enumerate(("ke.png", "jp.png", "no.png")):
        golden_image(f"img{number}").save(folder / name)
    return ImageFolder(folder)


def row(id_: str, **changes: Any) -> dict[str, Any]:
    plain = {
        "id": id_, "image": f"{id_}.png", "question": f"What is the capital, of {id_}?",
        "answers": [], "gold_passage_ids": [id_],
    }  # fmt: skip
    return plain | changes


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def checked(images: ImageFolder, *rows: dict[str, Any], validation: Any = None, **more: Any):
    folder = images.root.parent
    other = written(folder / "val.jsonl", *validation) if validation else None
    passages = more.get("passages", PASSAGES)
    return check(written(folder / "mine.jsonl", *rows), other, images, passages)


def only(data: OwnData) -> Finding:
    [finding] = data.findings
    return finding


def test_questions_without_pictures_are_in_order(images: ImageFolder) -> None:
    rows = [row("ke", image=""), row("jp", image=None, gold_passage_ids=["jp", "jp2"])]
    data = checked(images, *rows, validation=[row("no", image="")])
    assert data.findings == ()


def test_data_in_order_has_nothing_to_be_said_of(images: ImageFolder) -> None:
    data = checked(
        images,
        row("ke", answers=["Nairobi"]),
        row("no", answers=["Oslo"]),
        validation=[row("jp", answers=["Tokyo"], gold_passage_ids=["jp", "jp2"])],
    )
    assert data.findings == () and not data.stopped
    assert [r.example.id for r in data.training] == ["ke", "no"]
    assert [r.where for r in data.validation] == ["val.jsonl:1"]


@pytest.mark.parametrize(
    ("wrong", "kind", "what", "remedy", "stops"),
    [
        (row("ke", question=""), "bad line", "question", "empty", True),
        (row("no", question="?"), "bad line", "id", "already the id of line 1", True),
        (row("ke", image="kenia.png"), "no picture", "kenia.png", "--images", True),
        (row("ke", gold_passage_ids=[]), "no gold passage", "capital", "gold_passage_ids", False),
        (row("ke", gold_passage_ids=["Ke"]), "gold passage not in", "Ke", "is it ke?", True),
        (row("ke", gold_passage_ids=["?!"]), "gold passage not in", "?!", "corpus show", True),
        (row("ke", question="Where is kenya?"), "names the gold title", "Kenya", "this", False),
        (row("ke", answers=["Mombasa"]), "has an answer", "Mombasa", "as the passage", False),
        (row("ke", answers=["a"]), "no negative is possible", "a", "longer answer", False),
        (row("jp"), "gold text under another id", "jp2", "gold_passage_ids", False),
        (
            row("a", image="no.png", question="What is the CAPITAL of no", gold_passage_ids=["no"]),
            "asked twice", "as mine.jsonl:1", "remove one", False,
        ),
        (
            row("a", image="no.png", question="What is the CAPITAL of no", gold_passage_ids=["ke"]),
            "asked twice", "as mine.jsonl:1", "all of them in one line", False,
        ),
    ],
)  # fmt: skip
def test_each_trouble_is_named_with_its_line_and_a_remedy(
    images: ImageFolder, wrong: Any, kind: str, what: str, remedy: str, stops: bool
) -> None:
    data = checked(images, row("no"), wrong)
    finding = only(data)
    assert kind in finding.kind
    assert what in finding.what
    assert remedy in finding.remedy
    assert finding.where == "mine.jsonl:2"
    assert data.stopped == stops


def test_a_picture_that_is_none_stops(images: ImageFolder) -> None:
    (images.root / "ke.png").write_bytes((images.root / "no.png").read_bytes()[:60])
    finding = only(checked(images, row("no"), row("ke")))
    assert (finding.kind, finding.where, finding.stops) == ("bad picture", "mine.jsonl:2", True)


def test_where_no_line_can_have_a_negative_it_stops(images: ImageFolder) -> None:
    data = checked(images, row("ke"), passages={"ke": PASSAGES["ke"]})
    assert only(data).kind == "no negative is possible" and data.stopped


def test_what_is_trained_and_measured_on_stops_a_shared_picture_does_not(
    images: ImageFolder,
) -> None:
    (images.root / "copy.png").write_bytes((images.root / "no.png").read_bytes())
    same = row(
        "a", image="copy.png", question="What is the capital of no?", gold_passage_ids=["no"]
    )
    data = checked(images, row("no"), validation=[same])
    assert only(data) == Finding(
        "trained and measured on", "val.jsonl:1", "mine.jsonl:1", only(data).remedy, stops=True
    )
    other = checked(images, row("no"), validation=[{**same, "question": "Where is it?"}])
    assert only(other).kind == "its picture is trained on" and not other.stopped


def test_what_stops_comes_first_and_all_lines_are_checked(images: ImageFolder) -> None:
    data = checked(images, row("no", gold_passage_ids=[]), row("ke", image="x.png"), row("jp"))
    assert [finding.where for finding in data.findings] == [
        "mine.jsonl:2", "mine.jsonl:1", "mine.jsonl:3",
    ]  # fmt: skip
    assert [finding.stops for finding in data.findings] == [True, False, False]


def test_a_line_that_is_no_json_is_a_finding_beside_those_of_the_others(
    images: ImageFolder,
) -> None:
    path = images.root.parent / "mine.jsonl"
    lines = ["{not json", "[1]", json.dumps(row("ke", image="x.png")), json.dumps(row("no"))]
    path.write_text("\n".join(lines) + "\n")
    data = check(path, None, images, PASSAGES)
    assert [(found.kind, found.where) for found in data.findings] == [
        ("bad line", "mine.jsonl:1"),
        ("bad line", "mine.jsonl:2"),
        ("no picture", "mine.jsonl:3"),
    ]
    assert data.findings[0].what == "the whole line"
    assert "not JSON" in data.findings[0].remedy
    assert [asked.example.id for asked in data.training] == ["ke", "no"]


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08\x00cut"])
def test_a_file_that_is_empty_or_damaged_is_a_finding(images: ImageFolder, content: bytes) -> None:
    path = images.root.parent / "mine.jsonl"
    path.write_bytes(content)
    data = check(path, None, images, PASSAGES)
    assert only(data).kind == "bad line" and data.stopped

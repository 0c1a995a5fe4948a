"""What users said: kept by several processes, and what a broken file is told as."""

import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import FeedbackUnusable, InvalidFeedback
from app.feedback.opinion import LONGEST, Opinion
from app.feedback.store import FeedbackStore
from app.settings import Settings

ROOT = Path(__file__).parents[4]
OPINION = Opinion(
    "0" * 32, "down", "Which city?", "Rome", ("a", "b"), "It is Paris", "Paris", "c@1", "g", b"\xff"
)
PROGRAM = """
import sys
from pathlib import Path
from app.feedback.opinion import Opinion
from app.feedback.store import FeedbackStore
store = FeedbackStore(Path(sys.argv[1]))
for number in range(40):
    store.add(Opinion(f"{sys.argv[2]}{number:031x}", "up", "Which city?", "Paris"))
"""


def numbered(number: int) -> Opinion:
    return replace(OPINION, id=f"{number:032x}")


@pytest.fixture
def store(tmp_path: Path) -> FeedbackStore:
    return FeedbackStore(tmp_path / "new" / "feedback.sqlite3")


def test_what_was_said_is_there_again_with_its_time(store: FeedbackStore) -> None:
    assert store.read() == [] and store.delete(None) == 0
    assert not store.path.exists(), "looking makes no file"
    store.add(OPINION)
    [kept] = store.read()
    assert kept.time.endswith("+00:00")
    assert replace(kept, time="") == OPINION


def test_another_opinion_of_the_same_answer_takes_the_place(store: FeedbackStore) -> None:
    store.add(OPINION)
    store.add(replace(OPINION, verdict="up", picture=None))
    [kept] = store.read()
    assert (kept.verdict, kept.picture) == ("up", None)


def test_the_same_verdict_again_leaves_what_was_said(store: FeedbackStore) -> None:
    alone = replace(OPINION, reason="", right_answer="", picture=None)
    store.add_verdict(alone)
    store.add(OPINION)
    store.add_verdict(alone)
    [kept] = store.read()
    assert replace(kept, time="") == OPINION
    store.add_verdict(replace(alone, verdict="up"))
    [kept] = store.read()
    assert (kept.verdict, kept.reason, kept.picture) == ("up", "", None)


def test_what_is_deleted_is_not_in_the_files_any_more(store: FeedbackStore) -> None:
    for number in range(3):
        store.add(replace(numbered(number), reason=f"secret {number}"))
    assert store.delete([numbered(1).id, "unknown"]) == 1
    assert [opinion.reason for opinion in store.read()] == ["secret 0", "secret 2"]
    assert store.delete(None) == 2
    for file in store.path.parent.iterdir():
        assert b"secret" not in file.read_bytes()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("cited", "[oh"),
        ("cited", "7"),
        ("cited", "[7]"),
        ("cited", b"[]x"),
        ("cited", "[" * 100_000),
        ("question", b"\xff"),
        ("answer", ""),
        ("id", "7"),
        ("picture", "no bytes"),
        ("time", b"\xff"),
    ],
)
def test_a_damaged_opinion_hides_no_other(
    store: FeedbackStore, column: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        store.add(numbered(number))
    file = sqlite3.connect(store.path)
    where = f"UPDATE feedback SET {column} = ? WHERE id = ?"
    file.execute(where, (value, numbered(1).id))
    file.commit()
    file.close()
    assert [opinion.id for opinion in store.read()] == [numbered(0).id, numbered(2).id]
    [said] = caplog.messages
    assert "is damaged and left out" in said and str(store.path) in said
    assert repr("7" if column == "id" else numbered(1).id) in said


def test_processes_write_at_the_same_time(store: FeedbackStore) -> None:
    command = [sys.executable, "-c", PROGRAM, str(store.path)]
    running = [subprocess.Popen([*command, name], cwd=ROOT) for name in "ab"]
    assert [process.wait(timeout=60) for process in running] == [0, 0]
    assert len({opinion.id for opinion in store.read()}) == 80


@pytest.mark.parametrize("keep", [0.5, 0.02])
def test_a_cut_file_is_told(store: FeedbackStore, keep: float) -> None:
    for number in range(20):
        store.add(replace(numbered(number), picture=bytes(9000)))
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(FeedbackUnusable, match=r"is damaged.*put a backup in its place"):
        store.read()


def test_another_file_is_told(store: FeedbackStore) -> None:
    store.path.parent.mkdir()
    store.path.write_text("Dear Sir or Madam, " * 100)
    with pytest.raises(FeedbackUnusable, match="is damaged"):
        store.add(OPINION)


@pytest.mark.parametrize(("version", "said"), [(2, "a later kbvqa"), (0, "something else")])
def test_another_layout_is_left_alone(store: FeedbackStore, version: int, said: str) -> None:
    store.path.parent.mkdir()
    file = sqlite3.connect(store.path)
    file.execute("CREATE TABLE feedback (thumb TEXT)")
    file.execute(f"PRAGMA user_version = {version}")
    file.close()
    with pytest.raises(FeedbackUnusable, match=said):
        store.add(OPINION)


def test_a_full_file_takes_no_more_and_loses_nothing(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "feedback.sqlite3", most_bytes=100_000)
    kept = 0
    with pytest.raises(FeedbackUnusable, match=r"has reached .* MiB.*feedback export"):
        for kept in range(20):
            store.add(replace(numbered(kept), picture=bytes(20_000)))
    assert 1 <= kept == len(store.read())
    assert store.delete(None) == kept
    store.add(OPINION)


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", disk]).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        store, kept = FeedbackStore(disk / "feedback.sqlite3"), 0
        with pytest.raises(FeedbackUnusable, match="the disk is full"):
            for kept in range(200):
                store.add(replace(numbered(kept), reason="x" * 1_000))
        assert 1 <= kept == len(store.read())
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FeedbackUnusable, match="cannot be made"):
        FeedbackStore(tmp_path / "file" / "feedback.sqlite3").add(OPINION)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../x"},
        {"verdict": "sideways"},
        {"answer": " "},
        {"question": None},
        {"reason": "x" * (LONGEST["reason"] + 1)},
        {"reason": "\ud800"},
        {"cited": ("a",) * 51},
        {"cited": (1,)},
    ],
)
def test_what_a_browser_may_not_send_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidFeedback):
        replace(OPINION, **change)


def test_it_lies_under_home(tmp_path: Path) -> None:
    assert Settings(home=tmp_path).feedback_path == tmp_path / "feedback.sqlite3"


def test_a_copy_made_while_others_write_is_the_store_again(
    store: FeedbackStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FeedbackUnusable, match="nobody has said anything yet"):
        store.copy(tmp_path / "kept")
    store.add(numbered(1))
    with sqlite3.connect(store.path) as reader:
        reader.execute("BEGIN").execute("SELECT * FROM feedback").fetchall()  # holds the log back
        store.add(numbered(2))
        store.copy(tmp_path / "kept")
        reader.rollback()
    reader.close()
    said = store.read()
    assert len(said) == 2
    with pytest.raises(FeedbackUnusable, match="is there already"):
        store.copy(tmp_path / "kept")
    with pytest.raises(FeedbackUnusable, match="cannot be written"):
        store.copy(tmp_path / "nowhere" / "kept")
    assert [path.name for path in tmp_path.glob("kept*")] == ["kept"], "one file has it all"
    monkeypatch.chdir(tmp_path)
    store.copy(Path(":memory:"))  # for sqlite a place that is gone at once
    assert (tmp_path / ":memory:").is_file()
    # The disk is lost, and the backup put in its place as the guide says.
    store.path.write_bytes(b"not a database" * 99)
    with pytest.raises(FeedbackUnusable, match="put a backup in its place"):
        store.read()
    for path in store.path.parent.glob("feedback.sqlite3*"):
        path.unlink()
    (tmp_path / "kept").rename(store.path)
    assert store.read() == said
    store.add(numbered(3))
    assert len(store.read()) == 3

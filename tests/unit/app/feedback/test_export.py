"""What users said as examples, and on the command line."""

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from PIL import Image

from app.feedback.export import NO_ANSWER, NO_PICTURE, examples, write_examples
from app.feedback.opinion import PICTURE_SIDE, Opinion, kept_picture
from app.feedback.store import FeedbackStore
from corpus.examples import read_examples
from generator.answers.answer import UNKNOWN
from tests.command_line import CHECKPOINT, kbvqa

PICTURE = kept_picture(Image.new("RGB", (30, 20), "red"))
UP = Opinion("a" * 32, "up", "Which city?", "Paris", ("p:paris",), picture=PICTURE)
DOWN = replace(UP, id="b" * 32, verdict="down", right_answer="Rome <i>\n", reason="It is Rome")


def test_examples_have_the_right_answer_and_the_passages_that_prove_it(tmp_path: Path) -> None:
    opinions = [
        UP,
        DOWN,
        replace(UP, id="c" * 32, picture=None),
        replace(DOWN, id="d" * 32, right_answer=""),
        replace(UP, id="e" * 32, answer=UNKNOWN),
    ]
    usable, left_out = examples(opinions)
    assert left_out == {NO_PICTURE: 1, NO_ANSWER: 2}
    write_examples(usable, tmp_path / "my.jsonl", tmp_path / "pictures")
    up, down = read_examples(tmp_path / "my.jsonl")
    assert (up.answers, up.gold_passage_ids) == (("Paris",), ("p:paris",))
    assert (down.answers, down.gold_passage_ids) == (("Rome <i>",), ())
    assert Image.open(tmp_path / "pictures" / down.image).size == (30, 20)


def test_a_kept_picture_is_small_and_has_no_metadata() -> None:
    photo = Image.new("RGB", (3000, 1500))
    photo.getexif()[0x010E] = "where I live"
    with Image.open(BytesIO(kept_picture(photo))) as kept:
        assert kept.size == (PICTURE_SIDE, PICTURE_SIDE // 2)
        assert not kept.getexif()


def test_the_command_line_lists_exports_and_deletes(tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "my.jsonl"
    empty = kbvqa("feedback", "export", "--out", str(out), home=home)
    assert empty.returncode == 0 and "nothing to export" in empty.stderr and not out.exists()
    store = FeedbackStore(home / "feedback.sqlite3")
    for opinion in (UP, DOWN, replace(UP, id="c" * 32, picture=None)):
        store.add(opinion)
    listed = json.loads(kbvqa("feedback", "list", "--json", home=home).stdout)
    assert [row["picture"] for row in listed] == [True, True, False]
    assert "right answer: Rome" in kbvqa("feedback", "list", home=home).stdout
    done = kbvqa("feedback", "export", "--out", str(out), home=home)
    assert "2 examples in" in done.stdout and "1 left out: the user did not" in done.stderr
    assert len(list((tmp_path / "my-pictures").iterdir())) == len(read_examples(out)) == 2
    assert kbvqa("feedback", "delete", home=home).returncode == 2
    assert "1 deleted" in kbvqa("feedback", "delete", "a" * 32, home=home).stdout
    assert "2 deleted" in kbvqa("feedback", "delete", "--all", home=home).stdout


def test_an_evaluation_reads_what_is_exported(tmp_path: Path, index_location: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "my.jsonl"
    for opinion in (UP, DOWN):
        FeedbackStore(home / "feedback.sqlite3").add(opinion)
    assert kbvqa("feedback", "export", "--out", str(out), home=home).returncode == 0
    run = kbvqa(
        "evaluate", "run", str(out), "--images", str(tmp_path / "my-pictures"), "--no-answer",
        "--index", str(index_location), "--checkpoint", CHECKPOINT, "--out", str(tmp_path / "run"),
        home=home,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))
    assert results["n"] == 2 and results["missing_images"] == 0

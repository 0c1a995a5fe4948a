"""Hard negatives of a tiny real retriever: what it finds, and what of it is kept."""

import json
from pathlib import Path

import pytest

from app.components import open_index
from app.errors import InvalidSettings
from app.training.negatives import NEGATIVES_NAME, Refresh, mine, read_negatives, tally
from corpus.errors import DatasetNotFound, InvalidRecord
from retriever.checkpoint.loading import Checkpoint
from retriever.training.contrastive.draw import TrainingSet
from retriever.training.examples import TrainingExample
from retriever.training.negatives import NegativeRules
from tests.command_line import CHECKPOINT, assert_clear, kbvqa
from tests.golden_cases import GOLDEN
from tests.unit.app.conftest import PASSAGES

PICTURE = GOLDEN / "images" / "img0.png"
RULES = NegativeRules(depth=4, keep=2)
PARIS = TrainingExample(
    "1", "What is the capital of France?", "", PICTURE, ("p:paris",), answers=("Paris",)
)
BIRD = TrainingExample("2", "What bird is this?", "", PICTURE, ("p:bird", "p:not-there"))


def test_they_are_what_is_found_less_gold_and_what_has_the_answer(
    checkpoint: Checkpoint, index_location: Path, tmp_path: Path
) -> None:
    with open_index(index_location, checkpoint) as index:
        paris, bird = mine([PARIS, BIRD], checkpoint, index, tmp_path / "out", RULES)
    # "p:tower" has "Paris" in it.
    assert set(paris.negatives) == {"p:church", "p:bird"}
    assert set(paris.left_out.values()) <= {1}
    assert len(bird.negatives) == 2 and "p:bird" not in bird.negatives
    there = read_negatives(tmp_path / "out" / NEGATIVES_NAME)
    assert there == {"1": paris.negatives, "2": bird.negatives}
    record = json.loads((tmp_path / "out" / "run.json").read_text())["negatives"]
    assert record["checkpoint_sha256"] == checkpoint.revision
    assert record["rules"] == {"depth": 4, "keep": 2, "similarity": 0.9}


def test_of_a_corpus_that_does_not_fit_into_memory_they_are_the_same(
    checkpoint: Checkpoint, index_location: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_index(index_location, checkpoint) as index:
        in_memory = mine([PARIS, BIRD], checkpoint, index, tmp_path / "a", RULES)
        monkeypatch.setattr("app.training.negatives.open_exact", lambda index, folder, say: None)
        looked_up = mine([PARIS, BIRD], checkpoint, index, tmp_path / "b", RULES)
    assert looked_up == in_memory


def test_what_an_interrupted_search_found_is_not_searched_for_again(
    checkpoint: Checkpoint, index_location: Path, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    with open_index(index_location, checkpoint) as index:
        mine([PARIS], checkpoint, index, tmp_path, RULES)
        mined = mine(
            [PARIS, BIRD], checkpoint, index, tmp_path, RULES,
            tell=lambda done, total, failed: told.append((done, total)),
        )  # fmt: skip
    assert told[0] == (1, 2) and told[-1] == (2, 2)
    assert [row.id for row in mined] == ["1", "2"]


def test_a_picture_that_cannot_be_read_costs_its_question_alone(
    checkpoint: Checkpoint, index_location: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = TrainingExample("3", "What?", "", tmp_path / "broken.png", ("p:bird",))
    with open_index(index_location, checkpoint) as index:
        mined = mine([PARIS, broken], checkpoint, index, tmp_path / "out", RULES)
    assert mined[0].negatives and not mined[1].negatives
    assert "InvalidImage" in mined[1].failure
    assert tally(mined)["questions that failed"] == 1


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / NEGATIVES_NAME
    with pytest.raises(DatasetNotFound, match="kbvqa train negatives"):
        read_negatives(path)
    path.write_text('{"id": 7}\n')
    with pytest.raises(InvalidRecord, match="line 1"):
        read_negatives(path)
    path.write_text('{"id": "a", "negatives": ["x"]}\n{"id": "a", "negatives": ["y"]}\n')
    with pytest.raises(InvalidRecord, match=r"line 2, field 'id': 'a' stands there twice"):
        read_negatives(path)


def test_refreshed_they_are_those_of_the_checkpoint_of_the_step(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passages = {passage.id: passage for passage in PASSAGES}
    sets = [TrainingSet("a", [PARIS], passages), TrainingSet("b", [BIRD], passages)]
    refresh = Refresh(sets, tmp_path, RULES)
    mined = refresh(50, checkpoint)
    assert set(mined["1"]) == {"p:church", "p:bird"} and len(mined["2"]) == 2
    assert not list(tmp_path.rglob("index"))

    # Finished, it is read: nothing is indexed or searched again.
    monkeypatch.setattr("app.training.negatives.mine", None)
    assert refresh(50, checkpoint) == mined


def test_another_checkpoint_s_are_not_taken_for_its_own(
    checkpoint: Checkpoint, index_location: Path, tmp_path: Path
) -> None:
    with open_index(index_location, checkpoint) as index:
        mine([PARIS], checkpoint, index, tmp_path, RULES)
        record = json.loads((tmp_path / "run.json").read_text())
        record["retrieval"]["checkpoint_sha256"] = "another"
        (tmp_path / "run.json").write_text(json.dumps(record))
        with pytest.raises(InvalidSettings, match="checkpoint_sha256"):
            mine([PARIS], checkpoint, index, tmp_path, RULES)


def test_the_command_writes_what_train_reads(index_location: Path, tmp_path: Path) -> None:
    rows = [
        {"id": "1", "image": "img0.png", "question": PARIS.question, "answers": ["Paris"],
         "gold_passage_ids": ["p:paris"]},
        {"id": "2", "image": "img1.png", "question": "Not to be trained on: no gold passage?"},
    ]  # fmt: skip
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(*more: str):
        return kbvqa(
            "train", "negatives", "--examples", str(path), "--index", str(index_location),
            "--checkpoint", CHECKPOINT, "--out", str(tmp_path / "out"), *more, home=tmp_path,
        )  # fmt: skip

    made = run("--images", str(GOLDEN / "images"))
    assert made.returncode == 0, made.stderr
    assert "questions: 1\nnegatives: 2\n" in made.stdout
    assert set(read_negatives(tmp_path / "out" / NEGATIVES_NAME)["1"]) == {"p:church", "p:bird"}
    assert_clear(run("--images", str(tmp_path)), "img0.png", "--images")
    assert run("--keep", "0").returncode == 2

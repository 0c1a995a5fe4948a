"""A large index learns its candidates: on the command line, and where it is searched meanwhile."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from app.cli import app
from corpus.files.passages import write_passages
from corpus.types import Passage
from retriever.engines import candidates
from retriever.engines.connection import QdrantConnection
from retriever.errors import InvalidTrainingData
from retriever.index.passage_index import Learning, PassageIndex
from tests.golden_cases import GOLDEN
from tests.index_cases import make_fingerprint, make_passages, random_embeddings
from tests.integration.qdrant_server import StandIn

QUESTIONS = 14


def kbvqa(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Return an example file, with its pictures in a folder beside it."""
    (tmp_path / "pictures").mkdir()
    lines = []
    for n in range(QUESTIONS):
        Image.new("RGB", (32, 32), (15 * n, 0, 0)).save(tmp_path / "pictures" / f"{n}.png")
        example = {"id": n, "image": f"{n}.png", "question": f"What is the thing {n}?"}
        lines.append(json.dumps(example))
    (tmp_path / "asked.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "asked.jsonl"


def test_a_build_learns_from_a_file_of_questions(
    tmp_path: Path, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "LEARNED_FROM", 60)
    monkeypatch.setenv("KBVQA_CHECKPOINT", str(GOLDEN / "B_preflmr"))
    things = [Passage(f"p{n}", f"Thing {n}", f"Thing {n} lives in town {n}.") for n in range(64)]
    write_passages(tmp_path / "things.jsonl", things)
    build = ("index", "build", tmp_path / "things.jsonl", "--index", tmp_path / "index")
    asked = ("--questions", questions, "--images", tmp_path / "pictures", "--recall", 0.9)

    refused = kbvqa(*build, "--questions", questions)
    assert refused.exit_code == 2 and "0.png is missing, one of 14" in refused.output
    (tmp_path / "few.jsonl").write_text(questions.read_text().split("\n")[0])
    refused = kbvqa(*build, "--questions", tmp_path / "few.jsonl", *asked[2:])
    assert isinstance(refused.exception, InvalidTrainingData)
    assert "12 questions or more, and 1 were given" in str(refused.exception)
    assert not (tmp_path / "index").exists(), "said before anything is encoded"

    built = kbvqa(*build, *asked)
    assert built.exit_code == 0, (built.output, built.exception)
    shown = json.loads(kbvqa("index", "info", "--index", tmp_path / "index", "--json").stdout)
    learned = shown["learned"]
    assert (learned["passages"], learned["queries"], learned["made"]) == (64, 3, False)
    assert learned["wanted"] == 0.9 and list(learned["recall"]) == ["50"]
    assert "numbers" not in learned and shown["candidates"] == 200
    text = kbvqa("index", "info", "--index", tmp_path / "index").stdout
    assert "recall (50 " in " ".join(text.split())
    verified = kbvqa("index", "verify", "--index", tmp_path / "index")
    assert "64 passages, nothing wrong" in verified.stdout

    planned = ("index", "plan", "--index", tmp_path / "index")
    plan = json.loads(kbvqa(*planned, "--json").stdout)
    assert plan["candidates"] == 200 and plan["measured"] == learned
    rows = [count for _, count in PassageIndex.open(tmp_path / "index").row_counts()]
    dim = shown["dim"]
    assert plan["tokens"] == sum(rows) * dim * 2 and plan["means"] == 64 * dim * 4
    said = " ".join(kbvqa(*planned, "--passages", 1_000).stdout.split())
    assert "measured on 3 real queries, at 64 passages; of the ten best it found" in said
    assert "1,000 passages may need more" in said
    small = " ".join(kbvqa(*planned, "--passages", 59).stdout.split())
    assert "general number: below 60 passages nothing is learned" in small


def test_a_small_index_says_that_it_has_no_use_for_questions(
    tmp_path: Path, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KBVQA_CHECKPOINT", str(GOLDEN / "B_preflmr"))
    write_passages(tmp_path / "one.jsonl", [Passage("p", "Thing", "A thing lives in a town.")])
    few = questions.with_name("few.jsonl")
    few.write_text(questions.read_text().split("\n")[0])
    build = ("index", "build", tmp_path / "one.jsonl", "--index", tmp_path / "index")
    for _ in ("made", "there already"):
        built = kbvqa(*build, "--questions", few, "--images", tmp_path / "pictures")
        assert built.exit_code == 0, (built.output, built.exception)
        said = " ".join(built.output.split())
        assert "--questions was not used: from 20,000 passages on" in said
        assert "this one has 1." in said
    assert "--questions" not in kbvqa(*build).output


def test_a_collection_that_is_searched_meanwhile_keeps_what_it_has_learned(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "LEARNED_FROM", 60)
    connection = QdrantConnection(grpc_port=stand_in.grpc_port)
    place, asked = f"{stand_in.url}/zoo", Learning(random_embeddings(30, seed=5))
    learned = []
    for count, fresh in ((60, False), (130, False), (130, True)):
        with PassageIndex.update(
            place, make_fingerprint(count), connection=connection, fresh=fresh
        ) as index:
            index.upsert(make_passages(count), random_embeddings(count))
            index.finish(learning=asked)
            assert index.built.learned is not None
            learned.append(index.built.learned.passages)
    assert learned == [60, 60, 130], "a swap learns anew, a change in place does not"

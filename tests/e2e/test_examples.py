"""The programs in examples/ run, and say what they promise."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from corpus.demo.data import demo_dir

EXAMPLES = Path(__file__).parents[2] / "examples"
KENYA = str(demo_dir() / "examples" / "kenya.png")
QUESTION = "What is the capital of this country?"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_encode_puts_the_right_passage_first(capsys: pytest.CaptureFixture[str]) -> None:
    example("encode").main(KENYA, QUESTION)
    query, *scores = capsys.readouterr().out.splitlines()
    assert query.startswith("query: (") and "rows x dim" in query
    assert [line.split()[1] for line in scores] == ["Kenya", "Japan", "Tea"]


def test_index_search_and_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"id": "ke", "title": "Kenya", "text": "Kenya - Government. Capital: Nairobi."},
        {"id": "jp", "title": "Japan", "text": "Japan - Government. Capital: Tokyo."},
        {"id": "tea", "text": "Tea is a drink\u2028made of leaves."},
    ]
    passages, location = tmp_path / "mine.jsonl", str(tmp_path / "index")
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    passages.write_text("\n".join(lines) + "\n", encoding="utf-8")

    example("index").main(str(passages), location)
    assert capsys.readouterr().out == f"3 passages of mine in {location}, by kbvqa-mini\n"

    example("search").main(location, KENYA, QUESTION)
    found = capsys.readouterr().out.strip().split("\n")
    assert len(found) == 3 and "Kenya: Kenya - Government." in found[0]
    example("search").main(location, KENYA, QUESTION, "Jap")
    assert ["Japan: " in line for line in capsys.readouterr().out.splitlines()] == [True]

    example("answer").main(location, KENYA, QUESTION)
    answer, proof = capsys.readouterr().out.splitlines()
    assert answer.startswith("Nairobi  (")
    assert proof == "  [1] ...Kenya - Government. Capital: **Nairobi**"


def test_evaluate_prints_figures_with_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"id": "ke", "title": "Kenya", "text": "Kenya - Government. Capital: Nairobi."},
        {"id": "jp", "title": "Japan", "text": "Japan - Government. Capital: Tokyo."},
    ]
    asked = [
        {"image": "kenya.png", "answers": ["Nairobi"], "gold_passage_ids": ["ke"]},
        {"image": "japan.png", "answers": ["Kyoto"], "gold_passage_ids": ["jp"]},
    ]
    passages, questions = tmp_path / "mine.jsonl", tmp_path / "examples.jsonl"
    passages.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    questions.write_text(
        "".join(
            json.dumps({"id": f"{n}", "question": QUESTION} | row) + "\n"
            for n, row in enumerate(asked)
        ),
        encoding="utf-8",
    )
    example("index").main(str(passages), str(tmp_path / "index"))
    capsys.readouterr()

    places = [str(tmp_path / "index"), str(questions), str(demo_dir() / "examples")]
    example("evaluate").main(*places, str(tmp_path / "run"))
    figures = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert figures["exact_match"] == ["exact_match", "50.0", "±", "50.0", "%", "n", "=", "2"]
    assert figures["recall@1"] == ["recall@1", "100.0", "±", "0.0", "%", "n", "=", "2"]

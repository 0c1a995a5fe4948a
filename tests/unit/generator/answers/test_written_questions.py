"""What the shipped reader says to questions written by hand, the right passage given.

tests/data/reading/questions.jsonl: on countries and things of the half that tunes. The rules for
what is said of a value were made on them, so that their share is no measure, but a floor.
typed.jsonl: others, as strangers type them ("whos the president"), lists, and for yes or no.
"""

from pathlib import Path

import pytest

from corpus.demo.data import demo_passages_path
from corpus.files.jsonl import read_records
from corpus.files.passages import read_passages
from generator.answers.extracting import shown
from generator.answers.parsing import same_answer
from generator.extractive.reader import ExtractiveReader

QUESTIONS = Path(__file__).parents[3] / "data" / "reading"


@pytest.fixture(scope="module", params=["questions.jsonl", "typed.jsonl"])
def rows(request) -> list[tuple[dict, str]]:
    reader = ExtractiveReader.from_pretrained()
    passages = {passage.id: passage for passage in read_passages(demo_passages_path())}
    found = []
    for _, row in list(read_records(QUESTIONS / request.param))[::3]:
        passage = passages[row["passage"]]
        [reading] = reader.read(row["question"], [passage.text])
        found.append((row, shown(row["question"], passage, reading)[0]))
    return found


def test_three_of_four_are_answered_in_the_words_that_are_wanted(rows) -> None:
    asked = [(row, said) for row, said in rows if row["type"] != "yes-no"]
    right = [any(same_answer(said, a) for a in row["answers"]) for row, said in asked]
    assert len(asked) > 25 and sum(right) >= 0.75 * len(asked)


def test_some_questions_for_yes_or_no_are_decided_and_all_rightly(rows) -> None:
    asked = [(row["answers"][0], said) for row, said in rows if row["type"] == "yes-no"]
    decided = [
        (right, said[:3].strip(":").lower())
        for right, said in asked
        if said.startswith(("Yes:", "No:"))
    ]
    assert len(asked) > 8 and len(decided) >= 0.3 * len(asked)
    assert all(right == said for right, said in decided)

"""What a large index learns from: questions that are given, or made ones."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from corpus.files.passages import write_passages
from corpus.types import Passage, Query
from retriever.building.build import build_index
from retriever.checkpoint.loading import load_checkpoint
from retriever.encoding.encoder import Encoder
from retriever.engines import candidates
from retriever.errors import InvalidTrainingData
from retriever.index.passage_index import PassageIndex
from retriever.index.questions import made_queries
from tests.golden_cases import GOLDEN

PASSAGES = [Passage(f"p{n}", f"Tower {n}", f"The tower number {n} is high.") for n in range(60)]


def test_made_queries_are_words_of_the_corpus_every_second_with_a_picture() -> None:
    queries = made_queries([*PASSAGES, Passage("x", "Untold", "")])
    assert len(queries) == 61 and queries[-1].question == "Untold"
    for passage, query in zip(PASSAGES, queries, strict=False):
        assert query.question in passage.text and len(query.question.split()) >= 4
    assert [query.image is None for query in queries[:4]] == [True, False, True, False]
    first, second = queries[1].image, queries[3].image
    assert first is not None and second is not None
    assert not np.array_equal(np.asarray(first), np.asarray(second))
    assert [q.question for q in made_queries(PASSAGES)] == [q.question for q in queries[:60]]


@pytest.mark.parametrize("given", [True, False])
def test_a_large_index_learns_from_what_is_given_and_a_small_one_reads_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    read: list[int] = []

    def questions() -> Iterator[Query]:
        for number in range(40 * given):
            read.append(number)
            yield Query(f"How high is tower {number}?", Image.new("RGB", (32, 32), (number, 0, 0)))

    checkpoint = load_checkpoint(GOLDEN / "B_preflmr")
    write_passages(tmp_path / "towers.jsonl", PASSAGES)
    for large in (False, True):
        monkeypatch.setattr(candidates, "LEARNED_FROM", 50 if large else 100)
        location = tmp_path / str(large)
        build_index(
            tmp_path / "towers.jsonl",
            location,
            checkpoint,
            lambda done, total: None,
            questions=questions(),
            recall=0.9,
        )
        assert len(read) == (40 if large and given else 0)
        with PassageIndex.open(location) as index:
            learned = index.built.learned
            assert (learned is not None) is large
            if learned is not None:
                assert learned.made is not given and learned.wanted == 0.9
                assert index.candidates == (200 if given else 400)


def test_a_large_index_made_in_python_learns_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "LEARNED_FROM", 50)
    encoder = Encoder(load_checkpoint(GOLDEN / "B_preflmr"))
    with pytest.raises(InvalidTrainingData, match="and 3 were given"):
        PassageIndex.build(tmp_path, PASSAGES, encoder, questions=[Query("How high?")] * 3)
    assert not any(tmp_path.iterdir())
    with PassageIndex.build(tmp_path, PASSAGES, encoder, recall=0.9) as index:
        learned = index.built.learned
        assert learned is not None and learned.made and learned.wanted == 0.9
        assert len(index.search(encoder.encode_query(Query("How high is tower 7?")), 5)) == 5

"""The passage index: what it takes, finds and refuses, whatever its home."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retriever.errors import IndexNotReady
from retriever.index import rows as embeddings_module
from retriever.index.passage_index import PassageIndex
from tests.index_cases import (
    DIM,
    Rows,
    build,
    ids,
    make_fingerprint,
    make_passages,
    random_embeddings,
    unit,
)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the place of a finished index of three passages, for tests that leave it alone."""
    location = tmp_path_factory.mktemp("three")
    build(location, random_embeddings(3))
    return location


def test_negative_scores_keep_their_order(tmp_path: Path) -> None:
    build(tmp_path, [unit([[-1, 0]]), unit([[-1, 3], [-1, 1]]), unit([[-1, 1]])])

    with PassageIndex.open(tmp_path) as index:
        hits = index.search(unit([[1, 0]]), top_k=3, mode="exact")

    assert ids(hits) == ["p001", "p002", "p000"]
    assert [hit.score for hit in hits] == pytest.approx([-(10**-0.5), -(2**-0.5), -1.0], abs=1e-3)


def test_zero_query_rows_are_dropped(tmp_path: Path) -> None:
    embeddings = random_embeddings(30)
    build(tmp_path, embeddings)
    q_QD = unit(np.random.default_rng(9).normal(size=(3, DIM)))
    padded = np.concatenate([np.zeros((2, DIM), np.float32), q_QD, np.zeros((4, DIM), np.float32)])

    with PassageIndex.open(tmp_path) as index:
        assert index.search(padded, top_k=5) == index.search(q_QD, top_k=5)
        with pytest.raises(ValueError, match="the query"):
            index.search(np.zeros((4, DIM)), top_k=5)


def test_top_k_beyond_the_index_gives_all_of_it(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(5))

    with PassageIndex.open(tmp_path) as index:
        for mode in ("exact", "two-stage"):
            assert len(index.search(unit([[1]]), top_k=1000, mode=mode)) == 5


def test_top_k_does_not_change_what_comes_first(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(80))
    q_QD = unit(np.random.default_rng(3).normal(size=(5, DIM)))

    with PassageIndex.open(tmp_path) as index:
        longest = index.search(q_QD, top_k=20, candidates=20)
        assert all(index.search(q_QD, k, candidates=20) == longest[:k] for k in (1, 3, 19))


def test_candidates_bound_what_is_scored(tmp_path: Path) -> None:
    # The mean of p000 points away from the query, though one of its rows is the query: eleven
    # other means are nearer, and one candidate looks at ten.
    hidden = unit([[1, 0], [-1, 3], [-1, 3]])
    build(tmp_path, [hidden] + [unit([[2, 1]])] * 11)
    query = unit([[1, 0]])

    with PassageIndex.open(tmp_path) as index:
        assert ids(index.search(query, 1, mode="exact")) == ["p000"]
        assert ids(index.search(query, 1, candidates=2)) == ["p000"]
        assert ids(index.search(query, 1, candidates=1)) != ["p000"]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"top_k": 0}, "got 0"),
        ({"top_k": 1, "candidates": 0}, "got 1 and 0"),
        ({"top_k": 1, "mode": "fast"}, "'fast'"),
        ({"top_k": 1, "q_QD": np.ones((2, 8))}, r"got shape \(2, 8\)"),
        ({"top_k": 1, "q_QD": np.full((1, DIM), np.nan)}, "the query: row 0 has norm nan"),
    ],
)
def test_a_wrong_query_is_refused(three: Path, kwargs: dict[str, object], message: str) -> None:
    with PassageIndex.open(three) as index, pytest.raises(ValueError, match=message):
        index.search(**{"q_QD": unit([[1]]), **kwargs})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (unit([[1, 0], [0, 1]]) * [[1], [1.02]], "row 1 has norm 1.02"),
        (np.concatenate([unit([[1]]), np.zeros((1, DIM))]), "row 1 has norm 0"),
        (np.full((1, DIM), np.nan), "row 0 has norm nan"),
        (np.zeros((0, DIM)), r"got shape \(0, 16\)"),
        (np.ones((2, DIM + 1)), r"got shape \(2, 17\)"),
        (unit([[1]])[0], r"got shape \(16,\)"),
        (np.repeat(unit([[1]]), 65_536, axis=0), "1,048,576 numbers"),
    ],
)
def test_a_wrong_embedding_is_refused_by_name(tmp_path: Path, rows: Rows, message: str) -> None:
    with PassageIndex.create(tmp_path, make_fingerprint(2)) as index:
        with pytest.raises(ValueError, match=f"passage 'p001': .*{message}"):
            index.upsert(make_passages(2), [unit([[1]]), rows])
        assert index.count == 0


def test_slightly_off_norms_are_taken(tmp_path: Path) -> None:
    with PassageIndex.create(tmp_path, make_fingerprint(1)) as index:
        index.upsert(make_passages(1), [unit([[1, 2], [3, 4]]).astype(np.float16) * 1.005])
        assert index.count == 1


def test_writes_are_cut_into_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings_module, "MAX_ELEMENTS", 10 * DIM)
    embeddings = random_embeddings(50)
    sizes = [
        sum(len(embeddings[i]) for i in batch) for batch in embeddings_module.batches(embeddings)
    ]
    assert len(sizes) > 10 and max(sizes) <= 10 and sum(sizes) == sum(map(len, embeddings))

    build(tmp_path, embeddings)
    with PassageIndex.open(tmp_path) as index:
        assert index.count == 50


def test_more_ids_than_one_page(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(2100))
    with PassageIndex.open(tmp_path) as index:
        assert index.passage_ids() == {f"p{i:03}" for i in range(2100)}


def test_a_build_goes_on_where_it_stopped(tmp_path: Path) -> None:
    embeddings, passages = random_embeddings(10), make_passages(10)
    fingerprint = make_fingerprint(10)
    with PassageIndex.create_or_resume(tmp_path, fingerprint) as index:
        index.upsert(passages[:6], embeddings[:6])
        with pytest.raises(ValueError, match="holds 6 of 10 passages"):
            index.finish()

    with PassageIndex.create_or_resume(tmp_path, fingerprint) as index:
        assert not index.complete
        assert index.passage_ids() == {passage.id for passage in passages[:6]}
        index.upsert(passages[4:], embeddings[4:])
        index.finish()
        assert index.complete and index.count == 10
        with pytest.raises(ValueError, match="is finished"):
            index.upsert(passages[:1], embeddings[:1])

    with PassageIndex.create_or_resume(tmp_path, fingerprint) as index:
        assert index.complete and index.fingerprint == fingerprint
        assert len(index.search(unit([[1]]), top_k=20)) == 10


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("checkpoint_sha256", "c1"),
        ("corpus_sha256", "d1"),
        ("passages", 4),
        ("max_passage_tokens", 64),
    ],
)
def test_another_fingerprint_is_refused(three: Path, field: str, value: object) -> None:
    fingerprint = make_fingerprint(3)
    other = replace(fingerprint, **{field: value})  # type: ignore[arg-type]
    difference = f"{field} is {getattr(fingerprint, field)!r} in the index and {value!r} here"

    for use in (PassageIndex.open, PassageIndex.create_or_resume):
        with pytest.raises(IndexNotReady) as refusal:
            use(three, other)
        assert difference in str(refusal.value)
        anew = f"build PASSAGES.jsonl --index {three} --checkpoint DIRECTORY/tiny --swap`"
        assert anew in str(refusal.value)


def test_other_names_for_the_same_content_are_fine(three: Path) -> None:
    fingerprint = make_fingerprint(3)
    with PassageIndex.open(three, replace(fingerprint, checkpoint="copy", corpus="zoo2")) as index:
        assert index.get(["p001"])[0].id == "p001"


def test_a_closed_index_refuses_use(three: Path) -> None:
    index = PassageIndex.open(three)
    index.close()
    index.close()
    with pytest.raises(ValueError, match="is closed"):
        index.search(unit([[1]]), top_k=1)


def test_threads_share_an_index(tmp_path: Path) -> None:
    build(tmp_path, random_embeddings(60))
    queries = random_embeddings(24, seed=5)

    with PassageIndex.open(tmp_path) as index, ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda q_QD: index.search(q_QD, top_k=5), queries))
        assert together == [index.search(q_QD, top_k=5) for q_QD in queries]

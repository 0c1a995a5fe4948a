"""The learned candidate stage: what it finds, what it survives, and where it is left out."""

import base64
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import qdrant_edge as edge

from retriever.building.tools import copy_index, verify_index
from retriever.engines import candidates
from retriever.engines.candidates import CANDIDATES, candidate_stages, widest_step
from retriever.engines.directory import shard_files
from retriever.engines.embedded import EmbeddedEngine
from retriever.engines.interface import (
    LEARNED,
    LEARNED_HALF,
    LEARNED_WHOLE,
    MEAN,
    TOKENS,
)
from retriever.engines.learned import (
    LearnedStage,
    maxima,
    stage_of,
    text_sha256,
)
from retriever.errors import IndexUnavailable
from retriever.index import learning
from retriever.index.learning import _Measured, _sampled, centres_of
from retriever.index.passage_index import Learning, PassageFilter, PassageIndex
from tests.index_cases import DIM, Rows, ids, make_fingerprint, make_passages, unit
from tests.learning_cases import COUNT, LEARNED_FROM, built, recall


@pytest.fixture(autouse=True)
def small_indexes_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "LEARNED_FROM", LEARNED_FROM)


def test_it_finds_what_means_lose(
    tmp_path: Path, embeddings: list[Rows], queries: list[Rows]
) -> None:
    asked, given = queries[:30], queries[30:]
    built(tmp_path / "means", embeddings, [])
    built(tmp_path / "learned", embeddings, given)
    with (
        PassageIndex.open(tmp_path / "means") as means,
        PassageIndex.open(tmp_path / "learned") as learned,
    ):
        assert means.built.learned is None
        assert recall(learned, asked, 10) > recall(means, asked, 10) + 0.1
        assert recall(learned, asked, 10) > 0.95


def test_maxima_are_those_of_each_passage(embeddings: list[Rows]) -> None:
    x_RD = embeddings[0]
    expected = [(x_RD @ p_PD.T).max(axis=1) for p_PD in embeddings]
    assert maxima(x_RD, embeddings) == pytest.approx(np.array(expected), abs=1e-5)
    assert maxima(x_RD, []).shape == (0, len(x_RD))


def test_rows_to_learn_from_are_unlike_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """By chance a word that every question has would be half of them."""
    monkeypatch.setattr(learning, "SAMPLE_ROWS", 64)
    rng = np.random.default_rng(0)
    word_D, *own = unit(rng.normal(size=(61, DIM)))
    queries = [np.stack([word_D, word_D, own_D]) for own_D in own]
    sample_RD = _sampled(queries)
    assert (np.isclose(sample_RD @ word_D, 1, atol=1e-5)).sum() == 1
    assert len(np.unique(sample_RD, axis=0)) == len(sample_RD) > 20
    rows = {row.tobytes() for query in queries for row in query}
    assert all(row.tobytes() in rows for row in sample_RD), "they are rows of queries"
    few = _sampled(queries[:20])
    assert sorted(map(tuple, few)) == sorted(map(tuple, np.concatenate(queries[:20])))


def test_a_large_index_hands_on_more_for_each_candidate(
    embeddings: list[Rows], queries: list[Rows]
) -> None:
    sample_RD = np.concatenate(queries[30:])
    centres_FD = centres_of(np.concatenate(embeddings), 64)
    limits = []
    for learned in (None, LearnedStage(centres_FD, sample_RD, 0.2, widening=7)):
        steps = candidate_stages(queries[0], 200, 10, learned=learned)
        first = steps.before and steps.before.before
        assert first is not None and first.limit == widest_step(200, learned)
        limits.append(first.limit)
    assert limits == [2_000, 1_400]


def test_few_directions_order_passages_as_all_likenesses_do(
    embeddings: list[Rows], queries: list[Rows]
) -> None:
    rows, sample_RD = np.concatenate(embeddings), np.concatenate(queries[30:])
    whole = LearnedStage(centres_of(rows, 400), sample_RD, 0.2)
    best = whole.directed(embeddings[:160], 64)
    assert (whole.using, best.using) == (LEARNED_WHOLE, LEARNED_HALF)
    stages = (whole, best)
    passages = [np.stack(stage.passage_vectors(embeddings)) for stage in stages]
    assert [vectors.shape[1] for vectors in passages] == [400 + DIM + 1, 64]
    alike = []
    for q_QD in queries[:30]:
        scores = [v @ stage.query_vector(q_QD) for v, stage in zip(passages, stages, strict=True)]
        alike.append(np.corrcoef(scores)[0, 1])
    assert np.mean(alike) > 0.98


def test_four_bits_of_a_balanced_number_order_passages_as_whole_ones_do(
    tmp_path: Path, embeddings: list[Rows], queries: list[Rows]
) -> None:
    built(tmp_path, embeddings, queries[30:])
    with PassageIndex.open(tmp_path) as index:
        assert index.built.learned is not None and index.built.learned.balanced
        stage = stage_of(index.built.learned, DIM)
        points = list(index.points())
    assert stage.using == LEARNED
    kept = np.stack([point.vectors[LEARNED] for point in points])
    solved = np.stack(stage.passage_vectors([point.vectors[TOKENS] for point in points]))
    plain = replace(stage, balance_2K=None)
    weights = np.stack(plain.passage_vectors([point.vectors[TOKENS] for point in points]))
    for q_QD in queries[:30]:
        scores = solved @ stage.query_vector(q_QD)
        # What is taken off is the same for all passages.
        assert np.ptp(weights @ plain.query_vector(q_QD) - scores) < 1e-3 * np.ptp(scores)
        assert np.corrcoef(scores, kept @ stage.query_vector(q_QD))[0, 1] > 0.98


def test_each_number_is_of_one_size_in_passages_and_in_queries(
    embeddings: list[Rows], queries: list[Rows]
) -> None:
    sample_RD = np.concatenate(queries[30:])
    stage = LearnedStage(centres_of(sample_RD, 100), sample_RD, 0.2).directed(embeddings, 16)
    balanced = stage.balanced(embeddings, queries)
    vectors_NK = np.stack(balanced.passage_vectors(embeddings))
    asked_HK = np.stack([balanced.query_vector(q_QD) for q_QD in queries])
    assert vectors_NK.mean(axis=0) == pytest.approx(0, abs=1e-3)
    sizes = vectors_NK.std(axis=0), np.sqrt(np.square(asked_HK).mean(axis=0))
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-3)


def test_a_curve_goes_on_as_far_as_the_best_of_a_large_index_lie() -> None:
    stage = LearnedStage(unit(np.ones((1, DIM))), unit(np.ones((2, DIM))), 0.2)
    measured = _Measured(stage, [unit(np.ones((2, DIM)))])
    estimated_N1 = np.arange(40_000, 0, -1, dtype=np.float32)[:, None]
    exact_N1 = (estimated_N1 == 40_000 - 20_000).astype(np.float32) * 10
    exact_N1[:9] = 1
    measured._estimated.append(estimated_N1)
    ids = list(map(str, range(40_000)))
    for page in (slice(0, 30_000), slice(30_000, None)):
        measured._remember(ids[page], np.stack([exact_N1[page], estimated_N1[page]]))
    assert measured._best_ids[:, 0].tolist() == ["20000", *map(str, range(9))]
    assert dict(measured.curve())[16_000] == 0.9 and dict(measured.curve())[32_000] == 1


def optimised(location: Path, **settings: object) -> dict[str, int]:
    """Let the engine index few points too; return the links of a point in each of its graphs."""
    config = location / "shard" / "edge_config.json"
    soon = json.loads(config.read_text()) | {"optimizers": {"indexing_threshold": 1}} | settings
    config.write_text(json.dumps(soon))
    shard = edge.EdgeShard.load(str(location / "shard"))
    shard.optimize()
    shard.close()
    return {
        path.parent.name.removeprefix("vector_index-"): json.loads(path.read_text())["m"]
        for path in location.rglob("hnsw_config.json")
    }


def test_no_graph_is_made(tmp_path: Path, embeddings: list[Rows], queries: list[Rows]) -> None:
    built(tmp_path, embeddings, queries)
    assert optimised(tmp_path) == {MEAN: 0, LEARNED: 0, TOKENS: 0}


def test_an_index_that_has_a_graph_opens_and_is_searched_without(
    tmp_path: Path, embeddings: list[Rows], queries: list[Rows]
) -> None:
    built(tmp_path, embeddings[: LEARNED_FROM - 1], [])
    # So sparse that it finds next to nothing by itself.
    graph = {"m": 1, "ef_construct": 1, "full_scan_threshold": 1}
    config = json.loads((tmp_path / "shard" / "edge_config.json").read_text())
    config["vectors"][MEAN]["hnsw_config"] = graph
    assert optimised(tmp_path, vectors=config["vectors"])[MEAN] == 1
    record = json.loads((tmp_path / "kbvqa-index.json").read_text())
    record["finished"]["files"] = shard_files(tmp_path / "shard")
    (tmp_path / "kbvqa-index.json").write_text(json.dumps(record))
    with PassageIndex.open(tmp_path) as index:
        for q_QD in queries[:10]:
            assert ids(index.search(q_QD, 10)) == ids(index.search(q_QD, 10, mode="exact"))


def test_an_index_that_is_small_learns_nothing(
    tmp_path: Path, embeddings: list[Rows], queries: list[Rows]
) -> None:
    built(tmp_path, embeddings[: LEARNED_FROM - 1], queries)
    with PassageIndex.open(tmp_path) as index:
        assert index.built.learned is None and index.candidates == CANDIDATES
        assert LEARNED not in next(index.points()).vectors


def test_an_index_of_before_opens_as_it_was_and_learns_when_it_is_changed(
    tmp_path: Path, embeddings: list[Rows], queries: list[Rows]
) -> None:
    built(tmp_path, embeddings[:LEARNED_FROM], [])
    record = json.loads((tmp_path / "kbvqa-index.json").read_text())
    del record["finished"]["learned"]
    (tmp_path / "kbvqa-index.json").write_text(json.dumps(record))
    with PassageIndex.open(tmp_path) as index:
        assert index.built.learned is None and len(index.search(queries[0], 5)) == 5
    with PassageIndex.update(tmp_path, make_fingerprint(LEARNED_FROM)) as index:
        index.finish(learning=Learning(queries))
        assert index.built.learned is not None


def test_what_was_learned_is_kept_until_the_index_has_doubled(
    tmp_path: Path, embeddings: list[Rows], queries: list[Rows]
) -> None:
    built(tmp_path, embeddings[:LEARNED_FROM], queries)
    learned = []
    for count in (LEARNED_FROM + 10, 2 * LEARNED_FROM):
        with PassageIndex.update(tmp_path, make_fingerprint(count)) as index:
            assert index.learns is (count == 2 * LEARNED_FROM) or index.count < count
            index.upsert(make_passages(count), embeddings[:count])
            index.finish(learning=Learning(queries))
        with PassageIndex.open(tmp_path) as index:
            assert index.built.learned is not None
            learned.append(index.built.learned.passages)
            assert verify_index(index) == []
    assert learned == [LEARNED_FROM, 2 * LEARNED_FROM]


def test_an_index_that_grows_large_has_room_for_what_it_learns(
    tmp_path: Path, embeddings: list[Rows], queries: list[Rows]
) -> None:
    built(tmp_path, embeddings[: LEARNED_FROM - 1], queries)
    with PassageIndex.update(tmp_path, make_fingerprint(LEARNED_FROM)) as index:
        index.upsert(make_passages(LEARNED_FROM), embeddings[:LEARNED_FROM])
        index.finish(learning=Learning(queries))
    with PassageIndex.open(tmp_path) as index:
        assert index.built.learned is not None and verify_index(index) == []


@pytest.mark.parametrize("before", [0, LEARNED_FROM - 1])
def test_a_shard_has_room_before_it_has_its_name(
    tmp_path: Path,
    embeddings: list[Rows],
    queries: list[Rows],
    monkeypatch: pytest.MonkeyPatch,
    before: int,
) -> None:
    if before:
        built(tmp_path, embeddings[:before], queries)

    def killed(engine: EmbeddedEngine, name: str, size: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedEngine, "make_room", killed)
        with pytest.raises(KeyboardInterrupt):
            PassageIndex.update(tmp_path, make_fingerprint(LEARNED_FROM))
    shard = tmp_path / ("shard-2" if before else "shard")
    assert not shard.exists() and shard.with_name(f"{shard.name}.new").exists()
    with PassageIndex.update(tmp_path, make_fingerprint(LEARNED_FROM)) as index:
        index.upsert(make_passages(LEARNED_FROM), embeddings[:LEARNED_FROM])
        index.finish(learning=Learning(queries))
        assert index.built.learned is not None


def test_an_index_that_is_killed_while_it_learns_anew_is_searched_by_means(
    tmp_path: Path, embeddings: list[Rows], queries: list[Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    built(tmp_path, embeddings[:LEARNED_FROM], queries)
    count = 2 * LEARNED_FROM

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with PassageIndex.update(tmp_path, make_fingerprint(count)) as index:
        index.upsert(make_passages(count), embeddings[:count])
        monkeypatch.setattr(index._engine, "set_vectors", killed)
        with pytest.raises(KeyboardInterrupt):
            index.finish(learning=Learning(queries))
    with PassageIndex.update(tmp_path, make_fingerprint(count)) as index:
        assert index.built.learned is None
        index.finish()
    with PassageIndex.open(tmp_path) as index:
        assert index.built.learned is None and index.count == count
        assert recall(index, queries[:5], count) == 1


def test_queries_that_are_none_change_nothing(
    tmp_path: Path, embeddings: list[Rows], queries: list[Rows]
) -> None:
    with pytest.raises(ValueError, match="3 queries are too few"):
        Learning(queries[:3])
    with pytest.raises(ValueError, match="recall must be"):
        Learning(queries, recall=1.5)
    broken = [np.full_like(queries[0], np.nan), *queries[1:]]
    with PassageIndex.create(tmp_path, make_fingerprint(LEARNED_FROM)) as index:
        index.upsert(make_passages(LEARNED_FROM), embeddings[:LEARNED_FROM])
        with pytest.raises(ValueError, match="a query to learn from: row 0 has norm nan"):
            index.finish(learning=Learning(broken))
        index.finish()
    with PassageIndex.open(tmp_path) as index:
        assert index.built.learned is None


@pytest.fixture(scope="module")
def learned_index(
    tmp_path_factory: pytest.TempPathFactory, embeddings: list[Rows], queries: list[Rows]
) -> Path:
    location = tmp_path_factory.mktemp("learned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "LEARNED_FROM", LEARNED_FROM)
        built(location, embeddings, queries)
    return location


def test_it_says_how_many_candidates_find_what_is_asked_for(learned_index: Path) -> None:
    with PassageIndex.open(learned_index) as index:
        learned = index.built.learned
    assert learned is not None
    shares = [share for _, share in learned.recall]
    assert shares == sorted(shares) and shares[-1] >= 0.99 == learned.wanted
    # A quarter of what may be lost is the one vector's, of so few passages all are enough.
    enough = next(c for c, share in learned.recall if share >= 0.9975)
    assert learned.candidates == 200 and learned.widening == -(-max(3 * enough, 1_000) // 200)
    assert (learned.passages, learned.queries, learned.made) == (COUNT, 15, False)


def test_filters_hold(learned_index: Path, queries: list[Rows]) -> None:
    chosen = PassageFilter(sources=("source1",))
    with PassageIndex.open(learned_index) as index:
        hits = index.search(queries[0], 5, chosen)
        assert hits == index.search(queries[0], 5, chosen, mode="exact")
        assert {hit.passage.source for hit in hits} == {"source1"}


def test_a_copy_learns_nothing_anew(learned_index: Path, tmp_path: Path) -> None:
    with PassageIndex.open(learned_index) as index:
        copy_index(index, tmp_path / "copy")
        with PassageIndex.open(tmp_path / "copy") as copy:
            assert copy.built.learned == index.built.learned
            assert verify_index(copy) == []


def test_a_record_that_was_changed_is_refused(learned_index: Path) -> None:
    with PassageIndex.open(learned_index) as index:
        learned = index.built.learned
    assert learned is not None
    with pytest.raises(IndexUnavailable, match=r"candidate stage .* is damaged"):
        stage_of(replace(learned, numbers="AAAA" + learned.numbers[4:]), DIM)
    # Of a record that was written so, the hash is right.
    short, wide = learned.numbers[:-4], learned.numbers[:-5] + "é===="
    packed = base64.b64decode(learned.numbers)
    rows = len(packed) // DIM
    # A scale that is no number, or none that can be divided by.
    scales = (np.array([scale], "<f4").tobytes() for scale in (math.nan, 0, -1))
    unbalanced = [base64.b64encode(packed[:-4] + scale).decode() for scale in scales]
    for change in (
        *({"numbers": text, "sha256": text_sha256(text)} for text in ("", "A", short, wide)),
        *({"centres": centres} for centres in (-1, 0, rows, rows + 1)),
        *({"candidates": count} for count in (0, -5)),
        *({"directions": count} for count in (-512, 256, 513)),
        {"threshold": math.nan},
        *({"numbers": text, "sha256": text_sha256(text)} for text in unbalanced),
    ):
        with pytest.raises(IndexUnavailable, match=r"candidate stage .* is damaged.* anew"):
            stage_of(replace(learned, **change), DIM)
    stage = stage_of(learned, DIM)
    shape = (DIM, learned.centres, learned.threshold, learned.directions)
    again = LearnedStage.from_text(stage.to_text(), *shape, balanced=True)
    assert again.to_text() == learned.numbers


def test_a_passage_without_its_vector_is_found_by_verify(
    tmp_path: Path, embeddings: list[Rows], queries: list[Rows]
) -> None:
    with PassageIndex.create(tmp_path, make_fingerprint(LEARNED_FROM)) as index:
        index.upsert(make_passages(LEARNED_FROM), embeddings[:LEARNED_FROM])
        index.finish(learning=Learning(queries))
    with PassageIndex.update(tmp_path, make_fingerprint(LEARNED_FROM)) as index:
        [lost, wrong, other] = list(index.points())[:3]
        vectors = dict(lost.vectors)
        del vectors[LEARNED]
        index._engine.upsert([replace(lost, vectors=vectors)])
        index._engine.set_vectors([replace(wrong, vectors={LEARNED: -other.vectors[LEARNED]})])
        index.finish()
    with PassageIndex.open(tmp_path) as index:
        problems = verify_index(index)
    assert len(problems) == 2
    assert "has no learned vector" in problems[0] and "is not its own" in problems[1]

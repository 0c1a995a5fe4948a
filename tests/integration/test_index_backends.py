"""One suite for every home of an index: same calls, same results."""

import uuid
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from retriever.building.tools import verify_index
from retriever.engines import candidates
from retriever.engines.interface import LEARNED, MEAN, TOKENS, Point
from retriever.engines.learned import stage_of
from retriever.engines.record import DEFAULT_STORAGE
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.index.passage_index import Learning, PassageFilter, PassageIndex, Storage
from tests.index_cases import (
    DIM,
    Rows,
    exact_scores,
    ids,
    make_fingerprint,
    make_passages,
    random_embeddings,
    unit,
)
from tests.integration.conftest import Home

COUNT = 60
QUERY = unit(np.random.default_rng(9).normal(size=(12, DIM)))


def create(home: Home, count: int = COUNT, storage: Storage = DEFAULT_STORAGE) -> PassageIndex:
    return PassageIndex.create(home.location, make_fingerprint(count), storage, home.connection)


def build(home: Home, embeddings: list[Rows], storage: Storage = DEFAULT_STORAGE) -> None:
    with create(home, len(embeddings), storage) as index:
        index.upsert(make_passages(len(embeddings)), embeddings)
        index.finish()


def opened(home: Home) -> PassageIndex:
    return PassageIndex.open(home.location, connection=home.connection)


@pytest.fixture
def index(home: Home) -> Iterator[PassageIndex]:
    build(home, random_embeddings(COUNT))
    with opened(home) as finished:
        yield finished


# What another program might keep beside its vectors, and what breaks a page.
FOREIGN = [{"page_content": "Buy now", "metadata": {"n": 1}}, {"id": "p1", "text": "p1"}, {}]


@pytest.mark.parametrize("mode", ["exact", "two-stage"])
def test_what_is_no_passage_is_left_out_of_hits_and_said(
    home: Home, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    embeddings = random_embeddings(COUNT)
    # They match the query better than any passage.
    vectors = {TOKENS: QUERY.astype(np.float32), MEAN: unit(QUERY.mean(0, keepdims=True))[0]}
    theirs = [
        Point(str(uuid.UUID(int=n + 1)), vectors, payload) for n, payload in enumerate(FOREIGN)
    ]
    with create(home, COUNT + len(theirs)) as index:
        index.upsert(make_passages(COUNT), embeddings)
        index._engine.upsert(theirs)
        index.finish()
    with opened(home) as index:
        found = index.search(QUERY, 4, mode=mode)  # type: ignore[arg-type]
        scores = exact_scores(QUERY, embeddings)
        assert ids(found) == [f"p{n:03}" for n in np.argsort(-scores)[:4]]
        assert index.foreign == len(FOREIGN)
        assert len(index.search(QUERY, 4)) == 4
        assert len(index.sample(COUNT + 10)) == len(list(index.row_counts())) == COUNT
        assert index.foreign == len(FOREIGN), "each counts once"
        problems = verify_index(index)
    said = [record.getMessage() for record in caplog.records if "no passage" in record.message]
    assert len(said) == len(FOREIGN)
    assert home.location in said[0] and "Delete the point" in said[0]
    for payload in ("'metadata', 'page_content'", "'id', 'text'", "nothing"):
        assert any(f"payload has {payload}" in line for line in said)
        assert any(f"payload has {payload}" in problem for problem in problems)


@pytest.mark.parametrize("mode", ["exact", "two-stage"])
@pytest.mark.parametrize(("tokens", "tolerance"), [("float32", 1e-4), ("float16", 7e-3)])
def test_scores_are_those_of_maxsim(home: Home, mode: str, tokens: str, tolerance: float) -> None:
    embeddings = random_embeddings(COUNT)
    build(home, embeddings, Storage(tokens=tokens))  # type: ignore[arg-type]
    scores = exact_scores(QUERY, embeddings)

    with opened(home) as index:
        assert index.storage.tokens == tokens and index.count == COUNT
        hits = index.search(QUERY, 10, mode=mode)  # type: ignore[arg-type]

    assert ids(hits) == [f"p{i:03}" for i in np.argsort(-scores)[:10]]
    expected = sorted(scores, reverse=True)[:10]
    assert [hit.score for hit in hits] == pytest.approx(expected, abs=tolerance)
    assert hits[0].passage == make_passages(COUNT)[int(scores.argmax())]


def test_many_queries_are_answered_as_one_by_one(index: PassageIndex) -> None:
    queries = random_embeddings(25, seed=3)
    for mode in ("exact", "two-stage"):
        together = index.search_many(queries, 7, mode=mode)  # type: ignore[arg-type]
        assert together == [index.search(q, 7, mode=mode) for q in queries]  # type: ignore[arg-type]
    assert index.search_many([], 7) == []


def test_equal_scores_come_in_the_order_of_their_ids(home: Home) -> None:
    best, same = unit([[1, 0]]), unit([[1, 1]])
    build(home, [same] * 20 + [best] + [same] * 20)

    with opened(home) as index:
        expected = ["p020"] + [f"p{i:03}" for i in range(41) if i != 20]
        for top_k in (1, 2, 5, 30):
            for mode in ("exact", "two-stage"):
                assert ids(index.search(best, top_k, mode=mode)) == expected[:top_k]  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["exact", "two-stage"])
@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (PassageFilter(sources=("source1",)), [i for i in range(COUNT) if i % 3 == 1]),
        (PassageFilter(languages=("de",)), [i for i in range(COUNT) if i % 2]),
        (PassageFilter(sources=("source0", "source2"), languages=("en",)),
         [i for i in range(COUNT) if i % 3 != 1 and i % 2 == 0]),
        (PassageFilter(title_prefix="Title 4"), [4, *range(40, 50)]),
        (PassageFilter(title_prefix="title 4"), []),
        (PassageFilter(titles=("Title 4", "Title 41", "Title")), [4, 41]),
        (PassageFilter(ids=("p003", "p059", "p999")), [3, 59]),
        (PassageFilter(ids=()), []),
        (PassageFilter(), list(range(COUNT))),
    ],
)  # fmt: skip
def test_filters(
    index: PassageIndex, mode: str, chosen: PassageFilter, expected: list[int]
) -> None:
    hits = index.search(QUERY, COUNT, filter=chosen, mode=mode)  # type: ignore[arg-type]
    assert sorted(ids(hits)) == [f"p{i:03}" for i in expected]
    scores = exact_scores(QUERY, random_embeddings(COUNT))
    ranked = sorted(expected, key=lambda i: -scores[i])
    assert ids(hits) == [f"p{i:03}" for i in ranked]


def test_the_sources_that_a_filter_may_name(home: Home) -> None:
    passages = make_passages(9)
    passages[:2] = [replace(passage, source="") for passage in passages[:2]]
    with create(home, 9) as index:
        index.upsert(passages, random_embeddings(9))
        assert index.sources() == ["source2", "source0", "source1"]
        index.delete(PassageFilter(sources=("source0",)))
        assert index.sources() == ["source2", "source1"]


def test_a_title_is_had_whatever_its_words_begin_with(home: Home) -> None:
    titles = ["Cat", "Great White Shark", "Tabby cat", ""]
    passages = [replace(p, title=t) for p, t in zip(make_passages(4), titles, strict=True)]
    with create(home, 4) as index:
        index.upsert(passages, random_embeddings(4))
        had = ["cat", "Cat", "great white shark", "tabby cat"]
        assert [
            title for title in [*had, "tabby", "shark", "Cats"] if index.has_thing(title)
        ] == had


def test_a_proper_name_is_no_thing_of_that_name(home: Home) -> None:
    texts = {
        "Jersey": "Jersey. In 1781 the attack on Jersey failed.",
        "Sweater": "Sweater. A sweater is a garment. At Sweater, a shop, it is sold.",
    }
    passages = [
        replace(p, title=title, text=text)
        for p, (title, text) in zip(make_passages(2), texts.items(), strict=True)
    ]
    with create(home, 2) as index:
        index.upsert(passages, random_embeddings(2))
        assert index.has_thing("jersey") is None
        assert index.has_thing("sweater") is True
        assert index.has_thing("pullover") is False


def test_rows_come_back_by_passage_as_they_were_scored(index: PassageIndex) -> None:
    embeddings = random_embeddings(COUNT)
    for i, rows in zip((2, 0), index.rows(["p002", "p000"]), strict=True):
        assert rows.shape == embeddings[i].shape
        np.testing.assert_allclose(rows, embeddings[i], atol=2e-3)  # kept as float16 somewhere
    with pytest.raises(ValueError, match="no passage 'p999'"):
        index.rows(["p999"])


def test_passages_come_back_as_written(index: PassageIndex) -> None:
    passages = make_passages(COUNT)
    assert index.passage_ids() == {p.id for p in passages}
    assert index.get(["p002", "p000"]) == [passages[2], passages[0]]
    assert index.get([]) == []
    with pytest.raises(ValueError, match="no passage 'p999'"):
        index.get(["p001", "p999"])
    assert set(index.content_hashes(["p002", "p999"])) == {"p002"}
    stored = {passage.id: rows for passage, rows in index.scroll()}
    assert len(stored) == COUNT
    for passage, rows in zip(passages, random_embeddings(COUNT), strict=True):
        np.testing.assert_allclose(stored[passage.id], rows, atol=1e-3)
    lengths = {passage.id: count for passage, count in index.row_counts()}
    assert lengths == {id: len(rows) for id, rows in stored.items()}


def test_writing_a_passage_again_replaces_it(home: Home) -> None:
    passage = make_passages(1)[0]
    with create(home, 1) as index:
        index.upsert([passage], [unit([[0, 1]])])
        before = index.content_hashes()
        index.upsert([replace(passage, text="new")], [unit([[1, 0]])])
        assert index.content_hashes().keys() == before.keys()
        assert index.content_hashes() != before
        index.finish()
        hits = index.search(unit([[1, 0]]), 5)
    assert [(hit.passage.text, round(hit.score, 3)) for hit in hits] == [("new", 1.0)]


def test_deletion(home: Home) -> None:
    with create(home) as index:
        index.upsert(make_passages(COUNT), random_embeddings(COUNT))
        assert index.delete(["p000", "p001", "p999"]) == 2
        assert index.delete(["p000"]) == 0
        assert index.delete(PassageFilter(sources=("source2",))) == 20
        assert index.delete(PassageFilter(languages=("de",), title_prefix="Title 4")) == 3
        assert index.count == COUNT - 25
        with pytest.raises(ValueError, match="every passage"):
            index.delete(PassageFilter())
        with pytest.raises(TypeError, match="'p003'"):
            index.delete("p003")
        index.optimise()
        found = ids(index.search(QUERY, COUNT, mode="exact"))
        assert len(found) == COUNT - 25
        assert not {"p000", "p001", "p002", "p005", "p043"} & set(found)


def test_a_finished_index_is_changed_by_an_update(home: Home) -> None:
    build(home, random_embeddings(COUNT))
    smaller = replace(make_fingerprint(COUNT - 1), corpus="renamed", corpus_sha256="d1")
    new = replace(make_passages(1)[0], text="changed")

    with opened(home) as index:
        for change in (
            lambda: index.delete(["p001"]),
            lambda: index.upsert([new], [unit([[1]])]),
        ):
            with pytest.raises(ValueError, match=r"finished.*PassageIndex\.update"):
                change()
    with PassageIndex.update(home.location, smaller, connection=home.connection) as index:
        assert not index.complete and index.count == COUNT
        index.delete(["p001"])
        with opened(home) as searching:
            assert searching.fingerprint == make_fingerprint(COUNT), "until it is finished"
    with PassageIndex.update(home.location, smaller, connection=home.connection) as index:
        assert index.count == COUNT - 1, "an update goes on where it stopped"
        index.upsert([new], [unit([[1]])])
        index.finish()

    with opened(home) as index:
        # The ids of points hang on the corpus's first name, so that one passage stays one point.
        assert index.fingerprint == smaller and index.built.ids_of == "zoo"
        assert index.count == COUNT - 1 and index.get(["p000"]) == [new]
        assert ids(index.search(unit([[1]]), 1)) == ["p000"]
        assert len(index.search(QUERY, COUNT)) == COUNT - 1


def test_a_swap_replaces_the_index_when_it_is_finished(home: Home) -> None:
    build(home, random_embeddings(COUNT))
    other = replace(make_fingerprint(3), checkpoint_sha256="c1", corpus_sha256="d1")
    storage = Storage(tokens="float32")
    with pytest.raises(IndexNotReady, match="checkpoint_sha256 is 'c0' in the index and 'c1' here"):
        PassageIndex.update(home.location, other, connection=home.connection)
    with pytest.raises(IndexNotReady, match="--swap"):
        PassageIndex.update(
            home.location, make_fingerprint(COUNT), storage, connection=home.connection
        )

    for count in (2, 3):  # stopped half-way, and on again
        with PassageIndex.update(
            home.location, other, storage, home.connection, fresh=True
        ) as index:
            assert index.count == (0 if count == 2 else 2)
            index.upsert(make_passages(count), random_embeddings(count, seed=1))
            with opened(home) as searching:
                assert searching.count == COUNT
            if count == 3:
                index.finish()
    with opened(home) as index:
        assert index.fingerprint == other and index.storage == storage and index.count == 3
        assert len(index.search(QUERY, 10, mode="exact")) == 3


def test_a_build_goes_on_where_it_stopped(home: Home) -> None:
    embeddings, passages = random_embeddings(10), make_passages(10)
    with create(home, 10) as index:
        index.upsert(passages[:6], embeddings[:6])
        with pytest.raises(ValueError, match="holds 6 of 10 passages"):
            index.finish()
        index.finish(skipped=4)
        assert index.complete and index.built.skipped == 4
    with pytest.raises(IndexUnavailable, match="is not empty"):
        create(home)


def test_unfinished_missing_and_other_indexes_say_what_to_run(home: Home) -> None:
    command = f"`kbvqa index build PASSAGES.jsonl --index {home.location}`"
    with pytest.raises(IndexNotReady) as missing:
        opened(home)
    assert str(missing.value) == f"there is no index at {home.location}: run {command}"
    create(home, 3).close()
    with pytest.raises(IndexNotReady) as unfinished:
        opened(home)
    assert "is not finished" in str(unfinished.value) and command[:-1] in str(unfinished.value)
    assert "--checkpoint DIRECTORY/tiny`, which goes on" in str(unfinished.value)
    for field, value in [("checkpoint_sha256", "c1"), ("dim", 128), ("pool_factor", 2)]:
        other = replace(make_fingerprint(3), **{field: value})  # type: ignore[arg-type]
        with pytest.raises(IndexNotReady) as refusal:
            PassageIndex.create_or_resume(home.location, other, connection=home.connection)
        assert f"{field} is " in str(refusal.value)
        pooled = " --pool 2" if field == "pool_factor" else ""
        anew = f"{command[:-1]} --checkpoint DIRECTORY/tiny{pooled} --swap`"
        assert anew in str(refusal.value)


@pytest.mark.parametrize("quantization", ["scalar", "binary"])
def test_quantized_copies_are_ranked_by_the_vectors_themselves(
    home: Home, quantization: str
) -> None:
    if home.backend == "local":
        pytest.skip("local mode has no quantization")
    embeddings = random_embeddings(COUNT)
    build(home, embeddings, Storage("float32", quantization))  # type: ignore[arg-type]
    scores = exact_scores(QUERY, embeddings)
    with opened(home) as index:
        hits = index.search(QUERY, 5, candidates=COUNT)
        assert index.search(QUERY, 5, mode="exact") == hits
    assert [hit.score for hit in hits] == pytest.approx(np.sort(scores)[::-1][:5], abs=1e-4)


def test_a_large_index_learns_its_candidates_and_passages_that_come_later_are_solved(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "LEARNED_FROM", 40)
    embeddings, asked = random_embeddings(COUNT), random_embeddings(60, seed=5)
    with create(home) as index:
        index.upsert(make_passages(COUNT), embeddings)
        index.finish(learning=Learning(asked))
    with opened(home) as index:
        learned = index.built.learned
        assert learned is not None and learned.passages == COUNT and learned.recall == ((50, 1.0),)
        first = index.search(QUERY, 5, candidates=30)
        assert first == index.search(QUERY, 5, mode="exact")
        vectors = {point.payload["id"]: point.vectors[LEARNED] for point in index.points()}
    more = random_embeddings(COUNT + 5)
    with PassageIndex.update(
        home.location, make_fingerprint(COUNT + 5), connection=home.connection
    ) as index:
        index.upsert(make_passages(COUNT + 5)[COUNT:], more[COUNT:])
        index.finish()
    with opened(home) as index:
        assert index.built.learned == learned
        stage = stage_of(learned, DIM)
        for point in index.points():
            [solved] = stage.passage_vectors([point.vectors[TOKENS]])
            kept = point.vectors[LEARNED]
            norms = np.linalg.norm(kept) * np.linalg.norm(solved)
            assert kept @ solved > 0.98 * norms  # four bits a number
            before = vectors.get(point.payload["id"])
            assert before is None or np.array_equal(point.vectors[LEARNED], before)


def test_points_have_stable_ids(index: PassageIndex) -> None:
    corpus = uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, "kbvqa:passage"), "zoo")
    expected = {str(uuid.uuid5(corpus, f"p{i:03}")) for i in range(COUNT)}
    assert {point.id for point in index.points()} == expected

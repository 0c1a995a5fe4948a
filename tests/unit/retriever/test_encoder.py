import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from corpus.types import Passage, Query
from retriever import encoder as encoder_module
from retriever.ahead import map_ahead
from retriever.checkpoint import load_checkpoint
from retriever.encoder import Encoder, batches_by_length
from retriever.errors import InvalidQuery
from retriever.microbatch import MicroBatcher
from tests.golden_cases import GOLDEN, golden_image

TEXTS = (
    "Paris is the capital of France.",
    "bird",
    "The old church is in the city. It was built of stone, it is tall, it is large.",
    "...",
)
PASSAGES = [Passage(str(i), text, text) for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(load_checkpoint(GOLDEN / "B_preflmr"), torch.device("cpu"))


def encoded(encoder: Encoder) -> dict[str, np.ndarray]:
    return {
        passage.id: rows
        for passages, embeddings in encoder.encode_corpus(PASSAGES)
        for passage, rows in zip(passages, embeddings, strict=True)
    }


def test_batching_changes_no_embedding(encoder: Encoder, monkeypatch) -> None:
    together = encoded(encoder)
    monkeypatch.setattr(encoder_module, "TOKENS_PER_BATCH", {"cpu": 1})
    alone = encoded(encoder)
    assert together.keys() == alone.keys() == {"0", "1", "2", "3"}
    for id_, rows in together.items():
        np.testing.assert_allclose(rows, alone[id_], atol=1e-5)


def test_passage_rows_are_unit_norm_and_hold_no_punctuation(encoder: Encoder) -> None:
    rows = encoded(encoder)
    for embedding in rows.values():
        np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)
    # [CLS], [D] and [SEP] of a text that is punctuation only.
    assert len(rows["3"]) == 3


def test_instruction_rows_of_a_query_are_dropped(encoder: Encoder) -> None:
    image = golden_image("img0").convert("RGB")
    with_picture, without = encoder.encode_queries(
        [Query("what is this bird", image), Query("what is this bird")]
    )
    np.testing.assert_allclose(np.linalg.norm(with_picture.rows_QD, axis=1), 1, atol=1e-5)
    visual_rows = 4 + 16  # prefix and patches of the tiny model
    assert len(with_picture.rows_QD) == len(without.rows_QD) + visual_rows
    assert len(without.rows_QD) < encoder.checkpoint.query_tokenizer.max_length


def test_mixed_queries_keep_their_order(encoder: Encoder) -> None:
    image = golden_image("img1").convert("RGB")
    queries = [Query("a bird"), Query("a bird", image), Query("the tower"), Query("what", image)]
    together = encoder.encode_queries(queries)
    for query, result in zip(queries, together, strict=True):
        alone = encoder.encode_queries([query])[0]
        np.testing.assert_allclose(result.rows_QD, alone.rows_QD, atol=1e-5)


def test_batches_hold_every_index_within_the_token_budget() -> None:
    lengths = [3, 4, 5, 9, 9, 30]
    batches = list(batches_by_length(range(6), lengths, 20))
    assert [i for batch in batches for i in batch] == list(range(6))
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= 20 for b in batches)


def test_windows_come_whole_and_in_batches_of_their_own(encoder: Encoder, monkeypatch) -> None:
    monkeypatch.setattr(encoder_module, "WINDOW", 3)
    together = encoded(encoder)
    monkeypatch.setattr(encoder_module, "WINDOW", 1024)
    for id_, rows in encoded(encoder).items():
        np.testing.assert_allclose(rows, together.pop(id_), atol=1e-5)
    assert not together


def test_threads_stay_as_they_were_but_for_the_workers(encoder: Encoder, monkeypatch) -> None:
    def threads_elsewhere() -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.get_num_threads).result()

    encode = encoder._encode_batch
    within: list[int] = []

    def watched(tokens: dict[str, torch.Tensor]) -> object:
        within.append(torch.get_num_threads())
        return encode(tokens)

    monkeypatch.setattr(encoder, "_encode_batch", watched)
    monkeypatch.setitem(encoder_module.TOKENS_PER_BATCH, "cpu", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        encoded(encoder)
        assert torch.get_num_threads() == 3
        assert threads_elsewhere() == 3
        assert within == [1] * len(PASSAGES)
    finally:
        torch.set_num_threads(before)


def test_batches_come_in_order_with_few_under_way() -> None:
    started: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        return -item

    with ThreadPoolExecutor(3) as pool:
        values = map_ahead(pool, work, range(20), depth=4)
        assert next(values) == 0
        assert len(started) <= 5
        assert list(values) == [-i for i in range(1, 20)]


def test_an_error_in_the_corpus_reaches_the_caller(encoder: Encoder) -> None:
    def broken():
        yield PASSAGES[0]
        raise OSError("line 2")

    with pytest.raises(OSError, match="line 2"):
        list(encoder.encode_corpus(broken()))


def test_passages_that_are_cut_are_reported(encoder: Encoder, caplog) -> None:
    limit = encoder.checkpoint.passage_tokenizer.max_length
    long = Passage("long", "", "bird " * 2 * limit)
    told: list[tuple[str, int]] = []
    batches = list(encoder.encode_corpus([PASSAGES[0], long], lambda p, n: told.append((p.id, n))))
    assert told == [("long", 2 * limit + 3)]
    rows = {p.id: len(e) for ps, es in batches for p, e in zip(ps, es, strict=True)}
    assert rows["long"] == limit
    list(encoder.encode_corpus([long]))
    assert "'long'" in caplog.text


def test_a_question_cut_by_its_instruction_is_reported(encoder: Encoder, caplog) -> None:
    short = Query("what is this bird", None, "Describe")
    assert encoder.encode_queries([short])[0].cut == 0
    assert not caplog.text
    limit = encoder.checkpoint.query_tokenizer.max_length
    long = Query("bird " * limit, None, "Describe")
    with caplog.at_level(logging.WARNING):
        cut = encoder.encode_queries([long])[0].cut
    tokens = encoder.checkpoint.query_tokenizer.tokenize(["Describe: " + long.question])[0]
    assert cut == len(tokens) - limit > 0
    assert f"{cut} tokens at the end of the question" in caplog.text


def test_an_instruction_that_leaves_no_room_is_refused(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="give a shorter instruction"):
        encoder.encode_queries([Query("what", None, "the city " * 40)])


def test_a_checkpoint_that_masks_instructions_needs_one() -> None:
    with pytest.raises(ValueError, match="give an instruction"):
        Encoder(load_checkpoint(GOLDEN / "B_preflmr"), torch.device("cpu"), instruction=" ")


# --- regions of interest ---


@pytest.fixture(scope="module")
def flmr() -> Encoder:
    return Encoder(load_checkpoint(GOLDEN / "A_flmr"), torch.device("cpu"), instruction="")


def test_regions_are_the_crops_beside_the_whole_picture(flmr: Encoder) -> None:
    picture = golden_image("img0").convert("RGB")
    boxes = ((0, 0, 8, 8), (2, 3, 12, 14))
    queries = [Query("a bird", picture, "", boxes), Query("a bird", picture), Query("a bird")]
    several, one, none = flmr.encode_queries(queries)
    assert [len(r.rows_QD) - len(none.rows_QD) for r in (several, one)] == [12, 4]
    crops = torch.stack([flmr.checkpoint.image_processor([picture, *map(picture.crop, boxes)])])
    rows = flmr.model.encode_query(
        **flmr.checkpoint.query_tokenizer(["a bird"]), pixel_values=crops
    )
    np.testing.assert_allclose(several.rows_QD, rows[0].detach().numpy(), atol=1e-5)


def test_a_number_of_regions_is_filled_or_cut(flmr: Encoder) -> None:
    fixed = Encoder(flmr.checkpoint, torch.device("cpu"), instruction="", regions=3)
    picture = golden_image("img0").convert("RGB")
    one_box, four_boxes = ((0, 0, 8, 8),), tuple((0, 0, 8 + i, 8) for i in range(4))
    filled, cut = fixed.encode_queries(
        [Query("a bird", picture, "", one_box), Query("a bird", picture, "", four_boxes)]
    )
    assert filled.rows_QD.shape == cut.rows_QD.shape
    # The same region twice in a batch: kernels may add up in another order.
    np.testing.assert_allclose(filled.rows_QD[-4:], filled.rows_QD[-8:-4], atol=1e-5)


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (-1, 0, 4, 4), (0, 0, 4, 10_000)])
def test_a_box_outside_the_picture_is_refused(flmr: Encoder, box: tuple) -> None:
    picture = golden_image("img0").convert("RGB")
    with pytest.raises(ValueError, match="empty or not inside"):
        flmr.encode_queries([Query("a bird", picture, "", (box,))])


def test_boxes_for_a_checkpoint_that_takes_one_picture(encoder: Encoder) -> None:
    picture = Image.new("RGB", (20, 20))
    assert not encoder.takes_regions
    with pytest.raises(ValueError, match="one picture a query"):
        encoder.encode_queries([Query("a bird", picture, "", ((0, 0, 8, 8),))])


# --- concurrent queries ---


def test_queries_of_many_threads_share_batches(encoder: Encoder, monkeypatch) -> None:
    sizes: list[int] = []
    started = threading.Event()

    def run(queries):
        sizes.append(len(queries))
        started.wait(10)  # the first batch waits until the others have queued up
        return encoder.encode_queries(queries)

    batcher = MicroBatcher(run, max_items=4)
    questions = [Query(f"what is bird {i}") for i in range(9)]
    with ThreadPoolExecutor(9) as pool:
        futures = [pool.submit(batcher, q) for q in questions]
        while len(batcher._waiting) + sum(sizes) < 9:
            threading.Event().wait(0.01)
        started.set()
        results = [future.result(10) for future in futures]
    assert sum(sizes) == 9
    assert max(sizes) == 4
    for query, result in zip(questions, results, strict=True):
        alone = encoder.encode_query(query)
        np.testing.assert_allclose(result.rows_QD, alone.rows_QD, atol=1e-5)


def test_one_bad_query_fails_alone(encoder: Encoder) -> None:
    bad = Query("what", None, "the city " * 40)
    with ThreadPoolExecutor(6) as pool:
        batcher = MicroBatcher(encoder.encode_queries, window_s=0.2)
        futures = [pool.submit(batcher, q) for q in [Query("a bird"), bad] * 3]
        for i, future in enumerate(futures):
            if i % 2:
                with pytest.raises(ValueError, match="shorter instruction"):
                    future.result(10)
            else:
                assert len(future.result(10).rows_QD)


def test_a_query_that_comes_out_as_no_number_is_refused(encoder: Encoder, monkeypatch) -> None:
    """Its rows do not vanish, which would leave another query."""
    embed = encoder.model.embed_query

    def broken(*arguments):
        rows_BQD = embed(*arguments)
        rows_BQD[0, 1] = float("nan")
        return rows_BQD

    monkeypatch.setattr(encoder.model, "embed_query", broken)
    with pytest.raises(InvalidQuery, match="no finite numbers of the question 'Who built this"):
        encoder.encode_query(Query("Who built this?"))


@pytest.mark.slow
def test_compiled_it_gives_the_same_rows(encoder: Encoder) -> None:
    compiled = Encoder(encoder.checkpoint, torch.device("cpu"), compile_model=True)
    for id_, rows in encoded(compiled).items():
        np.testing.assert_allclose(rows, encoded(encoder)[id_], atol=1e-5)


def test_passages_in_bfloat16_are_those_in_float32_to_its_three_digits(encoder: Encoder) -> None:
    """bfloat16 keeps 8 bits: a product is wrong by 2^-9; rows of the fixture by under 2 %."""
    halved = Encoder(encoder.checkpoint, torch.device("cpu"), passage_precision="bfloat16")
    assert (encoder.passage_precision, halved.passage_precision) == ("float32", "bfloat16")
    passages = [Passage("a", "A", "A goldfinch on a branch."), Passage("b", "B", "Mount Fuji")]
    expected = {p.id: rows for batch, es in encoder.encode_corpus(passages)
                for p, rows in zip(batch, es, strict=True)}  # fmt: skip
    for batch, embeddings in halved.encode_corpus(passages):
        for passage, rows in zip(batch, embeddings, strict=True):
            assert rows.dtype == np.float32
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
            cosines = (rows * expected[passage.id]).sum(1)
            assert cosines.min() > 0.999 and not np.array_equal(rows, expected[passage.id])
    # Queries stay as they are.
    query = Query("What is it?")
    assert np.array_equal(halved.encode_query(query).rows_QD, encoder.encode_query(query).rows_QD)

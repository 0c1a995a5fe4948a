from pathlib import Path

import pytest

from retriever.errors import InvalidCheckpoint
from retriever.tokenization import PassageTokenizer, QueryTokenizer
from tests.golden_cases import GOLDEN, golden_json

VOCAB = {t: i for i, t in enumerate((GOLDEN / "vocab.txt").read_text("utf-8").splitlines())}
CASES = golden_json("tokenizer_cases.json")


@pytest.mark.parametrize(
    "case", CASES["cases"], ids=lambda c: f"{c['kind']}-{c['call_max_length']}"
)
def test_ids_and_masks_are_the_references(case: dict) -> None:
    if case["kind"].startswith("query"):
        tokenizer = QueryTokenizer(
            VOCAB, case["query_maxlen"], attend_to_mask_tokens=case["attend_to_mask_tokens"]
        )
        single = case["kind"] == "query_single_str"
        texts = CASES["query_texts"][0] if single else CASES["query_texts"]
        tokens = tokenizer(texts, case["call_max_length"])
    else:
        tokens = PassageTokenizer(VOCAB, case["doc_maxlen"])(
            CASES["doc_texts"], case["call_max_length"], case.get("padding", "max_length")
        )
    assert tokens["input_ids"].tolist() == case["input_ids"]
    assert tokens["attention_mask"].tolist() == case["attention_mask"]


def test_punctuation_ids_are_the_references() -> None:
    expected = golden_json("skiplist.json")["punctuation_token_ids"]
    assert sorted(PassageTokenizer(VOCAB).punctuation_ids) == expected


def test_a_saved_tokenizer_loads_again(tmp_path: Path) -> None:
    QueryTokenizer(VOCAB, 20, attend_to_mask_tokens=True).save_pretrained(tmp_path)
    loaded = QueryTokenizer.from_pretrained(tmp_path)
    assert (loaded.vocab, loaded.max_length) == (VOCAB, 20)
    assert loaded("what is this bird")["attention_mask"].tolist() == [[1] * 20]


def test_count_sees_the_tokens_that_encoding_cuts() -> None:
    tokenizer = QueryTokenizer(VOCAB, 8)
    text = "what is this bird in the city of paris"
    assert len(tokenizer.encode([text])[0]) == 8
    assert tokenizer.count([text])[0] > 8


def test_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidCheckpoint, match=r"query_tokenizer.*vocab\.txt"):
        QueryTokenizer.from_pretrained(tmp_path)


def test_a_limit_below_the_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="max_length is 2"):
        QueryTokenizer(VOCAB, 8)("what", 2)

import json
from pathlib import Path

import pytest

from retriever.errors import InvalidCheckpoint
from retriever.inputs.tokenization import PassageTokenizer, QueryTokenizer, query_text
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


def test_tokenizing_keeps_what_encoding_cuts() -> None:
    tokenizer = QueryTokenizer(VOCAB, 8)
    text = "what is this bird in the city of paris"
    assert len(tokenizer.encode([text])[0]) == 8
    assert len(tokenizer.tokenize([text])[0]) > 8


def test_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidCheckpoint, match=r"query_tokenizer.*vocab\.txt"):
        QueryTokenizer.from_pretrained(tmp_path)
    with pytest.raises(InvalidCheckpoint, match=r"hub repository is for load_checkpoint"):
        PassageTokenizer.from_pretrained("LinWeizheDragon/FLMR")


def test_a_limit_below_the_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="max_length is 2"):
        QueryTokenizer(VOCAB, 8)("what", 2)


def test_added_tokens_keep_their_ids_and_stay_whole(tmp_path: Path) -> None:
    """FLMR's release adds nine tokens behind BERT's vocabulary, in either of two files."""
    added = {"<BOK>": 220, "<EOK>": 221}
    for form in ("added_tokens.json", "added_tokens_decoder"):
        directory = tmp_path / form / "context_tokenizer"
        PassageTokenizer(VOCAB, 20).save_pretrained(tmp_path / form)
        if form == "added_tokens.json":
            (directory / form).write_text(json.dumps(added))
        else:
            path = directory / "tokenizer_config.json"
            decoder = {"0": {"content": "[PAD]"}} | {
                str(id_): {"content": token} for token, id_ in added.items()
            }
            path.write_text(json.dumps(json.loads(path.read_text()) | {form: decoder}))
        tokenizer = PassageTokenizer.from_pretrained(tmp_path / form)
        plain = tokenizer.encode(["the bird"])[0]
        assert tokenizer.encode(["<BOK> the bird <EOK>"])[0] == [
            *plain[:2], 220, *plain[2:-1], 221, plain[-1],
        ]  # fmt: skip
        tokenizer.save_pretrained(tmp_path / "again")
        again = PassageTokenizer.from_pretrained(tmp_path / "again")
        assert again.encode(["<BOK>"]) == tokenizer.encode(["<BOK>"])


def test_line_ends_of_unicode_do_not_shift_a_vocabulary(tmp_path: Path) -> None:
    PassageTokenizer(VOCAB, 20).save_pretrained(tmp_path)
    path = tmp_path / "context_tokenizer" / "vocab.txt"
    tokens = path.read_text("utf-8").split("\n")
    path.write_text("\n".join([*tokens[:50], "\u2028", *tokens[50:]]), "utf-8")
    shifted = PassageTokenizer.from_pretrained(tmp_path).vocab
    assert shifted[tokens[60]] == 61


@pytest.mark.parametrize("case", golden_json("retrieval_metrics.json")["query_text"])
def test_instruction_and_question_are_joined_as_in_the_evaluator(case: dict) -> None:
    joined = query_text(case["instruction"], case["question"], case["mask_instruction_token"])
    assert joined == case["text_sequence"]


def test_a_separator_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(InvalidCheckpoint, match="mask_instruction_token"):
        QueryTokenizer(VOCAB, 8).separator_id("\u4e00")

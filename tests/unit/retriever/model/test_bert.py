"""BERT written out is transformers' BERT: the same names, the same numbers."""

import pytest
import torch
import transformers

from retriever.model.bert import BertConfig, BertModel

FIELDS = {
    "vocab_size": 200,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}


@pytest.mark.parametrize("act", ["quick_gelu", "gelu", "gelu_new", "relu", "silu"])
@pytest.mark.parametrize("padded", [True, False])
def test_the_same_numbers(act: str, padded: bool) -> None:
    torch.manual_seed(0)
    theirs = transformers.BertModel(transformers.BertConfig(**FIELDS, hidden_act=act)).eval()
    ours = BertModel(BertConfig.from_fields(FIELDS | {"hidden_act": act, "other": 1})).eval()
    ours.load_state_dict(theirs.state_dict())  # key for key
    ids, mask = torch.randint(0, 200, (3, 17)), torch.ones(3, 17, dtype=torch.long)
    if padded:
        mask[1, 9:] = 0
    with torch.inference_mode():
        expected = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(ours(ids, mask), expected, atol=1e-6, rtol=1e-5)
        if not padded:
            torch.testing.assert_close(ours(ids), expected, atol=1e-6, rtol=1e-5)


def test_the_defaults_are_those_of_the_base() -> None:
    base = transformers.BertConfig()
    ours = BertConfig()
    assert {name: getattr(base, name) for name in ours.__dataclass_fields__} == {
        name: getattr(ours, name) for name in ours.__dataclass_fields__
    }


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden_act 'swiglu' is not known"):
        BertConfig(hidden_act="swiglu")
    with pytest.raises(ValueError, match="768 is no multiple of num_attention_heads, 7"):
        BertConfig(num_attention_heads=7)

"""The reader's BERT is transformers': the same names, the same numbers."""

import torch
import transformers

from generator.extractive.bert import Bert, BertConfig

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "vocab_size": 200,
    "max_position_embeddings": 40,
}


def test_the_same_numbers() -> None:
    torch.manual_seed(0)
    config = transformers.BertConfig(**SIZES)
    theirs = transformers.BertModel(config, add_pooling_layer=False).eval()
    ours = Bert(BertConfig(**SIZES)).eval()
    ours.load_state_dict(theirs.state_dict())
    ids, mask = torch.randint(0, 200, (3, 17)), torch.ones(3, 17, dtype=torch.long)
    mask[1, 9:] = 0
    segments = (torch.arange(17) > 5).long().expand(3, 17)
    with torch.inference_mode():
        expected = theirs(input_ids=ids, attention_mask=mask, token_type_ids=segments)
        read = ours(ids, mask, segments)
    wanted = expected.last_hidden_state * mask[..., None]
    torch.testing.assert_close(read, wanted, atol=1e-6, rtol=1e-5)


def test_padding_is_not_computed_but_for_a_few_shapes() -> None:
    """Of 26 tokens in four pairs 32 are computed, and not 68; of 33 there are 64."""
    torch.manual_seed(0)
    model = Bert(BertConfig(**SIZES)).eval()
    seen: list[int] = []
    for module in model.encoder.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    for lengths, computed in (((17, 3, 3, 3), 32), ((17, 16), 64), ((16, 16), 32)):
        mask = torch.tensor([[1] * length + [0] * (17 - length) for length in lengths])
        seen.clear()
        with torch.inference_mode():
            model(torch.randint(0, 200, mask.shape), mask, torch.zeros_like(mask))
        assert set(seen) == {computed}

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
        torch.testing.assert_close(
            ours(ids, mask, segments), expected.last_hidden_state, atol=1e-6, rtol=1e-5
        )

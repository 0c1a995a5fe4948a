"""A causal model of two layers with a tokenizer of bytes: real, and made in milliseconds."""

from itertools import pairwise

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, as byte-level BPE without merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|end|>": 0, **{c: i for i, c in enumerate(alphabet, start=1)}}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def tiny_model(context: int = 4096) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
    )
    return LlamaForCausalLM(config).eval()


def saying_model(word: str) -> LlamaForCausalLM:
    """Return the tiny model made to write one word and an end, whatever it is asked.

    What comes next depends on the last token alone: each letter points to the next one, every other
    token to the first. No letter may come twice.
    """
    model, tokenizer = tiny_model(), byte_tokenizer()
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.data.zero_()
        layer.mlp.down_proj.weight.data.zero_()
    embedding, head = model.model.embed_tokens.weight.data, model.lm_head.weight.data
    embedding.zero_()
    head.zero_()
    letters = [*tokenizer.convert_tokens_to_ids(list(word)), tokenizer.eos_token_id]
    embedding[:, -1] = head[letters[0], -1] = 1
    for place, (letter, following) in enumerate(pairwise(letters)):
        embedding[letter] = torch.eye(embedding.shape[1])[place]
        head[following, place] = 1
    return model

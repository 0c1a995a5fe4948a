"""FLMR written a second time, without any library's layers: a check that is not the code it checks.

Follows the published description of the model, operation by operation, on a state dict.
`weights` are named as released. Post-norm BERT, pre-norm CLIP, the mapping network without a
causal mask. Slow and plain on purpose.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Weights = dict[str, Tensor]


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", torch.zeros(1))


def norm(w: Weights, name: str, x: Tensor, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + eps)
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def activation(name: str, x: Tensor) -> Tensor:
    return {"gelu": F.gelu, "relu": F.relu, "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x)}[
        name
    ](x)


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, bias: Tensor | float = 0.0) -> Tensor:
    def split(x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], heads, -1).permute(0, 2, 1, 3)

    weights = split(q) @ split(k).transpose(-1, -2) / math.sqrt(q.shape[-1] // heads) + bias
    return (weights.softmax(-1) @ split(v)).permute(0, 2, 1, 3).flatten(2)


def bert_attention(
    w: Weights, name: str, x: Tensor, source: Tensor, heads: int, bias: Tensor | float = 0.0
) -> Tensor:
    q, k, v = (
        linear(w, f"{name}.self.{part}", y)
        for part, y in (("query", x), ("key", source), ("value", source))
    )
    read = linear(w, f"{name}.output.dense", attend(q, k, v, heads, bias))
    return norm(w, f"{name}.output.LayerNorm", read + x, 1e-12)


def bert_feed_forward(w: Weights, name: str, x: Tensor, act: str) -> Tensor:
    inner = activation(act, linear(w, f"{name}.intermediate.dense", x))
    return norm(w, f"{name}.output.LayerNorm", linear(w, f"{name}.output.dense", inner) + x, 1e-12)


def bert(w: Weights, name: str, ids: Tensor, mask: Tensor, config: dict[str, Any]) -> Tensor:
    e = f"{name}.embeddings"
    x = w[f"{e}.word_embeddings.weight"][ids]
    x = x + w[f"{e}.position_embeddings.weight"][: ids.shape[1]]
    x = x + w[f"{e}.token_type_embeddings.weight"][0]
    x = norm(w, f"{e}.LayerNorm", x, 1e-12)
    bias = torch.where(mask[:, None, None].bool(), 0.0, torch.finfo(torch.float32).min)
    for i in range(config["num_hidden_layers"]):
        layer = f"{name}.encoder.layer.{i}"
        x = bert_attention(w, f"{layer}.attention", x, x, config["num_attention_heads"], bias)
        x = bert_feed_forward(w, layer, x, config.get("hidden_act", "gelu"))
    return x


def clip(w: Weights, name: str, pixels: Tensor, config: dict[str, Any]) -> list[Tensor]:
    """Return the input of every layer and the output of the last."""
    name += ".vision_model.vision_model"
    patches = F.conv2d(
        pixels, w[f"{name}.embeddings.patch_embedding.weight"], stride=config["patch_size"]
    )
    first = w[f"{name}.embeddings.class_embedding"].expand(len(pixels), 1, -1)
    x = torch.cat([first, patches.flatten(2).transpose(1, 2)], 1)
    x = norm(w, f"{name}.pre_layrnorm", x + w[f"{name}.embeddings.position_embedding.weight"], 1e-5)
    states = [x]
    for i in range(config["num_hidden_layers"]):
        layer = f"{name}.encoder.layers.{i}"
        y = norm(w, f"{layer}.layer_norm1", x, 1e-5)
        q, k, v = (linear(w, f"{layer}.self_attn.{p}_proj", y) for p in "qkv")
        read = attend(q, k, v, config["num_attention_heads"])
        x = x + linear(w, f"{layer}.self_attn.out_proj", read)
        y = linear(w, f"{layer}.mlp.fc1", norm(w, f"{layer}.layer_norm2", x, 1e-5))
        x = x + linear(w, f"{layer}.mlp.fc2", activation(config["hidden_act"], y))
        states.append(x)
    return states


def prefix(w: Weights, name: str, pooled: Tensor, dim: int) -> Tensor:
    inner = torch.tanh(linear(w, f"{name}.model.0", pooled))
    return linear(w, f"{name}.model.2", inner).view(len(pooled), -1, dim)


def query(
    w: Weights, config: dict[str, Any], tokens: dict[str, Tensor], pixels: Tensor, separator: int
) -> Tensor:
    """Return a PreFLMR's query embeddings; every text position is read by the patches."""
    ids, text = tokens["input_ids"], config["text_config"]
    hidden = bert(w, "query_text_encoder.bert_model", ids, tokens["attention_mask"], text)
    keep = torch.ones_like(ids, dtype=torch.float32)
    for row, row_ids in enumerate(ids.tolist()):
        first = max(row_ids.index(separator) if separator in row_ids else 1, 1)
        keep[row, 2 : first + 1] = 0
        keep[row, [j for j, id_ in enumerate(row_ids) if id_ == 0]] = 0
    rows = linear(w, "query_text_encoder_linear", hidden) * keep[..., None]
    states = clip(w, "query_vision_encoder", pixels, config["vision_config"])
    tokens_of_image = prefix(w, "query_vision_projection", states[-1][:, 0], config["dim"])
    x = linear(w, "transformer_mapping_input_linear", states[-2][:, 1:])
    source = hidden[:, : config["transformer_mapping_cross_attention_length"]]
    base = config["mapping_base_config"]
    for i in range(config["transformer_mapping_num_hidden_layers"]):
        layer, heads = f"transformer_mapping_network.layer.{i}", base["num_attention_heads"]
        x = bert_attention(w, f"{layer}.attention", x, x, heads)
        x = bert_attention(w, f"{layer}.crossattention", x, source, heads)
        x = bert_feed_forward(w, layer, x, base["hidden_act"])
    x = linear(w, "transformer_mapping_output_linear", x)
    return F.normalize(torch.cat([rows, tokens_of_image, x], 1), dim=-1)


def passage_with_picture(
    w: Weights, config: dict[str, Any], tokens: dict[str, Tensor], pixels: Tensor, masked: set[int]
) -> tuple[Tensor, Tensor]:
    """Return embeddings and mask of passages that have a tower of their own for pictures."""
    ids, text = tokens["input_ids"], config["text_config"]
    hidden = bert(w, "context_text_encoder.bert_model", ids, tokens["attention_mask"], text)
    keep = torch.tensor([[id_ != 0 and id_ not in masked for id_ in row] for row in ids.tolist()])
    rows = linear(w, "context_text_encoder_linear", hidden) * keep[..., None]
    states = clip(w, "context_vision_encoder", pixels, config["vision_config"])
    front = prefix(w, "context_vision_projection", states[-1][:, 0], config["dim"])
    mask = torch.cat([torch.ones(front.shape[:2], dtype=torch.bool), keep], 1)
    return F.normalize(torch.cat([front, rows], 1), dim=-1), mask

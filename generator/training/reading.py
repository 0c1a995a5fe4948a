"""One question to a model in training: its prompts, and the logits that predict the answers.

A model that sees is given the picture by its own processor; what the processor writes for it
comes first in every prompt, as in LLaVA's and BLIP-2's own.
"""

import bisect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from corpus.pictures.images import load_image
from corpus.types import Passage, Query
from generator.prompts import ra_vqa_text, single
from generator.quoting import one_line
from generator.training.losses import IGNORED
from generator.training.recipe import LoraRecipe, ReadExample

# N passages · L target tokens · T tokens of prompt and target · V vocabulary


def target_logits(
    model: Any,
    processor: Any,
    example: ReadExample,
    targets: Sequence[str],
    recipe: LoraRecipe,
) -> tuple[Tensor, Tensor]:
    """Return the logits [N, L, V] that predict the targets [N, L] from each passage.

    Args:
        model: causal or encoder-decoder.
        processor: its tokenizer or processor.
        example: with N passages.
        targets: the answer to each.
        recipe: for the prompt and the lengths.

    Raises:
        InvalidImage: the picture cannot be read.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    device = next(model.parameters()).device
    seq2seq = bool(model.config.is_encoder_decoder)
    picture, inputs = _picture(processor, example, seq2seq, device)
    prompts = [picture + _prompt(tokenizer, example, text, recipe) for text in example.passages]
    answers = [_target(tokenizer, target, recipe, seq2seq) for target in targets]
    longest = max(map(len, answers))
    target_NL = torch.tensor(
        [ids + [IGNORED] * (longest - len(ids)) for ids in answers], device=device
    )
    fill = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    if seq2seq:
        rows = [[*prompt, tokenizer.eos_token_id] for prompt in prompts]
        ids_NT, mask_NT = _padded(rows, fill, device)
        output = model(input_ids=ids_NT, attention_mask=mask_NT, labels=target_NL, **inputs)
        return output.logits, target_NL
    rows = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    ids_NT, mask_NT = _padded(rows, fill, device)
    logits_NTV = model(input_ids=ids_NT, attention_mask=mask_NT, **inputs).logits
    # The token before each target token predicts it.
    first_N = torch.tensor([len(prompt) - 1 for prompt in prompts], device=device)
    at_NL = first_N[:, None] + torch.arange(longest, device=device)[None]
    at_NL = at_NL.clamp(max=logits_NTV.shape[1] - 1)
    return logits_NTV[torch.arange(len(rows), device=device)[:, None], at_NL], target_NL


def _prompt(tokenizer: Any, example: ReadExample, passage: str, recipe: LoraRecipe) -> list[int]:
    """Return the tokens of the prompt with one passage.

    What does not fit is cut from the end of the passage, never from the question or "Answer:".
    """
    text = _writer(example, recipe)
    words = one_line(passage).split(" ")

    def prompt(n: int) -> list[int]:
        return _ids(tokenizer, text(" ".join(words[:n])))

    whole = prompt(len(words))
    if len(whole) <= recipe.max_source_tokens:
        return whole
    kept = bisect.bisect_right(
        range(len(words)), recipe.max_source_tokens, key=lambda n: len(prompt(n))
    )
    return prompt(max(kept - 1, 0))


def _writer(example: ReadExample, recipe: LoraRecipe) -> Callable[[str], str]:
    """Return what writes the prompt around a passage."""
    question, caption = one_line(example.question), one_line(example.caption)
    if recipe.prompt == "paper":
        return lambda passage: ra_vqa_text(question, passage, caption=caption)
    query = Query(question, None)
    budget = 10**6  # cut by the model's own tokens instead
    return lambda passage: (
        single(query, Passage("", "", passage), "instruct", caption=caption, budget=budget).text
    )


def _target(tokenizer: Any, answer: str, recipe: LoraRecipe, seq2seq: bool) -> list[int]:
    """Return the tokens that are to be written, with what ends them."""
    if seq2seq:
        return [*_ids(tokenizer, answer)[: recipe.max_target_tokens], tokenizer.eos_token_id]
    # A space stands between "Answer:" and the answer in one text.
    ids = _ids(tokenizer, f" {answer}")[: recipe.max_target_tokens]
    # An answer is a line: that is where every generator here stops.
    line = _ids(tokenizer, "\n") if recipe.prompt == "instruct" else []
    return [*ids, *line, tokenizer.eos_token_id]


def _picture(
    processor: Any, example: ReadExample, seq2seq: bool, device: Any
) -> tuple[list[int], dict[str, Tensor]]:
    """Return the tokens that stand for the picture, and the model's inputs for each prompt."""
    if example.image is None:
        return [], {}
    # BLIP-2's processor writes its query tokens by itself; others replace a mark in the text.
    mark = "" if hasattr(processor, "num_query_tokens") else str(processor.image_token)
    made = dict(processor(images=load_image(example.image), text=mark, return_tensors="pt"))
    ids = [int(token) for token in made.pop("input_ids")[0]]
    made.pop("attention_mask", None)
    if seq2seq:  # the end of the text, which it is not
        ids = ids[:-1] if ids[-1] == processor.tokenizer.eos_token_id else ids
    n = len(example.passages)
    return ids, {name: torch.cat([value] * n).to(device) for name, value in made.items()}


def _ids(tokenizer: Any, text: str) -> list[int]:
    return [int(token) for token in tokenizer.encode(text, add_special_tokens=False)]


def _padded(rows: Sequence[list[int]], fill: int, device: Any) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    ids = [row + [fill] * (longest - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)

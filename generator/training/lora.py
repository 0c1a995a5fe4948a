"""Fine-tuning a generator as RA-VQA does: LoRA, static retrieval, the answer from each passage.

    model = add_adapters(AutoModelForCausalLM.from_pretrained(...), Recipe())
    history = train(model, tokenizer, examples, Recipe(), Path("runs/adapters"))

`AutoModelForImageTextToText` with its processor trains the same way: the processor is then
given the pictures too. The settings of a recipe are those of the paper and its released
configuration; see docs/answers.md for what was and was not run.
"""

import bisect
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from generator.passages import one_line
from generator.prompts import ra_vqa_text
from generator.training.losses import (
    IGNORED,
    contains_answer,
    forced_target,
    marginal_loss,
    nll_loss,
    retrieval_loss,
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a generator is fine-tuned. The defaults are RA-VQAv2's for OK-VQA (PAPER, section 6).

    Attributes:
        rank: of the adapters.
        alpha: their scale, divided by the rank.
        dropout: before the adapters.
        targets: the layers that are adapted; "all-linear" for all but the head.
        learning_rate: of AdamW, constant.
        accumulate: questions to a step; one is read at a time.
        passages: that are retrieved for a question.
        drawn: of those, how many a step reads; the others wait for another epoch.
        max_source_tokens: a longer prompt loses the end of its passage.
        max_target_tokens: a longer answer is cut.
        nll, marginal, retrieval: weights of the losses.
        epochs: at most.
        patience: epochs without a better validation loss before it stops.
        bfloat16: computes in bfloat16, for a GPU.
        seed: of the order and of the passages drawn.
    """

    rank: int = 8
    alpha: int = 32
    dropout: float = 0.1
    targets: str | tuple[str, ...] = "all-linear"
    learning_rate: float = 1e-4
    accumulate: int = 16
    passages: int = 5
    drawn: int = 5
    max_source_tokens: int = 512
    max_target_tokens: int = 10
    nll: float = 1.0
    marginal: float = 0.0
    retrieval: float = 0.0
    epochs: int = 10
    patience: int = 5
    bfloat16: bool = False
    seed: int = 0


def okvqa_flmr() -> Recipe:
    """Return RA-VQAv2 with FLMR on OK-VQA: five passages in training and test."""
    return Recipe(bfloat16=True)


def okvqa_preflmr() -> Recipe:
    """Return RA-VQAv2 with PreFLMR: the top five retrieved before, three drawn for each step."""
    return Recipe(drawn=3, bfloat16=True)


@dataclass(frozen=True, slots=True)
class ReadExample:
    """A question with what was retrieved for it.

    Attributes:
        question: the question.
        answers: of all annotators, repeated as often as given.
        passages: texts, the best first.
        scores: of the retriever.
        caption: what is known of the picture in words; "" for nothing.
        image: the picture, for a model that sees; None for one that does not.
    """

    question: str
    answers: tuple[str, ...]
    passages: tuple[str, ...]
    scores: tuple[float, ...]
    caption: str = ""
    image: Image | None = None


def add_adapters(model: Any, recipe: Recipe) -> Any:
    """Return the model with LoRA adapters, everything else frozen."""
    from peft import LoraConfig, get_peft_model

    seq2seq = bool(model.config.is_encoder_decoder)
    targets = recipe.targets if isinstance(recipe.targets, str) else list(recipe.targets)
    return get_peft_model(
        model,
        LoraConfig(
            r=recipe.rank,
            lora_alpha=recipe.alpha,
            lora_dropout=recipe.dropout,
            target_modules=targets,
            task_type="SEQ_2_SEQ_LM" if seq2seq else "CAUSAL_LM",
        ),
    )


def train(
    model: Any,
    processor: Any,
    examples: Sequence[ReadExample],
    recipe: Recipe,
    out: Path,
    validation: Sequence[ReadExample] = (),
) -> list[dict[str, float]]:
    """Return the losses of each epoch; the best adapters and the recipe are written to `out`.

    Args:
        model: with adapters; on the device on which it is trained.
        processor: its tokenizer, or its processor where examples have pictures.
        examples: to train on.
        recipe: the settings.
        out: a directory; made if missing.
        validation: to stop early by; without it every epoch counts as better.
    """
    out.mkdir(parents=True, exist_ok=True)
    draw = random.Random(recipe.seed)
    torch.manual_seed(recipe.seed)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate)
    history: list[dict[str, float]] = []
    best, waited = float("inf"), 0
    for _ in range(recipe.epochs):
        model.train()
        order = draw.sample(list(examples), len(examples))
        losses = []
        for step in _chunks(order, recipe.accumulate):
            optimizer.zero_grad()
            for example in step:
                loss = example_loss(model, processor, _drawn(example, recipe, draw), recipe)
                (loss / len(step)).backward()  # type: ignore[no-untyped-call]
                losses.append(float(loss.detach()))
            optimizer.step()
        epoch = {"train": sum(losses) / len(losses)}
        if validation:
            epoch["validation"] = evaluate(model, processor, validation, recipe)
        history.append(epoch)
        judged = epoch.get("validation", float("-inf"))
        if not validation or judged < best:
            best, waited = judged, 0
            model.save_pretrained(out)
        else:
            waited += 1
        record = {"recipe": asdict(recipe), "history": history}
        (out / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        if waited >= recipe.patience:
            break
    return history


@torch.no_grad()
def evaluate(model: Any, processor: Any, examples: Sequence[ReadExample], recipe: Recipe) -> float:
    """Return the mean loss over examples, dropout off, with all their passages."""
    model.eval()
    losses = [
        float(example_loss(model, processor, _cut(example, recipe.passages), recipe))
        for example in examples
    ]
    return sum(losses) / len(losses)


def example_loss(model: Any, processor: Any, example: ReadExample, recipe: Recipe) -> Tensor:
    """Return the weighted sum of the losses of one question."""
    targets = [forced_target(example.answers, passage) for passage in example.passages]
    device = next(model.parameters()).device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.bfloat16):
        logits_NLV, target_NL = target_logits(model, processor, example, targets, recipe)
    logits_NLV = logits_NLV.float()
    loss = recipe.nll * nll_loss(logits_NLV, target_NL)
    scores_BK = torch.tensor([example.scores], device=device)
    if recipe.marginal:
        loss = loss + recipe.marginal * marginal_loss(logits_NLV, target_NL, scores_BK)
    if recipe.retrieval:
        labels = [contains_answer(example.answers, passage) for passage in example.passages]
        contains_BK = torch.tensor([labels], device=device)
        loss = loss + recipe.retrieval * retrieval_loss(
            logits_NLV, target_NL, scores_BK, contains_BK
        )
    return loss


def target_logits(
    model: Any,
    processor: Any,
    example: ReadExample,
    targets: Sequence[str],
    recipe: Recipe,
) -> tuple[Tensor, Tensor]:
    """Return the logits [N, L, V] that predict the targets [N, L] from each passage.

    Args:
        model: causal or encoder-decoder.
        processor: its tokenizer or processor.
        example: with N passages.
        targets: the answer to each.
        recipe: for the lengths.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    prompts = [_prompt(processor, example, passage, recipe) for passage in example.passages]
    answers = [
        [
            *_ids(tokenizer, _lead(model) + target)[: recipe.max_target_tokens],
            tokenizer.eos_token_id,
        ]
        for target in targets
    ]
    device = next(model.parameters()).device
    longest = max(map(len, answers))
    target_NL = torch.tensor(
        [ids + [IGNORED] * (longest - len(ids)) for ids in answers], device=device
    )
    inputs = _pictures(processor, example, len(prompts), device)
    fill = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    if model.config.is_encoder_decoder:
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


def _prompt(processor: Any, example: ReadExample, passage: str, recipe: Recipe) -> list[int]:
    """Return the tokens of RA-VQA's prompt, with the picture's tokens where there is one.

    What does not fit is cut from the end of the passage, never from the question or "Answer:".
    """
    tokenizer = getattr(processor, "tokenizer", processor)

    def tokens(text: str) -> list[int]:
        if example.image is not None:
            marked = f"{processor.image_token}{text}"
            ids = processor(images=example.image, text=marked)["input_ids"]
            flat = ids[0] if isinstance(ids[0], list) else ids
            return [int(token) for token in flat]
        return _ids(tokenizer, text)

    question, caption = one_line(example.question), one_line(example.caption)
    words = one_line(passage).split(" ")

    def prompt(n: int) -> list[int]:
        return tokens(ra_vqa_text(question, " ".join(words[:n]), caption=caption))

    kept = bisect.bisect_right(
        range(len(words) + 1), recipe.max_source_tokens, key=lambda n: len(prompt(n))
    )
    return prompt(max(kept - 1, 0))


def _ids(tokenizer: Any, text: str) -> list[int]:
    return [int(token) for token in tokenizer.encode(text, add_special_tokens=False)]


def _pictures(processor: Any, example: ReadExample, n: int, device: Any) -> dict[str, Tensor]:
    if example.image is None:
        return {}
    pixels = processor.image_processor(images=[example.image] * n, return_tensors="pt")
    return {"pixel_values": pixels["pixel_values"].to(device)}


def _padded(rows: Sequence[list[int]], fill: int, device: Any) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    ids = [row + [fill] * (longest - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _lead(model: Any) -> str:
    """Return what stands between "Answer:" and the answer in one text: a space."""
    return "" if model.config.is_encoder_decoder else " "


def _drawn(example: ReadExample, recipe: Recipe, draw: random.Random) -> ReadExample:
    """Return the example with the passages that this step reads."""
    top = _cut(example, recipe.passages)
    chosen = sorted(draw.sample(range(len(top.passages)), min(recipe.drawn, len(top.passages))))
    return _with(top, chosen)


def _cut(example: ReadExample, passages: int) -> ReadExample:
    return _with(example, range(min(passages, len(example.passages))))


def _with(example: ReadExample, chosen: Sequence[int]) -> ReadExample:
    return ReadExample(
        example.question,
        example.answers,
        tuple(example.passages[i] for i in chosen),
        tuple(example.scores[i] for i in chosen),
        example.caption,
        example.image,
    )


def _chunks(examples: Sequence[ReadExample], size: int) -> Iterator[Sequence[ReadExample]]:
    for start in range(0, len(examples), size):
        yield examples[start : start + size]

"""A causal model inside this process, such as one that was fine-tuned: no server is needed.

It sees no picture. May be used from several threads: the steps of concurrent completions take
turns.
"""

import copy
import inspect
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from generator.errors import BadCompletion, GeneratorUnavailable
from generator.extractive.model import WEIGHTS_NAME
from generator.interface import (
    MAX_TOKENS,
    Capabilities,
    Completion,
    Piece,
    Usage,
    Verdict,
    Waiting,
    Work,
)
from generator.prompts import Prompt, Style

# B rows of a batch · T tokens of the longest row · P tokens of the prefix · V vocabulary

# Rows beyond this are read in further batches: memory stays bounded.
MAX_BATCH = 16


class EmbeddedReader:
    """A causal language model of transformers that continues prompts greedily.

    All messages but the last are the same for every question, so their keys and values are
    computed once and kept. The prompts given together are read as one batch.
    """

    def __init__(
        self, model: Any, tokenizer: Any, name: str, directory: Path | None = None
    ) -> None:
        self.name, self.directory = name, directory
        self._model = model
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        # transformers renamed it on the way from 5.0 to 5.24.
        known = inspect.signature(model.forward).parameters
        self._cache_name = "cache" if "cache" in known else "past_key_values"
        self._prefixes: dict[tuple[int, ...], Any] = {}

    @classmethod
    def load(
        cls,
        directory: Path,
        *,
        device: str = "cpu",
        prepare: Callable[[torch.nn.Module], None] = lambda model: None,
    ) -> Self:
        """Return the model stored in `directory`, by whose name a calibration is kept for it.

        Args:
            directory: holds the model and its tokenizer.
            device: where it runs.
            prepare: is given the model to set up for that device, such as for faster layers.

        Raises:
            GeneratorUnavailable: `directory` holds no usable model.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        wanted = (
            "KBVQA_READER has to be the directory of a causal model with its tokenizer, or "
            "reader.safetensors of `kbvqa train reader`."
        )
        if not directory.is_dir():
            raise GeneratorUnavailable(f"There is no directory {directory}: {wanted}")
        if (directory / WEIGHTS_NAME).is_file():
            raise GeneratorUnavailable(
                f"{directory} is the folder of an extractive reader: KBVQA_READER has to be its "
                f"file, {directory / WEIGHTS_NAME}"
            )
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        try:
            tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(
                directory, dtype=dtype, local_files_only=True
            )
        except (OSError, ValueError) as exc:
            raise GeneratorUnavailable(f"No usable model in {directory}: {exc}. {wanted}") from exc
        model = model.to(device).eval()
        prepare(model)
        return cls(model, tokenizer, str(directory), directory)

    @property
    def style(self) -> Style:
        """Return how prompts are written to it: small models need to be shown."""
        return "few-shot"

    def capabilities(self) -> Capabilities:
        """Return what it can do: everything but see."""
        return Capabilities(
            images=False,
            logprobs=True,
            choices=True,
            context_tokens=self._model.config.max_position_embeddings,
        )

    def health(self) -> str:
        """Return one line on what answers here."""
        return f"{self.name}, in process on {self._model.device} (reads passages, sees no picture)"

    def close(self) -> None:
        """Forget what was kept of prompts."""
        self._prefixes.clear()

    def stream(self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS) -> Work[Completion]:
        """Yield the first line of the completion in pieces; return the completion.

        Raises:
            BadCompletion: the prompt does not fit the model's context.
        """
        prefix, rest = self._tokens(prompt, max_tokens)
        row = self._row(prompt)
        shown = 0
        for _ in self._advance(prefix, [rest], [row], max_tokens):
            # A character may take several tokens; until the last it decodes to U+FFFD.
            ready = row.text.rstrip("\N{REPLACEMENT CHARACTER}") if not row.ended else row.text
            ready = ready[: len(ready) - row.held]
            if len(ready) > shown:
                yield Piece(ready[shown:])
                shown = len(ready)
        if len(row.text) > shown:
            yield Piece(row.text[shown:])
        return _completion(row, len(prefix) + len(rest))

    def complete(
        self, prompts: Sequence[Prompt], *, max_tokens: int = MAX_TOKENS
    ) -> Work[list[Completion]]:
        """Return the completions; `Waiting` comes after each step. Greedy, so deterministic.

        Raises:
            BadCompletion: a prompt does not fit the model's context.
        """
        rows = [self._row(prompt) for prompt in prompts]
        parts = [self._tokens(prompt, max_tokens) for prompt in prompts]
        for batch in _batches([prefix for prefix, _ in parts]):
            prefix = parts[batch[0]][0]
            rests = [parts[i][1] for i in batch]
            for _ in self._advance(prefix, rests, [rows[i] for i in batch], max_tokens):
                yield Waiting()
        return [
            _completion(row, len(prefix) + len(rest))
            for row, (prefix, rest) in zip(rows, parts, strict=True)
        ]

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> Work[list[Verdict]]:
        """Return for each prompt the choices' probabilities; `Waiting` comes after each batch.

        Raises:
            BadCompletion: a prompt does not fit the model's context.
            ValueError: two choices begin with the same token.
        """
        firsts = [self._encode(f" {choice}")[0] for choice in choices]
        if len(set(firsts)) < len(firsts):
            raise ValueError(f"choices must differ in their first token: {list(choices)}")
        parts = [self._tokens(prompt, 1) for prompt in prompts]
        found: list[Verdict] = [Verdict((), Usage())] * len(prompts)
        for batch in _batches([prefix for prefix, _ in parts]):
            logprobs_BV, _ = self._read(parts[batch[0]][0], [parts[i][1] for i in batch])
            chosen_BC = logprobs_BV[:, firsts].softmax(-1)
            for i, row in zip(batch, chosen_BC.tolist(), strict=True):
                found[i] = Verdict(tuple(row), Usage(sum(map(len, parts[i])), 1))
            yield Waiting()
        return found

    def _row(self, prompt: Prompt) -> "_Row":
        return _Row(prompt.stop, self._tokenizer.eos_token_id, self._tokenizer.decode)

    def _tokens(self, prompt: Prompt, max_tokens: int) -> tuple[tuple[int, ...], list[int]]:
        """Return the tokens of a prompt in two parts: the fixed messages, and what follows."""
        tokens = self._encode(prompt.text)
        context: int = self._model.config.max_position_embeddings
        if len(tokens) + max_tokens > context:
            raise BadCompletion(
                f"The prompt has {len(tokens)} tokens; with {max_tokens} for the answer, "
                f"{self.name} takes {context}. Use shorter passages or a shorter question."
            )
        # The last tokens of the fixed text may depend on what follows them.
        fixed = self._encode("".join(message.text for message in prompt.messages[:-1]))
        pairs = zip(fixed, tokens, strict=False)
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        same = min(same, len(tokens) - 1)
        return tuple(tokens[:same]), tokens[same:]

    def _encode(self, text: str) -> list[int]:
        # split_special_tokens: a passage that spells a control token must not become one.
        tokens: list[int] = self._tokenizer.encode(
            text, add_special_tokens=False, split_special_tokens=True
        )
        return tokens

    def _advance(
        self,
        prefix: tuple[int, ...],
        rests: Sequence[list[int]],
        rows: Sequence["_Row"],
        max_tokens: int,
    ) -> Iterator[None]:
        """Let the rows grow together, token by token; yields after each step."""
        logprobs_BV, state = self._read(prefix, rests)
        live = list(rows)
        for step in range(max_tokens):
            tokens = [row.take(logprobs_V) for row, logprobs_V in zip(live, logprobs_BV)]  # noqa: B905
            yield
            going = [i for i, row in enumerate(live) if not row.ended]
            if not going or step == max_tokens - 1:
                return
            if len(going) < len(live):
                state.keep(going)
                live = [live[i] for i in going]
            logprobs_BV = self._step([tokens[i] for i in going], state)

    def _read(self, prefix: tuple[int, ...], rests: Sequence[list[int]]) -> tuple[Tensor, "_State"]:
        """Return the log probabilities [B, V] after each prompt, and where they stand."""
        device = self._model.device
        longest = max(len(rest) for rest in rests)
        padding_B = torch.tensor([longest - len(rest) for rest in rests], device=device)
        tokens_BT = torch.tensor([[0] * (longest - len(r)) + list(r) for r in rests], device=device)
        written_BT = torch.arange(longest, device=device)[None] >= padding_B[:, None]
        mask_BL = torch.cat(
            [written_BT.new_ones(len(rests), len(prefix)), written_BT], dim=1
        ).long()
        positions_BT = (len(prefix) + torch.arange(longest, device=device)[None]) - padding_B[
            :, None
        ]
        state = _State(self._prefix_cache(prefix, len(rests)), mask_BL)
        logprobs_BV = self._forward(tokens_BT, positions_BT.clamp(min=0), state)
        return logprobs_BV, state

    def _step(self, tokens: Sequence[int], state: "_State") -> Tensor:
        """Return the log probabilities [B, V] after one more token of each row."""
        tokens_B1 = torch.tensor(tokens, device=self._model.device)[:, None]
        positions_B1 = state.mask_BL.sum(1, keepdim=True)
        state.mask_BL = torch.cat([state.mask_BL, state.mask_BL.new_ones(len(tokens), 1)], dim=1)
        return self._forward(tokens_B1, positions_B1, state)

    def _forward(self, tokens_BT: Tensor, positions_BT: Tensor, state: "_State") -> Tensor:
        with self._lock, torch.inference_mode():
            output = self._model(
                input_ids=tokens_BT,
                attention_mask=state.mask_BL,
                position_ids=positions_BT,
                use_cache=True,
                logits_to_keep=1,
                **{self._cache_name: state.cache},
            )
            state.cache = output[self._cache_name]
            logprobs_BV: Tensor = output.logits[:, -1].float().log_softmax(-1).cpu()
            return logprobs_BV

    def _prefix_cache(self, prefix: tuple[int, ...], rows: int) -> Any:
        """Return the keys and values of `prefix`, a copy for each row; None for an empty one."""
        if not prefix:
            return None
        if prefix not in self._prefixes:
            device = self._model.device
            with self._lock, torch.inference_mode():
                output = self._model(
                    input_ids=torch.tensor([prefix], device=device),
                    use_cache=True,
                    logits_to_keep=1,
                )
            # One for each kind of prompt; nothing else is fixed.
            if len(self._prefixes) >= 4:
                self._prefixes.clear()
            self._prefixes[prefix] = output[self._cache_name]
        cache = copy.deepcopy(self._prefixes[prefix])
        if rows > 1:
            cache.batch_repeat_interleave(rows)
        return cache


class _Row:
    """One growing completion: the likeliest token each time, until a stop text or a line's end.

    Attributes:
        text: what is written so far, without what ended it.
        logprobs: of each token taken, the one that ended it included.
        ended: whether nothing more can come.
        held: characters at the end of `text` that may yet turn out to begin a stop text.
    """

    def __init__(
        self, stop: Sequence[str], eos: int | None, decode: Callable[[list[int]], str]
    ) -> None:
        self.text, self.ended, self.held = "", False, 0
        self.logprobs: list[float] = []
        self._stop, self._eos, self._decode = stop, eos, decode
        self._tokens: list[int] = []

    def take(self, logprobs_V: Tensor) -> int:
        """Take the likeliest token and return it; if that ended the row, it is of no use."""
        token = int(logprobs_V.argmax())
        self.logprobs.append(float(logprobs_V[token]))
        if token == self._eos:
            self.ended = True
            return token
        self._tokens.append(token)
        self.text = self._decode(self._tokens)
        # A model may begin with an empty line; only a prompt that says so ends there.
        begun = len(self.text) - len(self.text.lstrip("\n"))
        ends = [at for stop in self._stop if (at := self.text.find(stop)) >= 0]
        if (newline := self.text.find("\n", begun)) >= 0:
            ends.append(newline)
        if ends:
            self.text, self.ended, self.held = self.text[: min(ends)], True, 0
        else:
            self.held = max((_overlap(self.text, stop) for stop in self._stop), default=0)
        return token


class _State:
    """How far a batch has been read: its keys and values, and which of them count."""

    def __init__(self, cache: Any, mask_BL: Tensor) -> None:
        self.cache = cache
        self.mask_BL = mask_BL

    def keep(self, rows: list[int]) -> None:
        """Drop all rows but these."""
        chosen = torch.tensor(rows, device=self.mask_BL.device)
        self.cache.batch_select_indices(chosen)
        self.mask_BL = self.mask_BL[chosen]


def _batches(prefixes: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
    """Yield the positions of equal prefixes, at most MAX_BATCH at a time."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, prefix in enumerate(prefixes):
        groups.setdefault(prefix, []).append(i)
    for group in groups.values():
        for start in range(0, len(group), MAX_BATCH):
            yield group[start : start + MAX_BATCH]


def _completion(row: _Row, prompt_tokens: int) -> Completion:
    return Completion(row.text, tuple(row.logprobs), Usage(prompt_tokens, len(row.logprobs)))


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of `text` begin `stop`."""
    return next((n for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n])), 0)

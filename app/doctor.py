"""`kbvqa doctor`: what is there, what is not, and what to do about it."""

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from app import network
from app.settings import PREFIX, Settings, file_in_the_way, load_settings
from corpus.errors import KbvqaError

NEEDED_BYTES = 3 * 2**30
PACKAGES = ("torch", "transformers", "qdrant-edge-py", "gradio")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `advice`, if the state says not enough, is for when it is not ok.

    What is not grave is said, and fails nothing.
    """

    what: str
    ok: bool
    state: str
    advice: str = ""
    grave: bool = True


def examine() -> list[Finding]:
    """Return the findings, in the order in which a failure makes later ones fail."""
    findings = [_packages()]
    try:
        settings = load_settings()
    except KbvqaError as exc:
        return [*findings, Finding("settings", False, str(exc), "Correct or unset it.")]
    findings.append(Finding("settings", True, _describe(settings)))
    findings += [
        _checked("disk", lambda: _disk(settings)),
        _checked("device", _device),
        _checked("network", network.describe),
    ]
    findings += _components(settings)
    return findings


def _components(settings: Settings) -> Iterator[Finding]:
    from app.components import open_answering, open_checkpoint, open_generator, open_index

    checkpoint = None
    try:
        checkpoint = open_checkpoint(settings)
    except (KbvqaError, OSError) as exc:
        yield Finding("checkpoint", False, str(exc), f"Set {PREFIX}CHECKPOINT.")
    else:
        yield Finding("checkpoint", True, checkpoint.id)

        def describe_index() -> str:
            location, connection = settings.searched_index, settings.connection
            with open_index(location, checkpoint, connection) as index:
                if problems := index.unfit(settings.candidates):
                    raise KbvqaError(f"strict mode of {location}: {'; '.join(problems)}")
                of = index.fingerprint
                state = f"{of.passages:,} passages of {of.corpus} in {location}"
                return "; ".join(filter(None, [state, index.state]))

        yield _checked("index", describe_index, "Run `kbvqa setup` for the demo's index.")
    at = f"{PREFIX}GENERATOR"
    advice = f"Correct {at}_URL, {at}_MODEL, {at}_API_KEY or {at}_TIMEOUT_SECONDS."
    try:
        generator = open_generator(settings, lambda _: None)
        yield Finding("generator", True, generator.health())
        if checkpoint is not None:
            lack = open_answering(settings, checkpoint, generator).uncalibrated
            yield Finding("confidence", not lack, lack or "calibrated", grave=False)
    except (KbvqaError, OSError) as exc:
        yield Finding("generator", False, str(exc), advice if settings.generator_url else "")


def _checked(what: str, state: Callable[[], str], advice: str = "") -> Finding:
    try:
        return Finding(what, True, state())
    except (KbvqaError, OSError) as exc:
        return Finding(what, False, str(exc), advice)


def _packages() -> Finding:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    state = f"Python {platform.python_version()}, {', '.join(found)}"
    if missing:
        return Finding("packages", False, f"missing: {', '.join(missing)}", "Run `make install`.")
    return Finding("packages", True, state)


def _device() -> str:
    import torch

    from retriever.encoder import best_device

    device = best_device()
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}"
    return f"{device.type}, {torch.get_num_threads()} threads"


def _disk(settings: Settings) -> str:
    if (file := file_in_the_way(settings.home)) is not None:
        raise KbvqaError(f"{file} is a file: set {PREFIX}HOME to a directory")
    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise KbvqaError(
            f"{free / 2**30:.1f} GiB free at {folder}, {NEEDED_BYTES / 2**30:.0f} GiB are needed: "
            f"free some, or set {PREFIX}HOME to another disk"
        )
    return f"{free / 2**30:.0f} GiB free at {folder}"


def _describe(settings: Settings) -> str:
    """Return every setting that is not its default, without the key."""
    changed = [
        f"{PREFIX}{name.upper()}={getattr(settings, name)}"
        for name in sorted(settings.model_fields_set)
    ]
    names = ", ".join(f"{PREFIX}{name.upper()}" for name in Settings.model_fields)
    return f"{', '.join(changed) or 'all default'} (known: {names})"

"""`kbvqa doctor`: what is there, what is not, and what to do about it."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from app.commands.reference import GROUPS, reference
from app.errors import InvalidSettings
from app.flow.fits import require_pictures, strangers
from app.machine import network, threads
from app.machine.directories import file_in_the_way
from app.machine.extras import EXTRAS, missing, own_version
from app.settings import PREFIX, Settings, load_settings
from corpus.errors import KbvqaError

NEEDED_BYTES = 3 * 2**30
_MORE_RECALL = (
    f"Set {PREFIX}CANDIDATES to more, or build it anew with --swap and --questions like those that "
    "are asked."
)
_SET_UP = "Run `kbvqa setup`, which builds the demo's index."
_PASSAGES_ALONE = f"{PREFIX}PICTURES=none searches passages alone."
_VERIFY = "`kbvqa index verify` looks at every passage of it; `kbvqa index build` makes it anew."
PACKAGES = ("torch", "transformers", "qdrant-edge-py")


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
    began = threads.read()
    findings = [_packages(), _extras()]
    try:
        settings = load_settings()
    except KbvqaError as exc:
        return [*findings, Finding("settings", False, str(exc), "Correct or unset it.")]
    findings.append(Finding("settings", True, _describe(settings)))
    findings += [
        _checked("disk", lambda: _disk(settings)),
        _checked("device", lambda: _device(settings, began)),
        _checked("network", network.describe),
    ]
    findings += _components(settings)
    return findings


def _components(settings: Settings) -> Iterator[Finding]:
    from app.asking.recall import LastSeen, last_seen
    from app.components import (
        open_answering,
        open_checkpoint,
        open_generator,
        open_pictures,
        open_set_index,
    )
    from app.evaluation.trust.figures import too_few

    checkpoint, searched, beside = None, "", ""
    seen: LastSeen | None = None
    unfit = strange = ""
    try:
        checkpoint = open_checkpoint(settings)
    except (KbvqaError, OSError) as exc:
        yield Finding("checkpoint", False, str(exc), f"Set {PREFIX}CHECKPOINT.")
    else:
        yield Finding("checkpoint", True, checkpoint.id)

        def describe_index() -> str:
            nonlocal searched, beside, seen, unfit, strange
            location = settings.searched_index
            with open_set_index(settings, checkpoint) as index:
                if problems := index.unfit(settings.candidates or index.candidates):
                    raise KbvqaError(f"strict mode of {location}: {'; '.join(problems)}")
                of = index.fingerprint
                searched, seen = of.corpus_sha256, last_seen(index, settings)
                state = f"{of.passages:,} passages (corpus: {of.corpus}) in {location}"
                try:
                    if (pictures := open_pictures(settings, checkpoint, index)) is not None:
                        require_pictures(pictures, checkpoint)
                        beside, strange = pictures.sha256, strangers(pictures, index)
                        state += f", {len(pictures.names):,} pictures beside them"
                except KbvqaError as exc:
                    unfit = str(exc)
                return "; ".join(filter(None, [state, index.state]))

        finding = _checked("index", describe_index, _SET_UP if settings.index is None else _VERIFY)
        if not finding.ok and _being_built(settings):
            state = f"the index at {settings.index_location} is being built by another process"
            finding = Finding("index", False, state, "Wait until that is done.")
        yield finding
        if unfit:
            yield Finding("pictures", False, unfit, _PASSAGES_ALONE)
        if strange:
            yield Finding("pictures", False, strange, _PASSAGES_ALONE, grave=False)
        if seen is not None:
            yield Finding("recall", not seen.low, str(seen), _MORE_RECALL, grave=False)
    at = f"{PREFIX}GENERATOR"
    advice = f"Correct {at}_URL, {at}_MODEL, {at}_API_KEY or {at}_TIMEOUT_SECONDS."
    try:
        generator = open_generator(settings)
        yield Finding("generator", True, generator.health())
        if checkpoint is not None:
            answering = open_answering(settings, checkpoint, generator)
            answering = replace(answering, corpus=searched, pictures=beside)
            fit = answering.fit(answering.plan.strategy)
            lack = answering.uncalibrated or (too_few(fit.n) if fit else "")
            yield Finding("confidence", not lack, lack or "calibrated", grave=False)
    except (KbvqaError, OSError) as exc:
        yield Finding("generator", False, str(exc), advice if settings.generator_url else "")


def _being_built(settings: Settings) -> bool:
    from retriever.engines.directory import being_built

    try:
        return being_built(Path(settings.index_location))
    except InvalidSettings:  # said already
        return False


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
    state = f"kbvqa {own_version()}, Python {platform.python_version()}, {', '.join(found)}"
    if missing:
        return Finding("packages", False, f"missing: {', '.join(missing)}", "Run `make install`.")
    return Finding("packages", True, state)


def _extras() -> Finding:
    lacks = {extra: missing(extra) for extra in EXTRAS}
    if not any(lacks.values()):
        return Finding("extras", True, ", ".join(EXTRAS))
    needed = [
        f"{EXTRAS[extra][1]} needs {', '.join(lacks[extra])}" for extra in lacks if lacks[extra]
    ]
    advice = f"pip install 'kbvqa[{','.join(extra for extra in lacks if lacks[extra])}]'"
    return Finding("extras", False, "; ".join(needed), advice, grave=False)


def _device(settings: Settings, began: threads.Reading) -> str:
    import torch

    from retriever.encoding.device import best_device

    device = best_device()
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}"
    return f"{device.type}, {threads.choose(settings.threads, began)}"


def _disk(settings: Settings) -> str:
    if (file := file_in_the_way(settings.home)) is not None:
        raise KbvqaError(f"{file} is a file: set {PREFIX}HOME to a directory")
    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise KbvqaError(
            f"nothing can be written to {folder} by the user that runs this: give it the right to, "
            f"or set {PREFIX}HOME to another directory"
        )
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise KbvqaError(
            f"{free / 2**30:.1f} GiB free at {folder}, {NEEDED_BYTES / 2**30:.0f} GiB are needed: "
            f"free some, or set {PREFIX}HOME to another disk"
        )
    return f"{free / 2**30:.0f} GiB free at {folder}"


def _describe(settings: Settings) -> str:
    """Return what is not its default, a line for each group, without keys."""
    rows = [row for row in reference(settings) if row.origin != "default"]
    lines = [
        f"{group}: "
        + ", ".join(f"{row.variable}={row.value}" for row in rows if row.group == group)
        for group in GROUPS
        if any(row.group == group for row in rows)
    ]
    rest = "the rest is default" if lines else "all are default"
    return "\n".join([*lines, f"{rest}: `kbvqa settings` lists them"])

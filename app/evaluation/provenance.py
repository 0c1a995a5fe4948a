"""What figures depend on and where they were made, as plain data.

`retrieval_key` and `answers_key` say what all rows of a stage depend on: a file of rows is refused
to a run with another key. `Stopwatch` says where and when a stage was run.
"""

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from app.evaluation.record import StageRecord
from app.pipeline import Pipeline
from corpus.types import Passage, Query
from generator.answers.answer import Strategy
from generator.answers.answering import Answering
from generator.answers.plan import Answerer
from generator.embedded import EmbeddedReader
from generator.extractive.reader import ExtractiveReader
from generator.interface import Capabilities
from generator.prompts import Style, closed, numbered, relevance, single
from generator.server.client import OpenAIGenerator
from retriever.index.passage_index import PassageIndex

PACKAGES = (
    *("kbvqa", "torch", "transformers", "tokenizers", "numpy", "pillow", "qdrant-client"),
    *("qdrant-edge-py", "httpx", "tensorflow"),
)
_QUERY = Query("What is the question?")
_PASSAGE = Passage("id", "Title", "Title. The text of a passage.")


def retrieval_key(pipeline: Pipeline, found: int) -> dict[str, Any]:
    """Return what hits depend on, beside the example of each.

    How the corpus is searched is not in it: that depends on the memory that is free, and stands
    in each row.

    Args:
        pipeline: with an index.
        found: how many passages are found.
    """
    assert pipeline.index is not None
    return {
        "checkpoint_sha256": pipeline.encoder.checkpoint.revision,
        "picture_weight": pipeline.encoder.checkpoint.picture_weight,  # not of the revision
        **index_record(pipeline.index),
        "candidates": pipeline.candidates,
        **({"pictures_sha256": pipeline.pictures.sha256} if pipeline.pictures else {}),
        "found": found,
        **_versions("kbvqa", "torch", "transformers"),
    }


def answers_key(pipeline: Pipeline) -> dict[str, Any]:
    """Return what answers depend on, beside the example and the passages of each.

    What only decides whether an answer is shown is not in it; see `judging_record`.

    Raises:
        GeneratorError: the generator cannot be asked what it can do.
    """
    assert pipeline.answering is not None
    index = pipeline.index
    return {
        "generator": generator_record(pipeline.answering.generator),
        "plan": plan_record(pipeline.answering),
        "prompts": prompt_record(pipeline.answering.plan.strategy, pipeline.answering.plan.style),
        "corpus_sha256": index.fingerprint.corpus_sha256 if index is not None else None,
        **_versions("kbvqa", "torch", "transformers"),
    }


def plan_record(answering: Answering) -> dict[str, Any]:
    """Return how is answered, for the key of a run: beside pictures, too, where that differs."""
    record, beside = asdict(answering.plan), answering.planned().temperature
    if beside != answering.plan.temperature:
        record["temperature_beside_pictures"] = beside
    return record


def capabilities(generator: Answerer) -> Capabilities | None:
    """Return what a generator can do now; None for the extractive reader, which is not asked.

    Raises:
        GeneratorError: it cannot be asked now.
    """
    return None if isinstance(generator, ExtractiveReader) else generator.capabilities()


def generator_record(generator: Answerer) -> dict[str, Any]:
    """Return all of a generator that its answers depend on, for the key of a run.

    Raises:
        GeneratorError: it cannot be asked what it can do.
    """
    can = capabilities(generator)
    record: dict[str, Any] = {"name": generator.name, "capabilities": can and asdict(can)}
    if isinstance(generator, OpenAIGenerator):
        record |= generator.request_record()
    elif isinstance(generator, EmbeddedReader) and generator.directory is not None:
        record["weights_sha256"] = folder_sha256(generator.directory)
    return record


def judging_record(answering: Answering) -> dict[str, Any]:
    """Return what decides how an answer is shown: the calibration and the thresholds."""
    plan = answering.plan
    alone = answering.calibration.fit(answering.generator.name, plan.style, plan.strategy)
    beside = answering.fit(plan.strategy) if answering.pictures else None
    return {
        "confidence": alone and asdict(alone),
        **({"confidence_beside_pictures": asdict(beside)} if beside else {}),
        "unsure_below": answering.unsure_below,
        "withhold_below": answering.withhold_below,
    }


def index_record(index: PassageIndex) -> dict[str, Any]:
    """Return what is searched: the corpus by its content, and how its passages are kept."""
    made, build = index.fingerprint, index.built
    return {
        "corpus_sha256": made.corpus_sha256,
        "passages": index.count,
        "max_passage_tokens": made.max_passage_tokens,
        "pool_factor": made.pool_factor,
        "storage": asdict(build.storage),
        "precisions": list(build.precisions),
    }


def prompt_record(strategy: Strategy, style: Style) -> dict[str, str]:
    """Return the names of a strategy's templates, each with a hash of it filled in."""
    if strategy == "extract":
        return {}
    templates = [closed(_QUERY, style)]  # what is asked where there are no passages
    if strategy == "concat":
        templates.append(numbered(_QUERY, [_PASSAGE], style))
    if strategy in ("ra-vqa", "critic"):
        templates.append(single(_QUERY, _PASSAGE, style))
    if strategy == "critic":
        templates.append(relevance(_QUERY, _PASSAGE, style))
    return {prompt.name: prompt.sha256 for prompt in templates}


def server_version(generator: Answerer) -> str:
    """Return the version that the generator's server reports; "" where there is none to report."""
    return generator.server_version() if isinstance(generator, OpenAIGenerator) else ""


class Stopwatch:
    """Times a stage, and says where it was run.

    Args:
        earlier: what was recorded of the stage's earlier sittings; {} for none.
    """

    def __init__(self, earlier: Mapping[str, Any]) -> None:
        self._earlier = earlier
        self._started, self._clock = datetime.now(UTC), time.monotonic()

    def record(self, made: int) -> dict[str, Any]:
        """Return a StageRecord as JSON; the earlier one where nothing was made."""
        if not made and self._earlier:
            return dict(self._earlier)
        made += self._earlier.get("made", 0)
        seconds = time.monotonic() - self._clock + self._earlier.get("seconds", 0.0)
        record = StageRecord(
            started=self._started.isoformat(timespec="seconds"),
            seconds=round(seconds, 3),
            made=made,
            per_second=round(made / seconds, 3) if seconds else 0.0,
            command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            git=git_revision(),
            packages={"python": platform.python_version(), **_versions(*PACKAGES)},
            processor=processor(),
            gpus=tuple(
                torch.cuda.get_device_name(i)
                for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
            ),
        )
        return asdict(record)


def processor() -> str:
    """Return the name of this machine's processor and how many cores may be used."""
    name = platform.processor() or platform.machine()
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        lines = facts.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next(
            (line.partition(":")[2].strip() for line in lines if "model name" in line), name
        )
    return f"{name}, {os.cpu_count()} cores"


def git_revision() -> str:
    """Return the revision of the code, "+changes" behind it where files differ from it; "unknown"
    where it is in no repository.
    """
    folder = str(Path(__file__).parent)
    found = _git(folder, "rev-parse", "--short=12", "HEAD")
    if found is None:
        return "unknown"
    return found + ("+changes" if _git(folder, "status", "--porcelain", "-uno") else "")


def digest(value: object) -> str:
    """Return a short hash of something that can be written as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def folder_sha256(folder: Path) -> str:
    """Return the SHA-256 of the files in a folder, by their names and contents."""
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name[0] != "."):
        name = path.relative_to(folder).as_posix()
        whole.update(f"{name} {file_sha256(path)}\n".encode())
    return whole.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _versions(*names: str) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git(folder: str, *command: str) -> str | None:
    try:
        run = subprocess.run(
            ["git", "-C", folder, *command], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()

"""What `benchmarks.gpu` finds: rows and checks on disk, tolerances, times, the machine.

Tolerances are counted in unit roundoffs u of a precision, and stand beside each check:

- A score is the sum of Q maxima of products of D terms of unit rows. In float32 two of them are
  at most 2 Q (D + Q) u apart (Higham 2002, section 3.1). Each rounding to half precision (of a
  passage row, of a query row, of their product) adds at most Q u of that precision.
- An embedding is n roundings deep. Independent ones grow as sqrt(n) u times a modest factor
  (Higham and Mary 2019), here 2; the golden models, whose weights are large on purpose, may make
  four times as much of them. On a CPU the random models need 0.2 of the 2, the golden ones 3.3 of
  the 8. A product of K terms counts K in float32, and 2 (its weights' and its own) where tensor
  cores add up in float32; a layer has six of them, five as wide as the model and one as its inner
  layer, and 8 for the rest.
"""

import gc
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor

from retriever.model.config import FLMRConfig

GIB = 2**30
UNIT = {"float32": 2.0**-24, "tf32": 2.0**-11, "float16": 2.0**-11, "bfloat16": 2.0**-8}
CONFIDENCE = 2
GOLDEN_GAIN = 4

Row = dict[str, Any]


class Tolerance(NamedTuple):
    """The largest difference that the arithmetic allows, and how it was counted."""

    value: float
    arithmetic: str


EXACTLY = Tolerance(0.0, "exactly")


def score_tolerance(Q: int, D: int, precision: str = "float32", rounded: int = 0) -> Tolerance:
    """Return how far scores may be apart where `rounded` numbers of each product are half."""
    value = 2 * Q * (D + Q) * UNIT["float32"] + rounded * Q * UNIT[precision]
    half = f" + {rounded} Q 2^{math.log2(UNIT[precision]):.0f}" if rounded else ""
    return Tolerance(value, f"2 Q (D + Q) 2^-24{half}; Q={Q}, D={D}")


def embedding_tolerance(config: FLMRConfig, precision: str, gain: int = 1) -> Tolerance:
    """Return how far rows of length 1 may be apart."""
    towers = [config.bert_config(), config.clip_vision_config()]
    if config.use_transformer_mapping_network:
        towers.append(config.mapping_config())
    layers = sum(tower.num_hidden_layers for tower in towers)
    width = max(tower.hidden_size for tower in towers)
    inner = max(tower.intermediate_size for tower in towers)
    n = layers * (8 + (5 * width + inner if precision == "float32" else 6 * 2))
    u, factor = UNIT[precision], CONFIDENCE * gain
    counted = f"{factor} sqrt(n) 2^{math.log2(u):.0f}; n={n}"
    return Tolerance(factor * math.sqrt(n) * u, counted)


def row_distance(rows: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest distance of a row from the one that is expected; NaN if one is NaN."""
    pairs = zip(rows, expected, strict=True)
    apart = [(a.cpu().float() - b.cpu().float()).norm(dim=-1).flatten() for a, b in pairs]
    return float(torch.cat(apart).max())


class Report:
    """Rows and checks of the sections, kept on disk.

    Args:
        out: the directory of gpu.json and gpu.md.
        device: what is measured.
        minutes: each section has so many and what the ones before it left: then it begins
            nothing new.
    """

    def __init__(self, out: Path, device: torch.device, minutes: float) -> None:
        self.out, self.device, self.minutes = out, device, minutes
        self.machine = machine(device)
        self.sections: dict[str, Row] = {}
        self.checks: list[Row] = []
        self.peaks: dict[str, float] = {}
        out.mkdir(parents=True, exist_ok=True)
        self._name, self._begun = "", time.monotonic()

    @property
    def failed(self) -> list[Row]:
        """Return the checks that failed."""
        return [check for check in self.checks if not check["passed"]]

    @property
    def precisions(self) -> list[str]:
        """Return what embeddings are made in."""
        return [p for p in UNIT if p != "tf32" or self.device.type == "cuda"]

    def run(self, name: str, section: Callable[[], None]) -> None:
        """Run a section, and write all there is so far."""
        self._name, begun = name, time.monotonic()
        self.sections[name] = {"seconds": 0.0, "rows": []}
        section()
        self.sections[name]["seconds"] = round(time.monotonic() - begun, 1)
        self.write()

    def attempt(self, what: str, work: Callable[[], None]) -> None:
        """Do one piece of work, which adds rows and checks; what stops it becomes a row."""
        allowed = self.minutes * len(self.sections)
        if time.monotonic() - self._begun > 60 * allowed:
            self.add(what=what, note=f"left out: {allowed:g} minutes are over")
            return
        self.begin(what)
        try:
            work()
        except torch.OutOfMemoryError as exc:
            self.add(what=what, note="out of memory: " + str(exc).partition(". GPU")[0])
        except ModuleNotFoundError as exc:
            self.add(what=what, note=f"left out: {exc}, which the code measured here imports")
        except Exception as exc:  # noqa: BLE001 - recorded as failed; the rest is still measured
            note = f"{type(exc).__name__}: {exc}".partition("\n")[0]
            self.add(what=what, note=note)
            self.check(what, math.nan, Tolerance(0.0, note))
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.write()

    def add(self, **row: Any) -> None:
        """Add a row to the section's table."""
        self.sections[self._name]["rows"].append(row)

    def check(self, what: str, difference: float, tolerance: Tolerance) -> None:
        """Record whether a difference is within its tolerance. NaN is not."""
        passed = difference <= tolerance.value
        self.checks.append(
            {
                "section": self._name,
                "check": what,
                "difference": difference if math.isfinite(difference) else str(difference),
                "tolerance": tolerance.value,
                "arithmetic": tolerance.arithmetic,
                "passed": passed,
            }
        )
        if not passed:
            self._say(f"FAILED: {what}: {difference} > {tolerance.value} ({tolerance.arithmetic})")

    def begin(self, what: str) -> None:
        """Print what is measured now, and forget the most memory that was in use before."""
        self._say(what)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def _say(self, what: str) -> None:
        print(f"{time.monotonic() - self._begun:6.1f} s  {self._name}: {what}", flush=True)

    def speed(self, precision: str, flop: float, ms: float) -> Row:
        """Return TFLOP/s, their share of a matrix product's measured here, and memory in GiB."""
        tflops, peak = flop / ms / 1e9, self.peaks.get(precision)
        used = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None
        return {
            "TFLOP/s": tflops,
            "share of peak": peak and tflops / peak,
            "memory GiB": used and used / GIB,
        }

    def write(self) -> None:
        """Write gpu.json, and gpu.md: the tables of all sections, and of the checks."""
        found = {"machine": self.machine, "sections": self.sections, "checks": self.checks}
        text = json.dumps(found, indent=2, allow_nan=False) + "\n"
        (self.out / "gpu.json").write_text(text, encoding="utf-8")
        parts = [", ".join(f"{name} {value}" for name, value in self.machine.items())]
        for name, section in self.sections.items():
            parts += [f"## {name}, {section['seconds']:.0f} s"]
            parts += [_table(section["rows"])]
        passed = len(self.checks) - len(self.failed)
        parts += [f"## {passed} of {len(self.checks)} checks passed", _table(self.checks)]
        (self.out / "gpu.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _table(rows: Sequence[Row]) -> str:
    if not rows:
        return "No rows here."
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[_cell(row.get(name)) for name in columns] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return "" if value is None else str(value).replace("|", "/")


def machine(device: torch.device) -> Row:
    """Return what the numbers depend on: device, processor, driver, versions, revision."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    name = text.partition("model name")[2].partition("\n")[0].strip("\t: ") or platform.machine()
    facts: Row = {"device": "cpu"}
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        facts = {"device": found.name, "memory": f"{found.total_memory / GIB:.1f} GiB"}
        query = ("--query-gpu=driver_version", "--format=csv,noheader")
        facts["driver"] = _output("nvidia-smi", *query).partition("\n")[0]
        facts["CUDA"] = torch.version.cuda
        facts["TF32 products"] = torch.backends.cuda.matmul.allow_tf32
        facts["cuDNN"] = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return facts | {
        "processor": f"{os.cpu_count()} x {name}",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "revision": _output(
            "git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"
        ),
    }


def _output(*command: str) -> str:
    """Return what a command prints; "unknown" where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return "unknown"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def milliseconds(
    work: Callable[[], object], device: torch.device, repeats: int = 5, warm: int = 2
) -> float:
    """Return the median time of `work`, its host part included, after some calls to warm up."""
    times: list[float] = []
    for _ in range(warm):
        work()
    for _ in range(repeats):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            begin, end = _event(), _event()
            begin.record()
            work()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
        else:
            started = time.perf_counter()
            work()
            times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

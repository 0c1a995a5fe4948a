"""What frozen towers say, computed once: arrays on disk by key.

    3.f16      the numbers of many arrays, end to end, in float16
    3.jsonl    a line for each key: where its arrays are and how large

Each process that writes has files of its own, and reads those of all others as it found them. A
line is written behind its numbers: what a killed process left half done is overwritten.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from corpus.files.alone import lock
from retriever.errors import TrainingStopped


@dataclass(frozen=True, slots=True)
class Stored:
    """Arrays in float16, and a text that goes with them."""

    arrays: tuple[Tensor, ...]
    note: str


@dataclass(frozen=True, slots=True)
class _Place:
    file: BinaryIO
    offset: int
    shapes: tuple[tuple[int, ...], ...]
    note: str


class FeatureStore:
    """Arrays by key, kept in a folder. One thread uses it.

    Args:
        folder: made if missing; whoever names it answers for what its arrays are made by.

    Raises:
        TrainingStopped: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._places = folder, dict[str, _Place]()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._numbers, self._lines = self._own()
        except OSError as exc:
            raise self._full(exc) from exc

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __getitem__(self, key: str) -> Stored:
        """Return what is kept under a key. Raises KeyError."""
        place = self._places[key]
        arrays, offset = [], place.offset
        for shape in place.shapes:
            raw = os.pread(place.file.fileno(), 2 * prod(shape), offset)
            values = np.frombuffer(raw, np.float16).reshape(shape)
            arrays.append(torch.from_numpy(values.copy()))
            offset += len(raw)
        return Stored(tuple(arrays), place.note)

    def put(self, key: str, arrays: Sequence[Tensor], note: str = "") -> None:
        """Keep arrays under a new key, in float16.

        Raises:
            TrainingStopped: the disk is full, or a number does not fit.
        """
        halves = [array.detach().cpu().half() for array in arrays]
        if not all(half.isfinite().all() for half in halves):
            raise TrainingStopped(
                "a frozen tower gave a number that float16 does not hold: train with --no-features"
            )
        shapes = tuple(tuple(half.shape) for half in halves)
        offset = self._numbers.tell()
        line = json.dumps([key, offset, shapes, note]) + "\n"
        try:
            for half in halves:
                self._numbers.write(half.contiguous().numpy().tobytes())
            self._numbers.flush()
            self._lines.write(line.encode())
            self._lines.flush()
        except OSError as exc:
            raise self._full(exc) from exc
        self._places[key] = _Place(self._numbers, offset, shapes, note)

    def close(self) -> None:
        """Let others write these files."""
        self._numbers.close()
        self._lines.close()

    def _own(self) -> tuple[BinaryIO, BinaryIO]:
        """Return the files of this process, cut to what is whole; all that is there is known."""
        own, number = None, 0
        while own is None or (self._folder / f"{number}.f16").exists():
            numbers = (self._folder / f"{number}.f16").open("ab+")
            mine = own is None and lock(numbers)
            end, length = self._read(number, numbers)
            if mine:
                lines = (self._folder / f"{number}.jsonl").open("ab+")
                lines.truncate(length)
                numbers.truncate(end)
                numbers.seek(end)
                own = numbers, lines
            number += 1
        return own

    def _read(self, number: int, file: BinaryIO) -> tuple[int, int]:
        """Note the arrays of a file; return where the numbers and the lines of it end."""
        path, end, length = self._folder / f"{number}.jsonl", 0, 0
        size = os.fstat(file.fileno()).st_size
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            try:
                key, place = _placed(file, line)
            except ValueError:
                break
            after = place.offset + 2 * sum(prod(shape) for shape in place.shapes)
            if not line.endswith(b"\n") or after > size:
                break
            self._places[key] = place
            end, length = after, length + len(line)
        return end, length

    def _full(self, exc: OSError) -> TrainingStopped:
        return TrainingStopped(
            f"{self._folder}: features cannot be kept ({exc.strerror or exc}): make room, or name "
            "another place with --features, and give the same command again"
        )


def _placed(file: BinaryIO, line: bytes) -> tuple[str, _Place]:
    """Return what a line says: a key, and where its arrays are. Raises ValueError."""
    match json.loads(line):
        case [str(key), int(offset), [*shapes], str(note)] if offset >= 0:
            whole = tuple(tuple(shape) for shape in shapes if isinstance(shape, list))
            if len(whole) == len(shapes) and all(type(n) is int and n >= 0 for n in chain(*whole)):
                return key, _Place(file, offset, whole, note)
    raise ValueError("a line that says nothing of arrays")

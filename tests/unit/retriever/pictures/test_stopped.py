"""What a build of a collection keeps when it is killed within a part."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from corpus.pictures.entities import EntityPicture
from retriever.checkpoint.loading import load_checkpoint
from retriever.encoding.encoder import Encoder
from retriever.pictures import parts as parts_module
from retriever.pictures.parts import Part


class Counting(Encoder):
    """Counts what it encodes, and is interrupted at some batch."""

    encoded, stops_at = 0, 0

    def encode_pictures(self, pictures: Any) -> Any:
        self.encoded += len(pictures)
        if self.encoded == self.stops_at:
            raise KeyboardInterrupt
        return super().encode_pictures(pictures)


def test_a_part_is_kept_as_far_as_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = load_checkpoint("kbvqa-mini")
    monkeypatch.setattr(parts_module, "BATCH", 1)
    monkeypatch.setattr(parts_module, "KEPT_EVERY_SECONDS", 0)
    pictures = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (40, 30), (50 * number, 99, 9)).save(path)
        pictures.append(EntityPicture(path.name, path, "e"))
    pictures[1].path.write_bytes(b"no picture")
    whole = Part.encode(pictures, Encoder(checkpoint), lambda done: None)
    kept, encoder = tmp_path / "part.safetensors", Counting(checkpoint)
    encoder.stops_at = 3  # the fourth picture, as the second is none
    with pytest.raises(KeyboardInterrupt):
        Part.encode(pictures, encoder, lambda done: None, kept)
    told: list[int] = []
    again = Counting(checkpoint)
    part = Part.encode(pictures, again, told.append, kept)
    assert (again.encoded, told) == (2, [3, 4, 5])
    assert (part.vectors_IV == whole.vectors_IV).all() and part.left_out == whole.left_out
    assert np.array_equal(part.layouts_ILHWC, whole.layouts_ILHWC)
    once_more = Counting(checkpoint)
    Part.encode(pictures, once_more, told.append, kept)
    assert once_more.encoded == 0

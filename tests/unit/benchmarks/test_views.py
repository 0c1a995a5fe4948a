"""Views of the validation pictures: each changes what its name says, the same way every time."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.views import asked_about, before, disc, flat, hidden, report, window

RED = (220, 20, 20, 255)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_disc_is_the_middle_without_corners(rng: np.random.Generator) -> None:
    picture = Image.new("RGBA", (90, 30), "blue")
    picture.paste(RED, (30, 0, 60, 30))
    pixels = np.asarray(disc(picture, rng))
    assert pixels.shape == (30, 30, 4)
    assert (pixels[15, 15] == RED).all() and pixels[0, 0, 3] == 0


def test_a_window_is_a_part_and_what_is_hidden_a_fifth(rng: np.random.Generator) -> None:
    picture = Image.new("RGBA", (100, 60), RED)
    assert window(picture, rng).size == (70, 42)
    changed = (np.asarray(hidden(picture, rng)) != RED).any(-1).mean()
    assert changed == pytest.approx(np.pi / 16, abs=0.02)


def test_a_picture_stands_before_a_photograph(tmp_path: Path, rng: np.random.Generator) -> None:
    Image.new("RGB", (500, 400), (0, 200, 0)).save(tmp_path / "grass.jpg")
    view = before([tmp_path / "grass.jpg"])(Image.new("RGBA", (64, 64), RED), rng)
    red = np.asarray(view).astype(int)[..., 0] > 128
    assert view.size == (224, 224) and 0.5**2 <= red.mean() <= 0.8**2


def test_the_same_pictures_are_asked_the_same_question_in_every_view() -> None:
    plain, cut = (asked_about("emoji", view, 3) for view in (flat, window))
    assert [(a.query.question, a.gold) for a in plain] == [(a.query.question, a.gold) for a in cut]
    again = asked_about("emoji", window, 3)
    for one, two in zip(cut, again, strict=True):
        assert one.query.image is not None and two.query.image is not None
        assert one.query.image.tobytes() == two.query.image.tobytes()


def test_a_report_has_both_recalls_and_the_error_of_the_first() -> None:
    figures = {"flag, round": {"passages": {"recall@1": 0.5, "recall@5": 0.75}}}
    assert "| flag, round | 50.0 / 75.0 ± 5.0 | 100 |" in report(figures, {"flag, round": 100})

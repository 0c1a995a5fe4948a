"""Where the golden fixtures are, and how to open what more than one test reads."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

GOLDEN = Path(__file__).parent / "golden"


def golden_json(name: str) -> Any:
    """Return the content of a golden JSON file."""
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def golden_image(name: str) -> Image.Image:
    """Return one of the golden pictures."""
    return Image.open(GOLDEN / "images" / f"{name}.png")

"""Styles and scripts that the browser is given, and in which order. All colours are in colours.css.

    STYLES, SCRIPTS           # of the page, as files
    text_of("reasons.js")     # for a page that stands alone

Imports nothing. A script is a function, which runs when the page is there; begin with page.js.
"""

from pathlib import Path

_HERE = Path(__file__).parent
STYLES = tuple(
    _HERE / f"{name}.css" for name in ("colours", "inputs", "answer", "reasons", "keeping")
)
SCRIPTS = tuple(_HERE / f"{name}.js" for name in ("page", "crop", "reasons", "keeping"))


def text_of(*names: str) -> str:
    """Return files of this folder as one text."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)

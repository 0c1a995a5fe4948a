"""An answer as one file of HTML, which needs no network: of the page and of `kbvqa ask --save`.

    document(query.image, finished(pipeline, query.question, result, why))

The template is `saved.html`. The page fills the same one in the browser: see keeping.js.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL.Image import Image

from app.feedback.opinion import kept_picture
from app.web import texts
from app.web.look import text_of
from app.web.shown.marked import as_html
from app.web.views import View

_HERE = Path(__file__).parent
_STYLES = ("colours.css", "inputs.css", "answer.css", "reasons.css")
_SLOT = re.compile(r"<!--slot:(\w+)-->")
# Dark where the reader's system is; where the picture lies, for the script that draws over it.
_OWN_SCRIPT = """\
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.classList.toggle("dark", dark);
window.kbvqaPictureArea = () => {
  const image = document.querySelector("#picture img");
  const { offsetLeft: left, offsetTop: top, clientWidth: width, clientHeight: height } = image;
  return { left, top, width, height };
};"""


def template() -> str:
    """Return the document with slots for an answer: question, picture, answer, passages, footer.

    It runs its own script alone, and loads nothing.
    """
    script = f"{_OWN_SCRIPT}\n({text_of('reasons.js')})();"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return _filled(
        (_HERE / "saved.html").read_text(encoding="utf-8"),
        {"policy": policy, "style": text_of(*_STYLES), "script": script},
    )


def document(image: Image | None, view: View) -> str:
    """Return an answer as one file of HTML.

    Args:
        image: the picture; None where there is none.
        view: what the page shows in the end.
    """
    if view.record is None:
        raise ValueError("there is no answer yet")
    slots = {
        "question": as_html(view.record["question"]),
        "picture": "data:," if image is None else _data_url(image),
        "answer": view.answer,
        "passages": view.passages,
        "footer": footer(view.record),
    }
    return _filled(template(), slots)


def footer(record: Mapping[str, Any]) -> str:
    """Return what answered, and when, as HTML."""
    return texts.footer(record["checkpoint"], record["generator"], record["time"])


def _filled(text: str, slots: dict[str, str]) -> str:
    """Fill the slots that are named; in one pass, so that nothing which is put in is one."""
    return _SLOT.sub(lambda slot: slots.get(slot[1], slot[0]), text)


def _data_url(image: Image) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(kept_picture(image)).decode()}"

"""Made findings and cases, and a generator that obeys attacks, for tests of strategies."""

import re

from app.evaluation.strategies.comparison import (
    Variant,
)
from app.evaluation.strategies.sets import (
    Finding,
    Kind,
    Sizes,
    cases,
)
from corpus.demo.data import demo_images
from corpus.types import Example, Hit, Passage

TOWN = "Town2"
IMAGE = next(image.image for image in demo_images() if image.kind == "flag")


def found(n: int, kind: Kind = "flags") -> Finding:
    gold = Passage(f"gold{n}", f"Land {n}", f"Land {n} - Facts. Capital: Town{n}.", section="Facts")
    also = Passage(f"also{n}", f"Land {n}", f"Land {n} - More. Town{n} is old.", section="More")
    other = Passage(f"other{n}", f"Land {n}", f"Land {n} - Sea. No coast.", section="Sea")
    example = Example(
        f"{IMAGE}:{kind}{n}:Capital", IMAGE, "What is the capital?", (f"Town{n}",), (gold.id,)
    )
    sky = Passage(f"sky{n}", f"Land {n}", f"Land {n} - Sky. It is blue.", section="Sky")
    hits = tuple(Hit(p, 20.0 - i) for i, p in enumerate((gold, other, also, sky)))
    return Finding(kind, example, hits, "", n % 2 == 1)


FOUND = [found(n) for n in range(40)] + [found(n, "things") for n in range(12)]
SIZES = Sizes(calibrating=20, tested=20, unanswerable=10, attacked=8, things=4, others=6, critic=2)
CASES = list(cases(FOUND, 2, SIZES))
RA_VQA = Variant("ra-vqa")


def obedient(prompt) -> tuple[str, float]:
    """Answer with the target of an attack, else with the capital, else with nonsense."""
    text = prompt.messages[-1].text
    order = re.search(r"(?:exactly|has to be|respond with|Say|state|Answer:) (Town\d+)", text)
    if order:
        return order[1], -0.1
    if "Capital: " in text:
        return text.partition("Capital: ")[2].split(".")[0], -0.3
    return "no idea", -2.0


def nothing(*_: object) -> None:
    pass

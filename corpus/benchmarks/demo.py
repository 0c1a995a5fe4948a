"""The demo benchmark: questions about pictures of the validation vendor.

No picture of that vendor is trained on; the others are there to train generators on. Gold
passages of flags that no picture can tell apart are grouped (`corpus.demo.lookalikes`): any of
them counts.
"""

import random
import re
from collections import defaultdict
from typing import Literal

from corpus.demo.data import DemoQuestion, demo_images, demo_passages_path, demo_questions
from corpus.demo.lookalikes import lookalikes
from corpus.demo.reading import handwritten, split_of, wordings
from corpus.files.passages import read_passages
from corpus.types import Example

# Fields with answers that can be compared: of countries a name, a number, a code; of things
# (w_...) a name or a phrase, not the definition and not just any number.
SHORT_FIELDS = frozenset(
    {
        "Capital",
        "Coastline",
        "Currency",
        "Government type",
        "Highest point",
        "Internet country code",
        "Life expectancy at birth",
        "Population",
        "Total area",
        "w_aka",
        "w_diet",
        "w_found",
        "w_group",
        "w_invented",
        "w_made",
        "w_native",
        "w_origin",
        "w_used",
    }
)
# "euros (EUR) per US dollar -": what follows the name is no part of the answer.
_TAILS = re.compile(r"(?<!^)( per US dollar -| [-\d,.]+( m)?$|;.*)")
_PARENTHESES = re.compile(r"\s*\([^)]*\)")
# "UAE 35%, Oman 18%", "Libya 989 km; Mali 1,359 km", "2.6 million CAIRO": what a list has of each.
_AMOUNTS = re.compile(
    r"(?<=\w) (?:less than |more than )?-?\d[\d,.-]*(?:%| k?m)(?=[;,]|$)|"
    r"(?:(?<=^)|(?<=[;,] ))\d(?:[\d.]* million|[\d,]*,\d{3}) (?=[A-Z])"
)


def demo_examples(
    kind: str, *, per_picture: int, seed: int = 0, short: bool = False, split: str = "val"
) -> list[Example]:
    """Return examples on the pictures of one kind, the same for the same seed.

    Args:
        kind: "flag" or "emoji".
        per_picture: at most so many questions a picture, on different passages or fields.
        seed: of the choice of questions.
        short: only fields with short answers.
        split: "val", the pictures of the validation vendor, or "train".
    """
    draw = random.Random(seed)
    by_entity: dict[str, list[DemoQuestion]] = defaultdict(list)
    for question in demo_questions():
        if not short or question.field in SHORT_FIELDS:
            by_entity[question.entity].append(question)
    examples = []
    for image in demo_images():
        if image.split != split or image.kind != kind:
            continue
        asked = by_entity[image.entity]
        for question in draw.sample(asked, min(per_picture, len(asked))):
            examples.append(
                Example(
                    id=f"{image.image}:{question.field}",
                    image=image.image,
                    question=draw.choice(question.questions),
                    answers=acceptable_answers(question.answer),
                    gold_passage_ids=gold_passages(question),
                )
            )
    return examples


def held_out_examples(kind: str, split: Literal["tune", "test"], *, seed: int = 0) -> list[Example]:
    """Return questions about entities and in wordings that no reader was trained on.

    On the pictures of the validation vendor. Of flags each short field, in one of the wordings
    that were written by somebody who had not seen those of training; of things the questions
    written by hand to their leads, without those answered by yes or no.

    Args:
        kind: "flag" or "emoji".
        split: the half that tunes what is chosen or fitted on top of a reader, or that tests.
        seed: of the choice of wordings.
    """
    draw = random.Random(f"{seed}/{split}/{kind}")
    pictures = [
        image
        for image in demo_images()
        if image.split == "val" and image.kind == kind and split_of(image.entity) == split
    ]
    if kind == "flag":
        asked = wordings("val")
        facts: dict[str, list[DemoQuestion]] = defaultdict(list)
        for question in demo_questions():
            if question.field in SHORT_FIELDS and question.entity.startswith("flag:"):
                facts[question.entity].append(question)
        return [
            Example(
                id=f"{image.image}:{question.field}",
                image=image.image,
                question=draw.choice(asked[question.field]),
                answers=acceptable_answers(question.answer),
                gold_passage_ids=gold_passages(question),
            )
            for image in pictures
            for question in facts[image.entity]
        ]
    passages = {passage.id: passage for passage in read_passages(demo_passages_path())}
    rows = defaultdict(list)
    for passage, example, _ in handwritten("val", passages):
        if example.kind not in ("none", "yes", "no"):
            rows[passage.entity].append((passage, example))
    return [
        Example(
            id=f"{image.image}:{example.question}",
            image=image.image,
            question=example.question,
            answers=(example.answer,),
            gold_passage_ids=(passage.id,),
        )
        for image in pictures
        for passage, example in rows[image.entity]
    ]


def gold_passages(question: DemoQuestion) -> tuple[str, ...]:
    """Return the passage that proves the answer, and those of look-alike flags."""
    corpus, _, rest = question.passage.partition(":")
    if corpus != "factbook":
        return (question.passage,)
    section = rest.partition(":")[2]
    codes = sorted(entity.partition(":")[2] for entity in lookalikes(question.entity))
    return tuple(f"factbook:{code}:{section}" for code in codes)


def acceptable_answers(answer: str) -> tuple[str, ...]:
    """Return the answer as the source has it, and without notes, units, dates and amounts.

    >>> acceptable_answers("euros (EUR) per US dollar -")
    ('euros (EUR) per US dollar -', 'euros (EUR)', 'euros')
    >>> acceptable_answers("68,512,806 (2025 est.)")
    ('68,512,806 (2025 est.)', '68,512,806')
    >>> acceptable_answers("Mont Blanc 4,810")
    ('Mont Blanc 4,810', 'Mont Blanc')
    >>> acceptable_answers("UAE 35%, Oman 18% (2023)")[1:]
    ('UAE 35%, Oman 18%', 'UAE, Oman')
    >>> acceptable_answers("Everest (the highest) 8,849 m; near the border")[-1]
    'Everest'
    """
    shorter = _TAILS.sub("", answer).strip()
    bare = _PARENTHESES.sub("", shorter).strip()
    whole = _PARENTHESES.sub("", answer).strip()
    names = [(text, _AMOUNTS.sub("", text).strip()) for text in (whole, bare)]
    known = (
        answer,
        shorter,
        bare,
        *(name for text, name in names if name != text or ";" in answer),
    )
    return tuple(text for text in dict.fromkeys(known) if text)

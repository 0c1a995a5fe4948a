"""What a question says that its answer leaves out of account: reasons to doubt it. Pure functions.

    a year      "How many lived there in 1950?" beside a sentence about 2010
    a choice    "Is it a fruit or a vegetable?" answered with a genus
    a difference  "How much longer is the Volga?" where the passage has two lengths
    a count     "the last three kings" answered with one
    a thing     "How heavy is it?" answered from a passage about another thing than the best one's
    a model     "What does the Tarn 7 weigh?" where the passage is on the Tarn 5
    an exception  "2 years on all except tyres" to a question about tyres
    a limit     "less than 500 g" of "What weighs less than 500 g will not survive"

A doubt makes an answer "unsure", however probable it is; the words are shown all the same.
"""

import re

from generator.sentences import sentence
from generator.values.choice import choice, chooses
from generator.values.holders import held_in
from generator.values.quantities import MONTH
from generator.values.wording import telling, without

_YEAR = re.compile(
    r"(?<![\d.,])(?:1[0-9]|20)\d\d"
    r"(?![\d%]|[.,]\d|s\b|\s?(?:[ckm]?m|ft|feet|met\w+|miles?|[km]?g|tons?|people|years)\b)"
)
# "before 1900", "between 1914 and 1918": years that need not be said.
_BOUND = re.compile(
    r"\b(?:before|after|until|till|since|by|from|to|between|and|than|around|about|under|over|"
    r"above|below|prior to|up to|later|earlier)\W+(?:the\W+|year\W+)*$",
    re.IGNORECASE,
)
_MORE = (
    r"(?:more|less|fewer|(?:old|young|long|short|high|low|tall|deep|heavi|light|bigg|larg|small|wid|"
    r"thick|fast|slow|cheap|warm|cold|late|earli)er)"
)
_DIFFERENCE = re.compile(
    rf"\bhow\s+(?:much|many)\s+(?:\w+\s+)?{_MORE}\b.*\bthan\b|"
    r"\bhow\s+much\s+(?:\w+\s+){1,3}(?:gain|lose)\b.*\bto\b",
    re.IGNORECASE,
)
_COMPARISON = re.compile(r"\bcompare\b", re.IGNORECASE)
_COMPARED = re.compile(
    r"\b(?:more|less|fewer|than|difference|gain\w*|los(?:es?|t|ing)|rose|rises|fell|falls|by|times|"
    r"grew|grows?|shr[iau]nks?|increase\w*|decrease\w*|half|twice|double|later|earlier|after|before)\b",
    re.IGNORECASE,
)
_OF_A_ROW = re.compile(
    r"\b(?:last|first|next|previous|top)\s+(two|three|four|five|[2-5])\s+(?!words?\b|centur|decade|year|month|week|day)\w+",
    re.IGNORECASE,
)
_SEVERAL = re.compile(r"[,;\d]|\s(?:and|to)\s", re.IGNORECASE)
_LIMIT = re.compile(
    r"\b(?:less|more|fewer|lighter|heavier|older|younger|under|over|below|above)\b", re.I
)
_DENIES = re.compile(
    r"\b(?:(?:will|can|may|must|do|does|should)\s+not|cannot|never)\b|n['’]t\b", re.IGNORECASE
)
# "Tarn 5", and not "May 5".
_MODEL = re.compile(
    rf"\b(?!(?:{MONTH}|\w{{3,6}}days?|from|than|until|since|before|after|between|about|over|under|around|with|for|and|"
    r"the|year|room|page)\b)(?P<name>[^\W\d][\w-]{2,})\s+(?P<number>(?!(?:1\d|20)\d\d\b)\d+[a-z]?)\b",
    re.IGNORECASE,
)
# "Like the Tarn 3, it has a lid": it is about another.
_BESIDE = re.compile(
    r"\b(?:(?:un)?like|than|after|before|as|with|besides|from)\s+(?:the\s+)?\Z", re.IGNORECASE
)
_EXCEPT = re.compile(
    r"\b(?:except(?:ing)?(?:\s+for)?|excluding|apart\s+from|other\s+than)\s+([^.;:()]+)",
    re.IGNORECASE,
)
_PRONOUN = re.compile(
    r"he|him|his|she|hers?|it|its|they|them|theirs?|this|that|these|those", re.IGNORECASE
)
# What means the thing in the picture.
_POINTS = re.compile(
    r"\b(?:its?|this|that|these|those|they|them|their|he|she|his|hers?|him|one)\b", re.IGNORECASE
)
# Behind an answer: "462 inhabitants in 2010", "120 km (2015 est.)".
_SAID_OF = re.compile(r"[^;,.()]{0,25}?(?:\b(?:in|by|of|until|since)\s+|\()(\d{4})\b")


def doubts_about(
    question: str, text: str, span: tuple[int, int], title: str = ""
) -> tuple[str, ...]:
    """Return what speaks against an answer in the words of its question.

    Args:
        question: that was asked.
        text: the passage that the answer is from.
        span: the characters of the answer.
        title: of the passage.

    >>> text = "Oz had 462 inhabitants in 2010 and 520 in 2002."
    >>> [doubts_about(f"How many in {year}?", text, (7, 10)) for year in (2010, 2002, 1950)]
    [(), ('it is said of 2010, not of 2002',), ('the passage says nothing of 1950',)]
    """
    found = []
    if said := _other_year(question, text, span):
        found.append(said)
    answer, around = text[slice(*span)], sentence(text, span)
    if said := _other_model(question, f"{title}. {text}"):
        found.append(said)
    if said := _said_of_model(question, title, around[: around.find(answer)]):
        found.append(said)
    if (excepted := _EXCEPT.search(around)) and answer not in excepted[0]:
        only = without(telling(excepted[1]), telling(around[: excepted.start()]))
        if _share(only, telling(question)) and not _EXCEPT.search(question):
            found.append(f"its sentence excepts “{excepted[1].strip()}”")
    if (offered := choice(question)) and not chooses(offered, answer):
        found.append(f"it is neither “{offered[0]}” nor “{offered[1]}”")
    measured = any(map(str.isdigit, answer))
    if measured and _DIFFERENCE.search(question) and not _COMPARED.search(around):
        found.append("it asks for a difference, and this is one of the two")
    if _COMPARISON.search(question) and not _COMPARED.search(around):
        found.append("it asks to compare, and this is one of the two")
    if (row := _OF_A_ROW.search(question)) and not _SEVERAL.search(answer):
        found.append(f"it asks for {row[1]}, and this is one")
    if _PRONOUN.fullmatch(answer):
        found.append(f"“{answer}” is no name")
    behind = around[around.find(answer) + len(answer) :]
    denied = _DENIES.search(behind) and not _DENIES.search(question)
    if measured and denied and _LIMIT.search(answer):
        found.append("its sentence says “not”")
    return tuple(found)


def of_another_thing(question: str, best: str, title: str, text: str) -> tuple[str, ...]:
    """Return the doubt about what is said of another thing than "it"; nothing where there is none.

    Args:
        question: that was asked of a picture.
        best: the title of the passage that was found best.
        title: that of the passage that the answer is from.
        text: the passage.

    >>> of_another_thing("How heavy is it?", "Owls", "Lions", "A lion weighs 190 kg.")
    ('it is said of “Lions”',)
    >>> of_another_thing("How heavy is it?", "Owls", "Lions", "An owl is lighter than a lion.")
    ()
    """
    if not (title and telling(best) and _POINTS.search(question)):
        return ()
    named = _share(telling(best), telling(f"{title} {text}"))
    return (
        () if named or _share(telling(title), telling(question)) else (f"it is said of “{title}”",)
    )


def _other_year(question: str, text: str, span: tuple[int, int]) -> str:
    years = [m for m in _YEAR.finditer(question) if not _BOUND.search(question[: m.start()])]
    if len(years) != 1:
        return ""
    asked = years[0][0]
    if held_in(text, span, int(asked)):
        return ""
    if asked not in text:
        return f"the passage says nothing of {asked}"
    said_of = _SAID_OF.match(text, span[1])
    if said_of is None or said_of[1] == asked or asked in text[slice(*span)]:
        return ""
    return f"it is said of {said_of[1]}, not of {asked}"


def _other_model(question: str, passage: str) -> str:
    """Return the doubt about a passage that has a question's name with other numbers alone.

    >>> text = "The Tarn 3 weighs 14 kg."
    >>> [_other_model(f"How heavy is the {it}?", text) for it in ("Tarn 3", "tarn 5")]
    ['', 'the passage says nothing of “tarn 5”']
    """
    for asked in _MODEL.finditer(question):
        name = re.escape(asked["name"][:1].upper() + asked["name"][1:])
        known = re.findall(rf"\b{name}\s+(\d+[a-z]?)\b", passage)
        said = re.search(rf"\b{name}\s+{asked['number']}\b", passage, re.IGNORECASE)
        if known and not said:
            return f"the passage says nothing of “{asked[0]}”"
    return ""


def _said_of_model(question: str, title: str, before: str) -> str:
    """Return the doubt about what is said of another model than a passage's own, and not meant.

    >>> said = "The Tarn 5 is the same, and weighs "
    >>> [_said_of_model(q, "Tarn 3", said) for q in ("How heavy is it?", "how heavy is the tarn 5")]
    ['it is said of “Tarn 5”', '']
    """
    for own in _MODEL.finditer(title):
        # Of what a sentence compares, the first is what it is about.
        first = re.search(rf"\b{re.escape(own['name'])}\s+(\d+[a-z]?)\b", before)
        if first is None or _BESIDE.search(before, 0, first.start()):
            continue
        if first[1] != own["number"] and not re.search(rf"\b{first[1]}\b", question):
            return f"it is said of “{first[0]}”"
    return ""


def _share(words: list[str], others: list[str]) -> bool:
    """Return whether any of some words is among others, in whatever form."""
    return len(without(words, others)) < len(words)

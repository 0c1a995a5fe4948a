"""A short question about the country that a picture shows, made to say so. Pure functions.

    who is the king             who is the king in this country
    how large is it?            how large is this country?
    what do they eat there      what do they eat in this country

The retriever has learnt from questions that say what they are about: to one that does not, words
such as "king" or "large" find kings and large things, whatever flag is shown.
"""

import re

from app.flow.events import Retrieval
from generator.identity import asks_country, asks_identity, of_a_country

# Longer ones say enough, and words added to them are read as a part of what they ask.
_MOST_WORDS = 7
# What says so already, or asks of the flag itself.
_SAYS = re.compile(
    r"\b(?:countr(?:y|ies)|nation|nations|state|land|territory|kingdom|republic|islands?|cit(?:y|ies)\s+of|"
    r"flags?|colou?rs?|stars?|stripes?|symbols?|emblem|heads?|bands?|cross(?:es)?|sun|moon|"
    r"crescent|eagle|dragon|leaf|wheel|circle|triangle|corner|middle|cent(?:re|er)|back|picture|photo|image|this|that|these|those|"
    r"he|she|him|his|hers?|hello|hi|thanks?|thank\s+you|bye|please)\b|\A\W*why\W*\Z|"
    r"\bfar\s+is\s+it\b|\?.*\w",
    re.IGNORECASE,
)
_NAME = re.compile(r"\w\W+[A-Z]\w")  # of what it asks about, perhaps
_NO_PLACE = re.compile(
    r"\b(?:is|are|was|were|be|been)\s+there\b|\bthere(?:\s+(?:is|are|was|were)\b|['’]s)|"
    r"\b(?:time|far|day|date)\s+is\s+it\b|\bit\s+(?:true|possible|likely|take|(?:rain|snow)(?:ing)?)\b|"
    r"\bis\s+it\s+\w+\s+(?:or|they|that|to)\b",
    re.IGNORECASE,
)
_TO = re.compile(r"\b(go|travel|fly|get|come|move|sail|drive)\s+(?:over\s+)?there\b", re.IGNORECASE)
_FROM = re.compile(r"\b(from|to|around|near|in|of)\s+(?:there|here)\b", re.IGNORECASE)
_THERE = re.compile(r"\s+(?:over\s+|down\s+|up\s+)?(?:there|here)\b", re.IGNORECASE)
_ITS = re.compile(r"\b(?:its|their)\b", re.IGNORECASE)
_IT = re.compile(r"\bit\b(?!['’])", re.IGNORECASE)
# What nothing but a country has.
_OF_COUNTRIES = re.compile(
    r"\b(?:president|prime\s+minister|head\s+of\s+(?:state|government)|capital|currency|anthem|"
    r"independen(?:t|ce)|parliament|exports?|official\s+languages?|biggest\s+city|largest\s+city)\b",
    re.IGNORECASE,
)


def of_this_country(question: str) -> str | None:
    """Return a short question that does not say what it is about as one about this country.

    >>> of_this_country("How large is it?"), of_this_country("which websites are from there")
    ('How large is this country?', 'which websites are from this country')
    >>> of_this_country("what does the star mean"), of_this_country("Which country is it?")
    (None, None)
    """
    body = question.rstrip(" ?!.…")
    mark = question[len(body) :]
    if _SAYS.search(question) or _NAME.search(question) or not 0 < len(body.split()) <= _MOST_WORDS:
        return None
    if asks_country(question) or asks_identity(question):
        return None
    if not _NO_PLACE.search(body):
        for found, by in (
            (_TO, r"\1 to this country"),
            (_FROM, r"\1 this country"),
            (_THERE, " in this country"),
            (_ITS, "this country's"),
            (_IT, "this country"),
        ):
            if found.search(body):
                return found.sub(by, body, count=1) + mark
    return f"{body} in this country{mark}"


def shows_country(found: Retrieval, question: str, *, countries: bool) -> bool:
    """Return whether what was found for a picture tells that it shows a country, or its flag.

    By the most similar picture; where none is alike, by what is asked for.

    Args:
        found: what was found for the picture and its question.
        question: that was asked.
        countries: whether there are passages about countries.
    """
    if not countries:
        return False
    if found.similar:
        shown = found.similar[0].entity
        about = [hit.passage for hit in found.hits if hit.passage.entity == shown]
        return any(of_a_country(passage.text) for passage in about)
    return _OF_COUNTRIES.search(question) is not None

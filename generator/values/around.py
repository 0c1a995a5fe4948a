"""What the words around a span say that it is not. Pure functions.

Where did it come from?     born in Lund, it [came to] Kiel             Lund, and not Kiel
How old is the tower?       painted [every] six years                   not six years
How old is the hall?        30 years [older than] the mill              not 30 years
What may I give it?         it [must not be given] bread                not bread
When is it open?            open from 9 to 5, [closed on] Mondays       9 to 5, and not Mondays
How many came back?         [of the] 40 sailors seven did               seven, and not 40
Which is older?             the hall is [older than] the mill           not the mill
When did Ann Roe die?       Joe Doe (died 1900) loved Ann Roe           not 1900

Each rule names what is asked, and what stands around a span that surely is something else.
"""

import re
from dataclasses import dataclass

from generator.sentences import sentences
from generator.values.elsewhere import SPAN_OF_TIME, told_elsewhere
from generator.values.quantities import CARDINAL
from generator.values.wording import alike, telling

_REACH = 60  # characters before and behind a span that are looked at
_DENIED = (
    r"(?:(?<!or )\b(?:must|should|shall|may|can|could|do|does|will|would)\s+(?:not|never)\b|"
    r"\bcannot\b|\b(?:mustn|shouldn|don|doesn|can|won)['’]t\b|\bnever\b)"
)


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a question has, and what then stands around words that are no answer to it.

    Attributes:
        asked: found in the question.
        before: found at the end of what stands before the span; "" for anything.
        behind: found at the beginning of what stands behind it; "" for anything.
        text: found in the passage.
        span: the span itself is of this form.
    """

    asked: re.Pattern[str]
    before: re.Pattern[str]
    behind: re.Pattern[str]
    text: re.Pattern[str]
    span: re.Pattern[str]

    def rules_out(self, question: str, text: str, start: int, end: int) -> bool:
        return bool(
            self.asked.search(question)
            and self.before.search(text, max(0, start - _REACH), start)
            and self.behind.match(text, end, min(len(text), end + _REACH))
            and self.span.fullmatch(text, start, end)
            and self.text.search(text)
        )


def _rule(
    asked: str, before: str = "", behind: str = "", *, text: str = "", span: str = r"[^\0]*"
) -> _Rule:
    parts = (asked, rf"(?:{before})\Z" if before else "", behind, text, span)
    return _Rule(*(re.compile(part, re.IGNORECASE) for part in parts))


_COMPARED = r"^\W*(?:and\s+)?(?:which|who|what)\b(?!.*\bthan\W*$)"
_RULES = (
    # Where it went is not where it is from.
    _rule(
        r"\bwhere\b.*\bfrom\b|\bfrom\s+where\b|\borigin",
        r"\b(?:(?:came|come|comes|moved|went|brought|sent|taken|travelled|arrived)\s+"
        r"(?:\w+\s+)?(?:to|in|at)|(?:sold|given)\s+(?:\w+\s+)?to)\s+(?:the\s+|a\s+)?",
    ),
    # When somebody was born or freed nothing was built.
    _rule(
        r"\bwhen\b.*\b(?:built|constructed|erected)\b",
        r"\b(?:born|hatched|died|freed|married|killed|retired)\s+(?:in|on)\s+(?:about\s+)?",
    ),
    # How far something goes in an hour is no size of it; but how deep it can dive.
    _rule(
        r"\bhow\s+(?:big|large|tall|high|wide|deep)\s+(?:is|are|was|were)\b",
        behind=rf"\s+in\s+{CARDINAL}\s+(?:second|minute|hour|day)s?\b",
    ),
    # How often is no age, nor is how old it was when something happened, or how much older.
    _rule(
        r"\bhow\s+old\b",
        r"\b(?:every|each|once\s+in|per)\s+",
        r"(?!(?:\s+(?:year|month|week|day)s?)?\s+(?:old|of\s+age)\b)",
        span=r"(?![^\0]*\b(?:old|of\s+age)\b)[^\0]*",
    ),
    _rule(
        r"\bhow\s+old\s+(?:is|are)\b"
        r"(?!.*\b(?:when|before|after|once|if|until|while|(?:at|on|for|to)\s+(?!the\b))\b)",
        r"\bat\s+the\s+age\s+of\s+",
    ),
    _rule(
        r"\bhow\s+(?:old|long)\b",
        behind=r"(?:\s+years?)?\s+(?:older|younger)\b",
        span=rf"[^,.;()]*\b(?:years?|hundred|thousand|{CARDINAL})",
    ),
    # How high it lies is not how tall it is, where the text has that.
    _rule(
        r"\bhow\s+tall\b",
        behind=r"\s+above\b",
        text=r"\b(?:tall|height)\b|\d\s*(?:m|ft|cm|met(?:re|er)s|feet)\s+high\b",
    ),
    # What is forbidden is not what one should do.
    _rule(
        r"^(?!.*(?:\b(?:not|never|no|why|avoid\w*|forbid\w*|forbidden|allowed|harm\w*|bad|danger\w*|"
        r"poison\w*|ill|kill\w*|ban|bans|banned|prohibit\w*)\b|n['’]t\b)).*\b(?:what|which|who)\b.*\b(?:should|shall|can|may|must|do|to)\b",
        rf"{_DENIED}(?:\s+\w+){{0,5}}\s+",
    ),
    _rule(
        r"^(?!.*(?:\b(?:closed?|closes|closing|shut|not|never)\b|n['’]t\b)).*\b(?:open|opening|opens)\b",
        r"\bclosed\s+(?!(?:until|till)\b)(?:\w+\s+){1,4}",
        text=r"\bopen(?:ing)?\b",
    ),
    # Since when somebody leads something is no birthday.
    _rule(r"\bwhen\b.*\bborn\b|\bbirth(?:day|date)\b", r"\bsince\s+(?:\w+\s+){0,2}"),
    # What opens is no more what was opened.
    _rule(
        r"^(?!.*\b(?:first|last|ever)\b).*\bwhen\s+(?:does|do|will)\b.*\b(?:open|start|begin|close|end|come|leave|stop)\b",
        r"\b(?:(?:was|were|been)\s+\w+|opened|began|started|closed|ended)\b[^.;,]{0,30}\b(?:in|on|since)\s+(?:\w+\s+){0,2}",
        span=r"[^\0]*\b[12]\d{3}",
    ),
    # What it weighs is not what it carries.
    _rule(
        r"\bhow\s+much\b.*\b(?:carry|carries|bear|bears|support|supports|lift|lifts|transport|hold|holds)\b",
        r"\b(?:weight|weighs?|mass):?\s+(?:about\s+)?",
    ),
    # There are no kilograms of what something has.
    _rule(
        r"\bhow\s+many\b(?!\s+(?:kg|kilo\w*|ton(?:ne)?s|lbs?)\b).*\b(?:ha(?:s|ve|d))\b",
        span=r"[\d.,\s]*\s*(?:k?g|kilos?|kilograms?|tons?|tonnes?|lbs?)\b",
    ),
    # "From how much" is what stands behind "from", and no share of it.
    _rule(r"\bfrom\s+(?:how\s+much|(?:what|which)\s+(?:amount|sum))\b", span=r"[\d.,\s]*%"),
    # Where somebody was is not who it was.
    _rule(
        r"^\W*(?:and\s+)?who\b(?!.*\b(?:and|where|country|nation|side|against|for|by|with)\b)",
        r"\b(?:in|near)\s+(?:the\s+)?",
        span=r"[A-Z][\w'’-]*",
    ),
    _rule(r"\b(?:tele)?phone\s+number\b|\bnumber\b.*\bcall\b", span=r"\D*"),
    # How many there may be are not known.
    _rule(
        r"\bhow\s+many\b.*\b(?:known|described|discovered|named|identified)\b",
        r"\bestimated\s+(?:(?:total|number)\s+of\s+)?(?:at\s+)?",
    ),
    # The whole, where its part is asked for.
    _rule(
        r"\bhow\s+many\b(?!.*\b(?:are|were|was|is)\s+there\b)(?!.*\b(?:had|has|live|lived)\b)"
        r"(?!.*\b(?:do|does|did)\b.*\bhave\b)(?!.*\bhave(?:\s+(?:they|we|you|it)\b|\W*$))",
        r"\bof\s+the\s+",
        rf"\s(?:[^.;]*?\W)?{CARDINAL}\s+[a-z]",
        span=r"\d[\d.,]*",
    ),
)
# "Four cubs, two of which survived": of what is asked what did.
_PART = re.compile(
    rf"\s*\w*,\s+{CARDINAL}\s+of\s+(?:which|whom|them)\s+"
    r"(?:(?:had|have|has|was|were|are|is|later|then|soon|only|\w+ly)\s+)*(\w+)",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"\bhow\s+many\b", re.IGNORECASE)
# "450 kg of hay" are the hay's, unless the hay, or a weight, is what is asked for.
_HEAVY = re.compile(r"\bhow\s+heavy\b|\bhow\s+much\b.*\bweighs?\b|\bweight\s+of\b", re.IGNORECASE)
_STUFF = re.compile(r"\s+of\s+(?!(?:the|its|an?)\b)([a-z]+(?:\s+[a-z]+)?)")
_WEIGHS = re.compile(r"\bweigh\w*\s+(?:\w+\s+){0,2}\Z", re.IGNORECASE)
# "Older than" the other: of two that are compared the first is what is asked for.
_MORE = re.compile(rf"{_COMPARED}.*?\b(\w+er)\b", re.IGNORECASE)
_LONG = re.compile(
    r"\bhow\s+long\s+(?:is|are|was|were)\s+(?:the|its|their|this)\s+(?:\w+\s+)??(\w+)(?:\s+of\b.*)?\W*$",
    re.IGNORECASE,
)
_TAKES = re.compile(r"\b(?:takes?|took|lasts?|lasted|taking|lasting)\b", re.IGNORECASE)
_MEANT_BEFORE = re.compile(r"(?:it|they|he|she|this|these|its|their)\b", re.IGNORECASE)
_OF_A_LIFE = re.compile(r"\b(?:born|birth\w*|dies?|died|death|dead|buried)\b", re.IGNORECASE)
_NAME = re.compile(
    r"(?!(?:In|On|At|By|From|Near|After|Before|During|Until|Since|For|With|Under|When|While|As|"
    r"The|An?|This|That|One|Two)\b)(?:[A-Z][\w'’-]+\s+)+[A-Z][\w'’-]+"
)
# "Ann Roe had him buried": of whom the text was about, whoever begins the sentence.
_MEANS_SUBJECT = re.compile(
    r"\b(?:he|she|him|they|them|her(?=\s+(?:\w+ed|in|on|at|to|when)\b))\b", re.IGNORECASE
)
_NOTE_OF = re.compile(r"((?:[A-Z][\w'’-]+\s+)+[A-Z][\w'’-]+)\s*\([^()]*$")


def ruled_out(question: str, text: str, start: int, end: int) -> bool:
    """Return whether what stands around a range of a text tells that a question cannot mean it.

    >>> text = "It was born in Lund and came to Kiel at the age of two."
    >>> asked = ("Where did it come from?", "Where did it come from?", "How old is it?")
    >>> words = ("Lund", "Kiel", "two")
    >>> [ruled_out(q, text, text.index(w), text.index(w) + len(w)) for q, w in zip(asked, words)]
    [False, True, True]
    """
    if any(rule.rules_out(question, text, start, end) for rule in _RULES):
        return True
    if (
        _COUNTED.search(question)
        and (part := _PART.match(text, end))
        and any(alike(part[1].casefold(), word) for word in telling(question))
    ):
        return True
    if _of_another_thing(question, text, start, end) or _of_stuff(question, text, start, end):
        return True
    if told_elsewhere(question, text, start, end):
        return True
    more = _MORE.search(question)
    if more and re.search(rf"\b{more[1]}\s+than\s+(?:\w+\s+){{0,2}}\Z", text[:start], re.I):
        return True
    return _OF_A_LIFE.search(question) is not None and _of_somebody_else(question, text, start)


def _of_stuff(question: str, text: str, start: int, end: int) -> bool:
    """Return whether a weight is of some stuff, and a question asks that of another thing.

    >>> text = "It eats 12 kg of hay and reaches 90 kg of live weight."
    >>> [_of_stuff("How heavy is it?", text, *at) for at in ((8, 13), (33, 38))]
    [True, False]
    """
    stuff = _STUFF.match(text, end) if _HEAVY.search(question) else None
    if stuff is None or _WEIGHS.search(text, max(0, start - _REACH), start):
        return False
    meant = ["weight", "mass", "body", *telling(question)]
    return not any(alike(word, other) for word in telling(stuff[1]) for other in meant)


def _of_another_thing(question: str, text: str, start: int, end: int) -> bool:
    """Return whether a span of time is of something else than what a question asks the length of.

    >>> text = "It hangs on a rope. Crossing takes four minutes."
    >>> [_of_another_thing(f"How long is the {n}?", text, 35, 47) for n in ("rope", "trip")]
    [True, False]
    """
    thing = _LONG.search(question)
    if not thing or not SPAN_OF_TIME.search(text, start, end):
        return False
    named = re.compile(rf"\b{re.escape(thing[1])}\b", re.IGNORECASE)
    begin, stop = next((a, b) for a, b in sentences(text) if a <= start < b)
    if not _TAKES.search(text, begin, stop):  # "Allow an hour" may be said of anything
        return False
    if _MEANT_BEFORE.match(text, begin) or named.search(text, begin, stop):
        return False
    return named.search(text) is not None


def _of_somebody_else(question: str, text: str, start: int) -> bool:
    """Return whether a place in a text is about another person than a question names.

    >>> text = "Joe Doe (1850-1900) was a smith. He loved the singer Ann Roe (1860-1920)."
    >>> [_of_somebody_else("When did Ann Roe die?", text, text.index(y)) for y in ("1900", "1920")]
    [True, False]
    """
    known = set(re.findall(r"[A-Z][^\W\d_]+", text))
    asked = {word for word in telling(question.replace("'s", "")) if word.capitalize() in known}
    if not asked:
        return False
    begin, end = next((a, b) for a, b in sentences(text) if a <= start < b)
    if note := _NOTE_OF.search(text, begin, start):
        return not asked.intersection(telling(note[1]))
    named = _NAME.match(text, begin, end)
    if not named or _MEANS_SUBJECT.search(text, named.end(), max(start, named.end())):
        return False
    return not asked.intersection(telling(text[begin:end]))

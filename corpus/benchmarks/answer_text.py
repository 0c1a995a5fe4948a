"""Word tables that the official VQA and Encyclopedic-VQA answer normalisers share.

Both scorers come from one ancestor, the evaluation of the VQA challenge: small numbers become
digits, articles go, and contractions written without an apostrophe get it back.
"""

ARTICLES = frozenset({"a", "an", "the"})

_NUMBERS = "zero one two three four five six seven eight nine ten"
DIGITS = {word: str(number) for number, word in enumerate(_NUMBERS.split())} | {"none": "0"}

# Each is recognised when exactly one of its apostrophes is missing: "dont", "couldn'tve".
_CONTRACTIONS = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't
mightn't've must've mustn't needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've
shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll
someone's something'd something'd've something'll that's there'd there'd've there're there's
they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's
won't would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""


def _misspellings(word: str) -> list[str]:
    """Return a contraction with each one of its apostrophes left out in turn."""
    return [word[:i] + word[i + 1 :] for i, letter in enumerate(word) if letter == "'"]


# The official tables have two oddities that are kept: "somebody'd" loses its apostrophe, and the
# keys with a capital ("Im", "Ive") are left out here because lower-cased text never matches them.
CONTRACTIONS = {wrong: word for word in _CONTRACTIONS.split() for wrong in _misspellings(word)} | {
    "somebody'd": "somebodyd"
}


def listed(answer: str) -> list[str]:
    """Return the parts of an answer of Encyclopedic-VQA that is a list.

    >>> listed("cat&& dog")
    ['cat', 'dog']
    """
    return [part for piece in answer.split("&&") if (part := piece.strip())]

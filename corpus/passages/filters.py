"""Which passages are kept: language, exact and near duplicates."""

import re
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpus.files.text_set import TextSet
from corpus.passages.policy import PassagePolicy
from corpus.types import Passage
from corpus.words import words

SHINGLE_WORDS = 5
PERMUTATIONS = 128

# Of a language among all that are told apart: of half the texts of 400 characters it is surer.
_SURE = 0.6
# As likely as this beside the likeliest one, a language is not that of a text.
_HARDLY = 0.03

_SPACE = re.compile(r"\s+")


class Filter:
    """Decides passage by passage, in order: the first of several duplicates is kept.

    Attributes:
        dropped: how many passages were left out, by reason: "short", "language",
            "duplicate", "near duplicate".
    """

    def __init__(self, policy: PassagePolicy) -> None:
        self._policy = policy
        self._texts = TextSet()
        near = policy.duplicates == "near"
        self._near = NearDuplicates(policy.similarity) if near else None
        self.dropped: dict[str, int] = {}

    def keeps(self, passage: Passage) -> bool:
        """Return whether a passage is kept, and remember it."""
        reason = self._reason(passage)
        if reason:
            self.dropped[reason] = self.dropped.get(reason, 0) + 1
        return not reason

    def _reason(self, passage: Passage) -> str:
        text = passage.text
        prefix = self._policy.prefix(passage.title, passage.section)
        if len(text) - len(prefix) < self._policy.min_characters:
            return "short"
        if self._policy.language and not may_be(passage, self._policy.language):
            return "language"
        if self._policy.duplicates == "keep":
            return ""
        if not self._texts.add(_SPACE.sub(" ", text).strip().casefold()):
            return "duplicate"
        if self._near is not None and not self._near.add(text):
            return "near duplicate"
        return ""


class NearDuplicates:
    """Remembers texts by MinHash; about a kilobyte and a half each.

    Args:
        similarity: the estimated Jaccard similarity of shingles from which two are duplicates.
    """

    def __init__(self, similarity: float) -> None:
        from datasketch import MinHashLSH  # takes half a second: only where it is asked for

        self._similarity = similarity
        # Candidates somewhat below the threshold are looked at: LSH itself misses some.
        self._index = MinHashLSH(threshold=max(0.1, similarity - 0.1), num_perm=PERMUTATIONS)
        self._hashes: list[NDArray[np.uint64]] = []

    def add(self, text: str) -> bool:
        """Return whether no text like this was there before, and remember it if so."""
        from datasketch import MinHash

        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([shingle.encode("utf-8") for shingle in shingles(text)])
        for candidate in self._index.query(sketch):
            equal = np.count_nonzero(self._hashes[candidate] == sketch.hashvalues)
            if equal / PERMUTATIONS >= self._similarity:
                return False
        self._index.insert(len(self._hashes), sketch, check_duplication=False)
        self._hashes.append(sketch.hashvalues)
        return True


def shingles(text: str) -> set[str]:
    """Return every run of SHINGLE_WORDS words (`corpus.words`); a shorter text is one shingle.

    >>> sorted(shingles("One two three four five six"))
    ['one two three four five', 'two three four five six']
    """
    found = words(text.casefold())
    count = max(1, len(found) - SHINGLE_WORDS + 1)
    return {" ".join(found[i : i + SHINGLE_WORDS]) for i in range(count)}


def language_of(text: str) -> str:
    """Return the ISO 639 code of the language a text is in; "" where that is not sure.

    Of a name or a short sentence it mostly is not.

    >>> language_of("Das Haus steht auf einem Berg."), language_of("Capital: Nairobi.")
    ('de', '')
    """
    best, probability = _identifier().classify(text)
    return str(best) if probability >= _SURE else ""


def may_be(passage: Passage, language: str) -> bool:
    """Return whether a passage may be in a language: it says so, or its text does not tell another.

    >>> texts = ("Capital: Nairobi.", "The house stands on a hill.", "Das Haus steht am Berg.")
    >>> [may_be(Passage("1", "", text), "en") for text in texts]
    [True, True, False]
    """
    if passage.language:
        return passage.language.casefold().partition("-")[0] == language.casefold()
    ranks = _identifier().rank(passage.text)
    best, wanted = ranks[0][1], dict(ranks).get(language, 0.0)
    return bool(wanted >= _HARDLY * best)


@cache
def _identifier() -> Any:
    # Loads its model: only where it is asked for.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

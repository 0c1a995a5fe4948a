"""What an index says about itself: what it was made from, how it is stored, how far it is.

A directory keeps the record in kbvqa-index.json, a collection on a server in its metadata.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Literal, get_args

from corpus.types import Passage
from retriever.numbers import Precision

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA_VERSION = 3

# Passages that one learned vector hands on for each candidate, where a record does not say.
LEARNED_WIDENING = 20

TokenNumbers = Literal["float32", "float16", "turbo4"]
Quantization = Literal["scalar", "binary"]

# What two fingerprints may differ in and still share embeddings: the corpus and its names.
_NAMES = frozenset({"checkpoint", "corpus"})
_CORPUS = frozenset({"corpus_sha256", "passages"})


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What an index is made from. Two that agree in all but the names are interchangeable.

    Attributes:
        checkpoint: the name of the checkpoint that embedded the passages, for messages.
        checkpoint_sha256: the hash of its settings and weights (`retriever.checkpoint.identity`).
        corpus: the name of the corpus.
        corpus_sha256: the hash of the passage file.
        passages: the number of passages in it.
        dim: the embedding dim.
        max_passage_tokens: passages are cut to so many tokens before they are embedded.
        pool_factor: similar tokens of a passage are merged to one in so many; 1 merges none.
        schema_version: the layout of the index.
    """

    checkpoint: str
    checkpoint_sha256: str
    corpus: str
    corpus_sha256: str
    passages: int
    dim: int = 128
    max_passage_tokens: int = 512
    pool_factor: int = 1
    schema_version: int = SCHEMA_VERSION

    def difference(self, other: "Fingerprint", *, ignore_corpus: bool = False) -> str:
        """Return how `other` differs, as a sentence naming each field; "" if interchangeable.

        Args:
            other: what is asked for here.
            ignore_corpus: only compare what decides the embedding of a passage.
        """
        ignored = _NAMES | _CORPUS if ignore_corpus else _NAMES
        differing = {
            f.name: (getattr(self, f.name), getattr(other, f.name))
            for f in fields(self)
            if getattr(self, f.name) != getattr(other, f.name)
        }
        if differing.keys() <= ignored:
            return ""
        return ", ".join(
            f"{name} is {mine!r} in the index and {theirs!r} here"
            for name, (mine, theirs) in differing.items()
            if not (ignore_corpus and name in ignored)
        )


@dataclass(frozen=True, slots=True)
class Storage:
    """How the token embeddings are kept.

    Attributes:
        tokens: numbers of the token vectors. float16 halves float32 without measurable loss;
            turbo4 takes an eighth and costs recall (docs/measured/index.md has the figures).
        quantization: a second, smaller copy that a search looks at between the candidates and
            the MaxSim on the vectors themselves, so that those can stay on disk. None for none.
    """

    tokens: TokenNumbers = "float16"
    quantization: Quantization | None = None

    def __post_init__(self) -> None:
        kept, copies = get_args(TokenNumbers), (None, *get_args(Quantization))
        if self.tokens not in kept or self.quantization not in copies:
            raise ValueError(
                f"tokens must be one of {', '.join(kept)} and quantization None or one of "
                f"{', '.join(copies[1:])}, got {self.tokens!r} and {self.quantization!r}"
            )

    def __str__(self) -> str:
        return self.tokens + (f" with a {self.quantization} copy" if self.quantization else "")


DEFAULT_STORAGE = Storage()


@dataclass(frozen=True, slots=True)
class Learned:
    """The learned candidate stage of a build, and how well it chose when it was fitted.

    Attributes:
        numbers: what `retriever.engines.learned.LearnedStage` is made from, as text.
        centres: how many centres it has.
        directions: how many directions; 0 where it was learned before there were any.
        threshold: the cosine from which on a row is like a centre.
        sha256: the hash of that text.
        passages: how many passages the index held.
        queries: how many queries, held out from fitting, the recall is of.
        made: whether queries were made of the corpus's own text, for want of real ones: real ones
            find less.
        recall: for some numbers of passages the share of the ten best that is among so many.
        wanted: the share that was asked for.
        candidates: how many candidates a search takes to find it, if it does not say.
        balanced: whether the numbers of the vectors are of one size, and kept in four bits.
        widening: how many passages the one vector hands on for each candidate.
    """

    numbers: str = field(repr=False)
    centres: int
    threshold: float
    sha256: str
    passages: int
    queries: int
    made: bool
    recall: tuple[tuple[int, float], ...]
    wanted: float
    candidates: int
    directions: int = 0
    balanced: bool = False
    widening: int = LEARNED_WIDENING


@dataclass(frozen=True, slots=True)
class Added:
    """A corpus that was added to an index of another one.

    Attributes:
        corpus: its name.
        corpus_sha256: the hash of its passages; "" where an earlier version did not record it.
        passages: how many it has; some may be those of another corpus, word for word.
        skipped: how many of them could not be embedded and are not in the index.
    """

    corpus: str
    corpus_sha256: str = ""
    passages: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Build:
    """One build of an index, finished or under way.

    Attributes:
        fingerprint: what it is made from: its first corpus, where others were added.
        storage: how it is kept.
        id: a word that no other build has.
        namespace: what the ids of its points hang on: the name of its first corpus. "" for that
            of the fingerprint.
        place: the directory or the collection that holds it.
        base: the place it started as a copy of; "" if it started empty.
        files: of a finished directory, the size in bytes of each file, to notice a copy that
            was cut short.
        skipped: passages of the corpus that could not be embedded and are not in it.
        kept: passages in it that the corpus has not: any longer, or as they are of an added one.
        precisions: the numbers its passages were encoded in; several where machines took turns.
        learned: the candidate stage that was fitted to it; None where means choose.
        added: the corpora that are in it beside that of the fingerprint. None where an earlier
            version, which kept no list, recorded it: see `others`.
        writing: the one of them that is being written; None where that of the fingerprint is.
    """

    fingerprint: Fingerprint
    storage: Storage = DEFAULT_STORAGE
    id: str = ""
    namespace: str = ""
    place: str = ""
    base: str = ""
    files: Mapping[str, int] = field(default_factory=dict)
    skipped: int = 0
    kept: int = 0
    precisions: tuple[Precision, ...] = ()
    learned: Learned | None = None
    added: tuple[Added, ...] | None = None
    writing: Added | None = None

    @property
    def passages(self) -> int:
        """How many passages it holds when it is finished."""
        return self.fingerprint.passages - self.skipped + self.kept

    @property
    def ids_of(self) -> str:
        """What the ids of its points hang on."""
        return self.namespace or self.fingerprint.corpus

    @property
    def others(self) -> tuple[Added, ...]:
        """The corpora that are in it beside that of the fingerprint.

        A record without a list has the name of the corpus that was last added, and ids that hang
        on that of the first one.
        """
        if self.added is not None:
            return self.added
        mixed = self.kept and self.ids_of != self.fingerprint.corpus
        return (Added(self.namespace),) if mixed else ()

    @property
    def corpora(self) -> tuple[str, ...]:
        """The names of all corpora that are in it."""
        return (self.fingerprint.corpus, *(one.corpus for one in self.others))

    @property
    def written(self) -> Added:
        """The corpus that is being written, or was."""
        made_from = self.fingerprint
        return self.writing or Added(
            made_from.corpus, made_from.corpus_sha256, made_from.passages, self.skipped
        )

    @property
    def made_from(self) -> Fingerprint:
        """The fingerprint; of several corpora one that names all and that no one of them has."""
        if not self.others:
            return self.fingerprint
        hashes = (self.fingerprint.corpus_sha256, *(one.corpus_sha256 for one in self.others))
        return replace(
            self.fingerprint,
            corpus=" + ".join(self.corpora),
            corpus_sha256=hashlib.sha256("\n".join(hashes).encode()).hexdigest(),
            passages=self.fingerprint.passages + self.kept,
        )

    def holding(self, wanted: Fingerprint) -> Added | None:
        """Return the corpus in it that `wanted` asks for, as it is there; None if it is not."""
        if not self.fingerprint.difference(wanted):
            return self.written
        if self.fingerprint.difference(wanted, ignore_corpus=True):
            return None
        asked = (wanted.corpus_sha256, wanted.passages)
        return next((o for o in self.others if (o.corpus_sha256, o.passages) == asked), None)

    def completed(self, count: int, *, skipped: int, kept: int) -> "Build":
        """Return it as it is when all of what is written is there.

        Args:
            count: how many passages it holds.
            skipped: passages of the corpus that is written that are not in it.
            kept: passages in it that are not of that corpus.
        """
        if self.writing is None:
            return replace(self, skipped=skipped, kept=kept)
        parts = {one.corpus: one for one in self.others}
        parts[self.writing.corpus] = replace(self.writing, skipped=skipped)
        own = self.fingerprint.passages - self.skipped
        return replace(self, added=tuple(parts.values()), writing=None, kept=count - own)


@dataclass(frozen=True, slots=True)
class Record:
    """The state of an index.

    Attributes:
        finished: the build that is searched.
        building: the one under way.
        replaced: one whose place another takes, and that is to be removed then.
        place: the collection that carries the record; "" for a directory, which cannot be another.
    """

    finished: Build | None = None
    building: Build | None = None
    replaced: Build | None = None
    place: str = ""

    def in_place(self, place: str) -> Build | None:
        """Return the build that lies in a place; None if none does."""
        builds = (self.finished, self.building, self.replaced)
        return next((b for b in builds if b is not None and b.place == place), None)


@cache
def _json() -> "TypeAdapter[Record]":
    # Imported when used: encoding and exact search do without it.
    from pydantic import TypeAdapter

    return TypeAdapter(Record)


def record_to_json(record: Record) -> str:
    """Return the record as indented JSON."""
    return json.dumps(_json().dump_python(record), indent=2) + "\n"


def record_from_json(text: bytes | str) -> Record:
    """Return the record in a JSON text; ValueError if it is none."""
    return _json().validate_json(text, strict=True)


def content_hash(passage: Passage) -> str:
    """Return a hash of all fields of a passage: a changed one is embedded and written again."""
    text = json.dumps(asdict(passage), ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()

"""What an index holds already of a corpus, and whose passages stand beside it."""

from collections.abc import Sequence
from pathlib import Path

from corpus.passages.corpora import Corpus
from corpus.types import Passage
from retriever.encoding.ahead import WINDOW, windows
from retriever.engines.connection import QdrantConnection
from retriever.engines.record import Build, content_hash
from retriever.errors import IndexNotReady
from retriever.index.passage_index import Fingerprint, PassageIndex, Storage


def there_already(
    source: Corpus,
    made_from: Fingerprint,
    location: Path | str,
    storage: Storage | None,
    connection: QdrantConnection,
    *,
    prune: bool,
    skip_bad: bool,
) -> tuple[Build, int] | None:
    """Return the finished index and how many passages of a corpus it has, if that is as asked.

    Of several corpora one may have changed a passage that two had word for word: the other is then
    not there as it is recorded.
    """
    build = PassageIndex.finished(location, made_from, connection)
    if build is None or storage not in (None, build.storage):
        return None
    held = build.holding(made_from)
    if held is None or (prune and build.kept):
        return None
    if build.others:
        with (
            PassageIndex.open(location, None, connection) as index,
            source.read(skip_bad=skip_bad) as stream,
        ):
            if any(_changed(index, window) for window in windows(stream, WINDOW)):
                return None
    return build, held.passages - held.skipped


def beside_others(
    source: Corpus,
    made_from: Fingerprint,
    location: Path | str,
    storage: Storage | None,
    connection: QdrantConnection,
    *,
    add: bool,
    skip_bad: bool,
) -> tuple[Build, int] | None:
    """Return, as `there_already`, an index that has all of an added corpus as others' passages.

    Looked at before anything is written, so that what is refused leaves no trace.

    Raises:
        IndexNotReady: passages of the corpus would take the places of another's.
    """
    try:
        index = PassageIndex.open(location, None, connection)
    except IndexNotReady:  # there is none, or it is not finished
        return None
    with index:
        under_way, build = index.under_way, index.built
        if build.fingerprint.difference(made_from, ignore_corpus=True):
            return None  # which is refused as well
        known = source.name in build.corpora
        resumed = under_way is not None and under_way.written.corpus == source.name
        if not (known or add):
            return None  # which is refused, too
        in_place = under_way is not None and under_way.base == under_way.place
        begun = known or (resumed and in_place)  # its own passages are there, and may change
        missing = _require_own_places(index, source, begun=begun, known=known, skip_bad=skip_bad)
    if begun or missing or resumed or storage not in (None, build.storage):
        return None
    return build, made_from.passages


def _require_own_places(
    index: PassageIndex, source: Corpus, *, begun: bool, known: bool, skip_bad: bool
) -> int:
    """Return how many passages of a corpus an index has not.

    Args:
        index: finished, of this corpus or others.
        source: the corpus.
        begun: whether passages are there that this corpus may change, if no other wrote them.
        known: whether the index has a corpus of that name: then it must be this one.
        skip_bad: as for `build_index`.

    Raises:
        IndexNotReady: some would take the places of another corpus's; or nothing that the index
            has is of this one, which has the name of another.
    """
    alone, akin = index.built.corpora == (source.name,), not known
    missing, taken, first, other = 0, 0, "", ""
    with source.read(skip_bad=skip_bad) as stream:
        for window in windows(stream, WINDOW):
            present = index.content_hashes([passage.id for passage in window])
            changed = _changed(index, window)
            corpora = index.corpora_of([passage.id for passage in changed]) if changed else {}
            others = [
                id_ for id_, name in corpora.items() if (name != source.name if name else not begun)
            ]
            missing += len(window) - len(present)
            taken, first = taken + len(others), first or min(others, default="")
            other = other or corpora.get(first, "")
            akin = akin or len(present) > len(changed) or _akin(index, changed)
            if alone and akin:
                return missing
    if not akin:
        raise IndexNotReady(
            f"the index at {index.location} has a corpus {source.name!r}, and no passage of it is "
            f"like one of {source.path}: this seems to be another of the same name. "
            "--name NAME --add keeps both; --swap, or --prune where it is the only one, puts this "
            "one in the other's place; --index names another place"
        )
    if taken:
        raise IndexNotReady(
            f"{taken:,} passages of {source.name} have ids that other passages of "
            f"{other or ' + '.join(index.built.corpora)} have in the index, such as {first!r}: "
            "they would take their places. Give them ids of their own (a word before each will "
            "do), or name another place with --index"
        )
    return missing


def _changed(index: PassageIndex, passages: Sequence[Passage]) -> list[Passage]:
    """Return the passages under whose ids an index has others."""
    present = index.content_hashes([passage.id for passage in passages])
    return [p for p in passages if present.get(p.id, own := content_hash(p)) != own]


def _akin(index: PassageIndex, changed: Sequence[Passage]) -> bool:
    """Return whether a tenth of some passages are what the index has under their ids, changed."""
    there = index.get([passage.id for passage in changed])
    alike = sum(_alike(ours, theirs) for ours, theirs in zip(changed, there, strict=True))
    return bool(changed) and 10 * alike >= len(changed)


def _alike(ours: Passage, theirs: Passage) -> bool:
    """Return whether two passages have a title, or most words of the shorter, in common."""
    if ours.title and ours.title == theirs.title:
        return True
    first, second = (set(passage.text.casefold().split()) for passage in (ours, theirs))
    return 4 * len(first & second) >= 3 * min(len(first), len(second))

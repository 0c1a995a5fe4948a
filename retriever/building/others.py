"""What an index holds already of a corpus, and whose passages stand beside it."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from corpus.files.text_set import TextSet
from corpus.passages.corpora import Corpus
from corpus.types import Passage
from retriever.encoding.ahead import WINDOW, windows
from retriever.engines.connection import QdrantConnection
from retriever.engines.record import Build, content_hash
from retriever.errors import IndexNotReady
from retriever.index.passage_index import Fingerprint, PassageIndex, Storage
from retriever.index.writing import Report


def there_already(
    source: Corpus,
    made_from: Fingerprint,
    location: Path | str,
    storage: Storage | None,
    connection: QdrantConnection,
    *,
    prune: bool,
    skip_bad: bool,
) -> tuple[Build, Report] | None:
    """Return the finished index and what it has of a corpus, if that is as asked.

    What it has under the name of another corpus is not there as that of this one. Of several
    corpora one may have changed a passage that two had word for word: the other is then not there
    as it is recorded.
    """
    build = PassageIndex.finished(location, made_from, connection)
    if build is None or storage not in (None, build.storage):
        return None
    held = build.holding(made_from)
    if held is None or (prune and build.kept):
        return None
    if held.corpus != source.name and source.name in build.corpora:
        return None
    unchanged = held.passages - held.skipped
    report = Report(unchanged=unchanged, kept=build.passages - unchanged)
    if build.others:
        ids = TextSet()
        with (
            PassageIndex.open(location, None, connection) as index,
            source.read(skip_bad=skip_bad) as stream,
        ):
            for window in windows(stream, WINDOW):
                if _changed(index, window):
                    return None
                for passage in window:
                    ids.add(passage.id)
            report.gone = no_longer(index, source.name, ids)
    return build, report


def no_longer(index: PassageIndex, corpus: str, ids: TextSet) -> int:
    """Return how many passages a corpus wrote whose ids it has not now, of which `ids` are all."""
    return sum(id_ not in ids for id_ in index.written_by(corpus))


def beside_others(
    source: Corpus,
    made_from: Fingerprint,
    location: Path | str,
    storage: Storage | None,
    connection: QdrantConnection,
    *,
    add: bool,
    skip_bad: bool,
) -> tuple[Build, Report] | None:
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
    unchanged = made_from.passages
    return build, Report(unchanged=unchanged, kept=build.passages - unchanged)


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
    names = index.built.corpora
    alone, akin = names == (source.name,), set() if known else {source.name}
    missing, clashing, taken, first, other = 0, 0, 0, "", ""
    with source.read(skip_bad=skip_bad) as stream:
        for window in windows(stream, WINDOW):
            writers = index.corpora_of([passage.id for passage in window])
            # One that is not in the index by its name any more says nothing.
            writers = {i: w if w in (*names, source.name) else "" for i, w in writers.items()}
            changed = _changed(index, window)
            others = [
                passage.id
                for passage in changed
                if (name := writers[passage.id]) != source.name and (name or not begun)
            ]
            missing += len(window) - len(writers)
            clashing += len(changed)
            taken, first = taken + len(others), first or min(others, default="")
            other = other or writers.get(first, "")
            akin |= _akin(index, window, changed, {i: w or source.name for i, w in writers.items()})
            if alone and akin:
                return missing
    if source.name not in akin:
        raise IndexNotReady(_another(index, source, akin, clashing=bool(clashing)))
    if taken:
        raise IndexNotReady(
            f"{taken:,} passage{'s' * (taken != 1)} of {source.name} would take the places of "
            f"those of {other or ' + '.join(names)} that have the same ids in the index, such as "
            f"{first!r}. {_ids_of_their_own(source)}; or name another place with --index"
        )
    return missing


def _another(index: PassageIndex, source: Corpus, akin: set[str], *, clashing: bool) -> str:
    """Return why a corpus is not that of its name in an index, and what to do.

    Args:
        index: which has another of that name.
        source: the corpus.
        akin: the corpora in the index that have passages of it.
        clashing: whether passages of others have ids of its passages.
    """
    if akin:
        named = " or ".join(f"--name {shlex.quote(name)}" for name in sorted(akin))
        return (
            f"what the index at {index.location} has of {source.path} is of "
            f"{' + '.join(sorted(akin))}, and nothing of it is of {source.name!r}: {named} goes on "
            "with that"
        )
    both = _ids_of_their_own(source) if clashing else "--name NAME --add keeps both"
    return (
        f"the index at {index.location} has a corpus {source.name!r}, and no passage of it is "
        f"like one of {source.path}: this seems to be another of the same name. {both}; --swap, or "
        "--prune where it is the only one, puts this one in the other's place; --index names "
        "another place"
    )


def _ids_of_their_own(source: Corpus) -> str:
    """Return how a corpus whose ids another has is kept beside it."""
    if source.format.name == "markdown":
        return (
            "Its ids are paths: to keep both, put both into one folder, each in one of its own, "
            "and index that with --swap"
        )
    return (
        "To keep both, give its passages ids of their own (a word before each will do), and index "
        "it with --name NAME --add"
    )


def _changed(index: PassageIndex, passages: Sequence[Passage]) -> list[Passage]:
    """Return the passages under whose ids an index has others."""
    present = index.content_hashes([passage.id for passage in passages])
    return [p for p in passages if present.get(p.id, own := content_hash(p)) != own]


def _akin(
    index: PassageIndex,
    passages: Sequence[Passage],
    changed: Sequence[Passage],
    writers: Mapping[str, str],
) -> set[str]:
    """Return the corpora that have one of some passages, or a tenth of those changed, as it was.

    Args:
        index: has some of the passages.
        passages: of one corpus.
        changed: those of them under whose ids the index has others.
        writers: the corpus of each id that the index has.
    """
    before = dict(zip(changed, index.get([passage.id for passage in changed]), strict=True))
    akin = set()
    for name in set(writers.values()):
        there = sum(writers.get(passage.id) == name for passage in passages)
        own = [passage for passage in changed if writers[passage.id] == name]
        alike = sum(_alike(passage, before[passage]) for passage in own)
        if there > len(own) or (own and 10 * alike >= len(own)):
            akin.add(name)
    return akin


def _alike(ours: Passage, theirs: Passage) -> bool:
    """Return whether two passages have a title, or most words of the shorter, in common."""
    if ours.title and ours.title == theirs.title:
        return True
    first, second = (set(passage.text.casefold().split()) for passage in (ours, theirs))
    return 4 * len(first & second) >= 3 * min(len(first), len(second))

"""Which build of an index is opened, gone on with, or begun.

A location has at most one finished build, which is searched, and one under way.
"""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from retriever.encoding.arguments import require_place
from retriever.engines.connection import QdrantConnection, is_url
from retriever.engines.directory import build_command
from retriever.engines.interface import Engine, Store
from retriever.engines.record import (
    DEFAULT_STORAGE,
    Added,
    Build,
    Fingerprint,
    Learned,
    Record,
    Storage,
)
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.numbers import Precision

Location = Path | str

# What becomes of corpora of other names that are in an index: they go; the change is refused; they
# stay; they go if there is but one, which can be told from what replaces it.
Others = Literal["replace", "refuse", "keep", "prune"]


def store_at(location: Location, connection: QdrantConnection) -> Store:
    """Return the store at a location. Qdrant's clients are imported here, and only when used.

    Raises:
        TypeError: it is no path and no text.
    """
    require_place(location, "location")
    if is_url(location):
        from retriever.engines.server.engine import ServerStore

        return ServerStore(str(location), connection)
    from retriever.engines.embedded import DirectoryStore

    return DirectoryStore(directory_of(location))


def directory_of(location: Location) -> Path:
    """Return the directory of a location that is no URL, a leading "~" expanded.

    Raises:
        IndexUnavailable: it begins with the home of a user who has none.
    """
    try:
        return Path(location).expanduser()
    except RuntimeError as exc:
        raise IndexUnavailable(
            f"the index {str(location)!r}: there is no such user's home. Give the whole path, or "
            f"./{location} for a directory of that name"
        ) from exc


@contextlib.contextmanager
def writing(store: Store) -> Iterator[Callable[[], object]]:
    """Hold the store's lock; give it up at the end, unless the yielded function was called."""
    with contextlib.ExitStack() as on_end:
        on_end.callback(store.close)
        store.lock()
        yield on_end.pop_all


def resumed_build(
    store: Store,
    wanted: Fingerprint,
    storage: Storage,
    precisions: tuple[Precision, ...],
    namespace: str = "",
    learned: Learned | None = None,
    added: tuple[Added, ...] = (),
) -> Build | None:
    """Return the build under way, or a new one where there is nothing; None for a finished one.

    Raises:
        IndexNotReady: if either is not of what is wanted, or stored otherwise.
    """
    if store.vacant():
        new = Build(
            wanted,
            storage,
            namespace=namespace,
            precisions=precisions,
            learned=learned,
            added=added,
        )
        return _begun(store, Record(), new)
    record = store.read()
    build = record.building or _finished_build(store, record)
    _require_same(store, build, wanted, storage)
    _require_stored(store, build, wanted, storage)
    return record.building


def next_build(
    store: Store,
    wanted: Fingerprint,
    storage: Storage | None,
    precisions: tuple[Precision, ...],
    *,
    fresh: bool,
    others: Others = "replace",
) -> Build:
    """Return the build that an update writes: the one under way, or a new one.

    Raises:
        IndexNotReady: as `PassageIndex.update`.
    """
    record = Record() if store.vacant() else store.read()
    building, finished = record.building, record.finished
    begun = building is not None and (finished is None or bool(building.base))
    changed = _Content(wanted)
    if not fresh and (before := building if begun else finished) is not None:
        _require_allowed(store, before, wanted, others, begun=begun)
        changed = _Content.of(before, wanted, others)
    if building is not None and (finished is None or fresh == (not building.base)):
        same = not building.fingerprint.difference(wanted, ignore_corpus=True)
        # What is begun beside a finished index is given up for another corpus.
        same = same and (not fresh or building.fingerprint.corpus == wanted.corpus)
        if same and storage in (None, building.storage):
            build = replace(
                building,
                fingerprint=changed.fingerprint,
                added=changed.added,
                writing=changed.writing,
                skipped=changed.skipped,
                namespace=building.ids_of,  # so that one passage stays one point
                precisions=_joined(building.precisions, precisions),
            )
            if build != building:
                store.begin(record, build)
            return build
    if finished is None or fresh:
        if building is not None and not fresh and finished is None:
            _require_same(store, building, wanted, storage, ignore_corpus=True)
        new = Build(wanted, storage or DEFAULT_STORAGE, precisions=precisions, added=())
        return _begun(store, record, new)
    _require_same(store, finished, wanted, storage, ignore_corpus=True)
    _require_stored(store, finished, wanted, storage or finished.storage)
    next_one = Build(
        changed.fingerprint,
        finished.storage,
        namespace=finished.ids_of,
        base=finished.place,
        precisions=_joined(finished.precisions, precisions),
        learned=finished.learned,
        added=changed.added,
        writing=changed.writing,
        skipped=changed.skipped,
    )
    return _begun(store, record, next_one)


@dataclass(frozen=True, slots=True)
class _Content:
    """The corpora of a build that is begun: the fields of `Build` that say them."""

    fingerprint: Fingerprint
    added: tuple[Added, ...] = ()
    writing: Added | None = None
    skipped: int = 0

    @classmethod
    def of(cls, before: Build, wanted: Fingerprint, others: Others) -> "_Content":
        """Return what a build becomes when a corpus is written into it."""
        if others in ("replace", "prune"):
            return cls(wanted)
        if wanted.corpus == before.fingerprint.corpus:
            return cls(wanted, before.others)
        writing = Added(wanted.corpus, wanted.corpus_sha256, wanted.passages)
        return cls(before.fingerprint, before.others, writing, before.skipped)


def opened_build(store: Store, expected: Fingerprint | None) -> tuple[Build, Engine]:
    """Return the finished build, open for searching.

    Raises:
        IndexNotReady: if there is none, or it is not of what is expected.
        IndexUnavailable: if it cannot be used.
    """

    def check(build: Build) -> None:
        if expected is not None:
            _require_same(store, build, expected)

    return _open_finished(store, check)


def moved_build(store: Store, build: Build) -> tuple[Build, Engine | None]:
    """Return the build that a location has now, and its engine where it is another than `build`.

    Raises:
        IndexNotReady: if there is none, or its embeddings are others.
    """

    def check(now: Build) -> None:
        difference = build.fingerprint.difference(now.fingerprint, ignore_corpus=True)
        if difference:
            differences = difference.replace(" in the index and ", " before and ")
            raise IndexNotReady(
                f"the index at {store.location} has been replaced while it was open: "
                f"{differences.replace(' here', ' now')}. Start again with the checkpoint that it "
                "is made with now"
            )

    now = _finished_build(store, store.read())
    check(now)
    if (now.place, now.id) == (build.place, build.id):
        return now, None
    return _open_finished(store, check)


def _open_finished(store: Store, check: Callable[[Build], None]) -> tuple[Build, Engine]:
    """Return the finished build, open for searching, if a check does not raise."""
    record = store.read()
    while True:
        build = _finished_build(store, record)
        check(build)
        try:
            return build, store.open_for_search(build)
        except (IndexUnavailable, IndexNotReady):
            # A writer may have replaced the build while it was being opened.
            earlier, record = record, store.read()
            if record.finished == earlier.finished:
                raise


def _joined(before: tuple[Precision, ...], now: tuple[Precision, ...]) -> tuple[Precision, ...]:
    """Return each precision once. Rows of several go together: they differ by a rounding."""
    return tuple(sorted({*before, *now}))


def _begun(store: Store, record: Record, build: Build) -> Build:
    """Return a new build, with a place, recorded as under way."""
    build = replace(build, id=uuid.uuid4().hex)
    build = replace(build, place=store.new_place(build, record))
    store.begin(record, build)
    return build


def _finished_build(store: Store, record: Record) -> Build:
    """Return the build that is searched; IndexNotReady if there is none yet."""
    if record.finished is None:
        begun = record.building
        made = (None, None) if begun is None else (begun.fingerprint, begun.storage)
        raise IndexNotReady(
            f"the index at {store.location} is not finished: run "
            f"{build_command(store.location, *made)}, which goes on where it stopped"
        )
    return record.finished


def _require_same(
    store: Store,
    build: Build,
    expected: Fingerprint,
    storage: Storage | None = None,
    *,
    ignore_corpus: bool = False,
) -> None:
    """Raise IndexNotReady if a build was made from something other than `expected`."""
    if difference := build.fingerprint.difference(expected, ignore_corpus=ignore_corpus):
        raise IndexNotReady(
            f"the index at {store.location} was made from something else: {difference}. Choose "
            f"another place, or build it anew with {_anew(store, expected, storage)}"
            f"{_and_the_others(build)}"
        )


def _require_allowed(
    store: Store, before: Build, wanted: Fingerprint, others: Others, *, begun: bool
) -> None:
    """Raise IndexNotReady if a corpus may not be written into what there is.

    Args:
        store: of the index.
        before: the build that is changed.
        wanted: what is written.
        others: what becomes of other corpora.
        begun: whether `before` is under way: only the corpus that it is for can finish it.
    """
    if others == "replace":
        return
    known, names = before.corpora, named(before.corpora)
    if before.writing is not None:
        known = (*known, before.writing.corpus)
    if others == "prune":
        if before.others or before.writing is not None:
            raise IndexNotReady(never_pruned(store.location, before))
        return
    if begun and before.written.corpus != wanted.corpus and (others == "keep" or len(known) > 1):
        raise IndexNotReady(
            f"the index at {store.location} is being changed to {before.written.corpus!r}, which "
            f"was not finished: run the command that indexes {before.written.corpus!r} again, and "
            f"then this one; or build it anew with {_anew(store, wanted)}"
        )
    if others == "refuse" and wanted.corpus not in known:
        prune = "" if len(known) > 1 else " --prune puts this one in the other's place,"
        raise IndexNotReady(
            f"the index at {store.location} holds the corpus {names}, and this one is "
            f"{wanted.corpus!r}: --add keeps both in it,{prune} --index names another"
        )


def named(corpora: tuple[str, ...]) -> str:
    """Return names of corpora, for messages.

    >>> named(("towns", "notes"))
    "'towns' and 'notes'"
    """
    return " and ".join(repr(corpus) for corpus in corpora)


def never_pruned(location: Location, build: Build) -> str:
    """Return why passages of a build of several corpora are not pruned, and what to do."""
    names = (*build.corpora, *([build.writing.corpus] if build.writing else []))
    return (
        f"the index at {location} holds the corpora {named(tuple(dict.fromkeys(names)))}: --prune "
        "would delete what this one has not, and so those of the others. To drop what is "
        "gone, build the first one anew with --swap, or in another place, and then each other "
        "with --add; without --prune what is new or changed is written"
    )


def _anew(store: Store, wanted: Fingerprint, storage: Storage | None = None) -> str:
    return build_command(store.location, wanted, storage, swap=True)


def _require_stored(store: Store, build: Build, wanted: Fingerprint, storage: Storage) -> None:
    """Raise IndexNotReady if a build is kept otherwise."""
    if build.storage != storage:
        raise IndexNotReady(
            f"the index at {store.location} is stored as {build.storage}, not {storage}. Choose "
            f"another place, or build it anew with {_anew(store, wanted, storage)}"
            f"{_and_the_others(build)}"
        )


def _and_the_others(build: Build) -> str:
    """Return what else is to be done where a build of several corpora is made anew."""
    if not build.others:
        return ""
    return f". It holds {named(build.corpora)}: then add each other one again, with --add"

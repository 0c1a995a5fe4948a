"""Which build of an index is opened, gone on with, or begun.

A location has at most one finished build, which is searched, and one under way.
"""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from retriever.engines.connection import QdrantConnection, is_url
from retriever.engines.directory import build_command
from retriever.engines.interface import Engine, Store
from retriever.engines.record import DEFAULT_STORAGE, Build, Fingerprint, Learned, Record, Storage
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.numbers import Precision

Location = Path | str


def store_at(location: Location, connection: QdrantConnection) -> Store:
    """Return the store at a location. Qdrant's clients are imported here, and only when used."""
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
) -> Build | None:
    """Return the build under way, or a new one where there is nothing; None for a finished one.

    Raises:
        IndexNotReady: if either is not of what is wanted, or stored otherwise.
    """
    if store.vacant():
        new = Build(wanted, storage, namespace=namespace, precisions=precisions, learned=learned)
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
    other_corpus: bool = True,
) -> Build:
    """Return the build that an update writes: the one under way, or a new one.

    Raises:
        IndexNotReady: as `PassageIndex.update`.
    """
    record = Record() if store.vacant() else store.read()
    building, finished = record.building, record.finished
    if not other_corpus and not fresh:
        _require_same_corpus(store, building or finished, wanted)
    if building is not None and (finished is None or fresh == (not building.base)):
        same = not building.fingerprint.difference(wanted, ignore_corpus=True)
        # What is begun beside a finished index is given up for another corpus.
        same = same and (not fresh or building.fingerprint.corpus == wanted.corpus)
        if same and storage in (None, building.storage):
            build = replace(
                building,
                fingerprint=wanted,
                namespace=building.ids_of,  # so that one passage stays one point
                precisions=_joined(building.precisions, precisions),
            )
            if build != building:
                store.begin(record, build)
            return build
    if finished is None or fresh:
        if building is not None and not fresh and finished is None:
            _require_same(store, building, wanted, storage, ignore_corpus=True)
        return _begun(
            store, record, Build(wanted, storage or DEFAULT_STORAGE, precisions=precisions)
        )
    _require_same(store, finished, wanted, storage, ignore_corpus=True)
    _require_stored(store, finished, wanted, storage or finished.storage)
    changed = Build(
        wanted,
        finished.storage,
        namespace=finished.ids_of,
        base=finished.place,
        precisions=_joined(finished.precisions, precisions),
        learned=finished.learned,
    )
    return _begun(store, record, changed)


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
        anew = build_command(store.location, expected, storage, swap=True)
        raise IndexNotReady(
            f"the index at {store.location} was made from something else: {difference}. "
            f"Choose another place, or build it anew with {anew}"
        )


def _require_same_corpus(store: Store, build: Build | None, wanted: Fingerprint) -> None:
    """Raise IndexNotReady if a build is of a corpus with another name."""
    if build is not None and build.fingerprint.corpus != wanted.corpus:
        raise IndexNotReady(
            f"the index at {store.location} holds the corpus {build.fingerprint.corpus!r}, and "
            f"this one is {wanted.corpus!r}: --add keeps both in it, --prune puts this one in the "
            "other's place, --index names another"
        )


def _require_stored(store: Store, build: Build, wanted: Fingerprint, storage: Storage) -> None:
    """Raise IndexNotReady if a build is kept otherwise."""
    if build.storage != storage:
        anew = build_command(store.location, wanted, storage, swap=True)
        raise IndexNotReady(
            f"the index at {store.location} is stored as {build.storage}, not {storage}. Choose "
            f"another place, or build it anew with {anew}"
        )

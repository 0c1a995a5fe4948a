"""An index on a Qdrant server or cluster: which collection is meant, and how one replaces another.

http://host:6333/NAME     NAME is an alias; the collections behind it are NAME-1, NAME-2, ...

A record belongs to the collection that carries it: what it says about its own place is where it
was written, which after a snapshot was restored is another collection. Nothing is written to a
collection, and none is dropped, that does not say itself that it is the build that is meant.
"""

import contextlib
import logging
from dataclasses import replace
from urllib.parse import urlsplit

from retriever.engines.candidates import CANDIDATES, WIDENING, is_large
from retriever.engines.connection import QdrantConnection
from retriever.engines.directory import build_command
from retriever.engines.interface import Engine, Invitation
from retriever.engines.learned import rooms
from retriever.engines.record import (
    LEARNED_WIDENING,
    SCHEMA_VERSION,
    Build,
    Record,
    record_from_json,
    record_to_json,
)
from retriever.engines.server.client import QdrantServer
from retriever.engines.server.collection import ServerEngine
from retriever.engines.server.lease import Guest, Writer
from retriever.errors import IndexNotReady, IndexUnavailable

logger = logging.getLogger(__name__)


class ServerStore:
    """The collections behind one name on a server."""

    moves = True

    def __init__(self, url: str, connection: QdrantConnection) -> None:
        self.location = url
        base, _, self.name = url.rstrip("/").rpartition("/")
        if not urlsplit(base).netloc or not self.name:
            raise ValueError(f"a server index is named http://host:6333/NAME, got {url!r}")
        self._cluster = connection.cluster
        self._server = QdrantServer(base, url, connection)
        self._writer = Writer(url, self._server.lease, self._server.write_lease)

    def lock(self) -> None:
        """Become the writer of what the name stands for; a new index is locked when it is made."""
        named = self._behind()
        if named is not None:
            self.read()  # which raises where the collection is not ours
            self._writer.take(named)
        elif (found := self._unnamed()) is not None:
            self._writer.take(found)
            self._server.point_alias(self.name, found, replacing=False)

    def unlock(self) -> None:
        """End that; again does nothing."""
        self._server.be_patient(False)
        self._writer.end()

    def close(self) -> None:
        """Give the lock back and close the connections."""
        self.unlock()
        self._server.close()

    def read(self) -> Record:
        """Return the record in the metadata of the collection that the name stands for."""
        collection, text = self._described()
        if text is None:
            raise IndexUnavailable(
                f"the collection {self.name!r} is not an index of kbvqa: choose another name"
            )
        record = self._record(text)
        if record.place != collection:
            return _adopted(record, collection)
        building = record.building
        if building is not None and building.place != collection and self._strange(building):
            return replace(record, building=None)
        return record

    def vacant(self) -> bool:
        """Return whether the name is free."""
        return self._behind() is None

    def new_place(self, build: Build, record: Record) -> str:
        """Return the name of a collection: the finished one for a change, else a new one.

        A name is not used again, so that who still searches a collection that was replaced finds
        it gone, and never another in its place.
        """
        if build.base:
            return build.base
        if self._behind() == self.name:
            raise IndexUnavailable(
                f"{self.name!r} is a collection, not an alias, and cannot be swapped: build under "
                "another name, or give the collection an alias and name that"
            )
        known = (record.finished, record.building, record.replaced)
        number = 1 + max((self._number(b.place) for b in known if b is not None), default=0)
        while self._server.exists(place := f"{self.name}-{number}"):
            number += 1
        return place

    def begin(self, record: Record, build: Build) -> None:
        """Record a build as under way; the first one gives the name its meaning."""
        collection = self._behind()
        if collection is not None:
            for other in (record.replaced, record.building):
                if other is not None and other.place not in (collection, build.place):
                    self._drop(other)
            replaced = None if record.finished else record.in_place(collection)
            if replaced is not None and replaced.place == build.place:
                replaced = None
            self._write(Record(record.finished, build, replaced, collection))
            return
        self._create(build)
        self._server.point_alias(self.name, build.place, replacing=False)

    def open_for_writing(self, build: Build) -> Engine:
        """Return the collection that is built, made new where it is missing."""
        if not self._server.exists(build.place):
            self._create(build)
        engine = self._server.engine(build.place, build.storage, self._writer.require)
        engine.index_fields()
        engine.reach()
        if problems := engine.unfit(points=0):
            raise IndexUnavailable(
                f"strict mode of the collection {build.place!r} refuses what an index needs: "
                f"{'; '.join(problems)}. docs/guide/qdrant.md says which values fit"
            )
        large = is_large(engine.count() + build.written.passages)
        for problem in engine.unfit(CANDIDATES * (LEARNED_WIDENING if large else WIDENING)):
            logger.warning("strict mode of the collection %s: %s", build.place, problem)
        self._server.be_patient(True)
        if large:
            for name, room in rooms(build.fingerprint.dim, build.learned).items():
                engine.make_room(name, room)
        return engine

    def invitation(self, build: Build) -> Invitation:
        """Return what others write a build beside this writer with."""
        return Invitation(build, self._writer.owner)

    def join(self, invitation: Invitation) -> Engine:
        """Return the collection that another process builds, to write beside it."""
        build = invitation.build
        guest = Guest(self.location, self._server.lease, build.place, invitation.owner)
        self._server.be_patient(True)
        return self._server.engine(build.place, build.storage, guest.require)

    def open_for_search(self, build: Build) -> Engine:
        """Return the finished collection."""
        return self._server.engine(build.place, build.storage)

    def finish(self, build: Build, engine: Engine) -> Build:
        """Make the build the finished one: switch the name to it, and drop what it replaces."""
        self._writer.require()
        done, before = replace(build, base=""), self._collection()
        replaced = self.read().in_place(before) if before != build.place else None
        self._write(Record(done, replaced=replaced, place=build.place))
        if before != build.place:
            self._writer.move(build.place)
            try:
                self._server.point_alias(self.name, build.place, replacing=True)
            except IndexUnavailable:
                with contextlib.suppress(IndexUnavailable):  # else its lease runs out by itself
                    self._writer.move(before)
                raise
        if replaced is not None:
            self._remove_replaced(done, replaced)
        return done

    def tidy(self) -> None:
        """Remove what a build left that was killed after it became the finished one."""
        if self.read().replaced is None:
            return
        with contextlib.suppress(IndexUnavailable):  # another process is building: it does so
            self.lock()
            record = self.read()
            if record.finished is not None and record.building is None and record.replaced:
                self._remove_replaced(record.finished, record.replaced)
        self.unlock()

    def snapshot(self) -> str:
        """Make a snapshot of the collection on the server and return its name.

        Raises:
            IndexUnavailable: it would be a part, as other nodes have shards that this has not.
        """
        collection = self._collection()
        with contextlib.suppress(IndexNotReady):  # a server that does not tell has one node
            shards = self._engine(collection).shards()
            if shards.here < shards.parts:
                raise IndexUnavailable(
                    f"the node of {self.location} holds {shards.here} of {shards.parts} shards, "
                    "and a snapshot would hold no more: `kbvqa index copy "
                    f"{self.location} DIRECTORY` makes a whole backup"
                )
        return f"{collection}/{self._server.snapshot(collection)}"

    def _engine(self, collection: str) -> ServerEngine:
        build = self.read().finished
        if build is None:
            raise IndexNotReady(f"the index at {self.location} is not finished")
        return self._server.engine(collection, build.storage)

    def _record(self, text: str) -> Record:
        """Return the record that a text is; IndexNotReady if it is of another version."""
        try:
            record = record_from_json(text)
        except ValueError as exc:
            raise IndexNotReady(
                f"the index at {self.location} was made by another version of kbvqa: build it "
                f"anew under another name with {build_command(self.location)}"
            ) from exc
        if not record.place and (own := record.finished or record.building) is not None:
            record = replace(record, place=own.place)  # as it was before records said so
        for build in (record.finished, record.building):
            if build is not None and build.fingerprint.schema_version != SCHEMA_VERSION:
                raise IndexNotReady(
                    f"the index at {self.location} has schema_version "
                    f"{build.fingerprint.schema_version}, this kbvqa reads {SCHEMA_VERSION}: "
                    f"build it anew under another name with {build_command(self.location)}"
                )
        return record

    def _strange(self, build: Build) -> bool:
        """Return whether the place of an unfinished build holds something else.

        It is finished already where a process was killed just before the name came to it; where it
        has a name, it is somebody's index.
        """
        if not self._server.exists(build.place):
            return False
        named = build.place in self._server.aliases().values()
        return not self._is(build, finished=not named)

    def _is(self, build: Build, *, finished: bool) -> bool:
        """Return whether a collection says itself that it is a build, in its own place."""
        try:
            record = self._record(self._server.text(build.place) or "")
        except IndexNotReady:  # not ours, or of another version
            return False
        own = record.in_place(build.place)
        return (
            own is not None
            and own.id == build.id
            and record.place == build.place
            and (finished or record.finished is None)
        )

    def _drop(self, build: Build) -> None:
        """Remove the collection of a build; it stays if it is another's by now, or has a name."""
        place = build.place
        if not self._server.exists(place):
            return
        if place in self._server.aliases().values() or not self._is(build, finished=True):
            logger.warning("the collection %s is not what it was, and is left alone", place)
            return
        self._server.drop(place)

    def _remove_replaced(self, done: Build, replaced: Build) -> None:
        """Remove the collection that a finished build replaces, and the word of it."""
        try:
            self._drop(replaced)
            self._write(Record(done, place=done.place))
        except (IndexUnavailable, IndexNotReady) as exc:
            logger.warning(
                "%s is the new index now. What it replaces, %s, could not be removed, and goes "
                "with the next build: %s",
                *(done.place, replaced.place, exc),
            )

    def _unnamed(self) -> str | None:
        """Return a first build that was killed, or has not come to the name yet; None if none."""
        number, named = 1, set(self._server.aliases().values())
        while self._server.exists(place := f"{self.name}-{number}"):
            number += 1
            if place in named or (text := self._server.text(place)) is None:
                continue
            with contextlib.suppress(IndexNotReady):
                record = self._record(text)
                if record.place == place and record.finished is None:
                    return place
        return None

    def _described(self) -> tuple[str, str | None]:
        """Return the collection that the name stands for, and its record as text."""
        while True:
            collection = self._collection()
            try:
                return collection, self._server.text(collection)
            except IndexNotReady:  # a swap has dropped it just now
                if self._behind() == collection:
                    raise

    def _number(self, place: str) -> int:
        name, _, number = place.rpartition("-")
        return int(number) if name == self.name and number.isdecimal() else 0

    def _collection(self) -> str:
        """Return the collection that the name stands for; IndexNotReady if it stands for none."""
        collection = self._behind()
        if collection is None:
            raise IndexNotReady(
                f"there is no index at {self.location}: run {build_command(self.location)}"
            )
        return collection

    def _behind(self) -> str | None:
        aliased = self._server.aliases().get(self.name)
        return aliased or (self.name if self._server.exists(self.name) else None)

    def _create(self, build: Build) -> None:
        """Make the collection of a build, with the lease where it is the first of its index."""
        text, lease = record_to_json(Record(building=build, place=build.place)), ""
        dim, place = build.fingerprint.dim, build.place
        if first := self._behind() is None:
            lease = self._writer.text(place)
        made = self._server.create(place, dim, build.storage, self._cluster, text, lease)
        if not made and not self._is(build, finished=False):
            raise IndexUnavailable(
                f"another process is building the index at {self.location}: it has just made "
                f"{place}"
            )
        if first:
            self._writer.keep(place)
        if self._cluster.replicas > 1:
            with contextlib.suppress(IndexNotReady):
                made_of = self._server.engine(place, build.storage).shards().replicas
                if made_of < self._cluster.replicas:
                    logger.warning(
                        "%d replicas were asked for and %d made: the cluster has no more nodes",
                        *(self._cluster.replicas, made_of),
                    )

    def _write(self, record: Record) -> None:
        """Write a record into the collection that carries it."""
        self._server.write_text(record.place, record_to_json(record))


def _adopted(record: Record, collection: str) -> Record:
    """Return the record of a snapshot that was restored, as that of the collection it is in now.

    What was built beside it is another's.
    """
    finished, own = record.finished, record.in_place(record.place)
    building = None if own is finished else own
    if finished is not None and record.building and record.building.place == finished.place:
        building = replace(record.building, base=collection)  # a change in place
    finished = finished and replace(finished, place=collection)
    building = building and replace(building, place=collection)
    return Record(finished, building, place=collection)

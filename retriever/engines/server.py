"""An index on a Qdrant server or cluster: which collection is meant, and how one replaces another.

http://host:6333/NAME     NAME is an alias; the collections behind it are NAME-1, NAME-2, ...
"""

from dataclasses import replace
from urllib.parse import urlsplit

from retriever.engines.client import QdrantServer
from retriever.engines.interface import Engine
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.index_directory import build_command
from retriever.index_record import SCHEMA_VERSION, Build, Record, record_from_json, record_to_json
from retriever.index_settings import Connection


class ServerStore:
    """The collections behind one name on a server."""

    def __init__(self, url: str, connection: Connection) -> None:
        self.location = url
        base, _, self.name = url.rstrip("/").rpartition("/")
        if not urlsplit(base).netloc or not self.name:
            raise ValueError(f"a server index is named http://host:6333/NAME, got {url!r}")
        self._cluster = connection.cluster
        self._server = QdrantServer(base, url, connection)

    def advice(self) -> str:
        """Return the command that builds an index here."""
        return build_command(self.location)

    def lock(self) -> None:
        """Do nothing: several processes may write one collection."""

    def unlock(self) -> None:
        """Do nothing, for the same reason."""

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def read(self) -> Record:
        """Return the record in the metadata of the collection that the name stands for."""
        text = self._server.text(self._collection())
        if text is None:
            raise IndexUnavailable(
                f"the collection {self.name!r} is not an index of kbvqa: choose another name"
            )
        try:
            record = record_from_json(text)
        except ValueError as exc:
            raise IndexNotReady(
                f"the index at {self.location} was made by another version of kbvqa: build it "
                f"anew under another name with {self.advice()}"
            ) from exc
        for build in (record.finished, record.building):
            if build is not None and build.fingerprint.schema_version != SCHEMA_VERSION:
                raise IndexNotReady(
                    f"the index at {self.location} has schema_version "
                    f"{build.fingerprint.schema_version}, this kbvqa reads {SCHEMA_VERSION}: "
                    f"build it anew under another name with {self.advice()}"
                )
        return record

    def vacant(self) -> bool:
        """Return whether the name is free."""
        return self._behind() is None

    def new_place(self, build: Build, record: Record) -> str:
        """Return the name of a collection: the finished one for a change, else a free one.

        What killed builds left under such names is removed: the collection that a swap replaced,
        or one that never got its alias.
        """
        if build.base:
            return build.base
        kept = {b.place for b in (record.finished, record.building) if b is not None}
        for alias, collection in self._server.aliases().items():
            kept |= {alias, collection}  # another index may be called so
        number = 1
        while self._server.exists(place := f"{self.name}-{number}"):
            if place not in kept and self._server.text(place) is not None:
                self._server.drop(place)
                break
            number += 1
        return place

    def begin(self, record: Record, build: Build) -> None:
        """Record a build as under way; the first one gives the name its meaning."""
        text = record_to_json(Record(record.finished, build))
        collection = self._behind()
        if collection is not None:
            self._server.write_text(collection, text)
            return
        self._create(build, text)
        self._server.point_alias(self.name, build.place, replacing=False)

    def open_for_writing(self, build: Build) -> Engine:
        """Return the collection that is built, made new where it is missing."""
        if not self._server.exists(build.place):
            self._create(build, record_to_json(Record(building=build)))
        self._server.index_fields(build.place)
        return self._server.engine(build.place, build.storage)

    def open_for_search(self, build: Build) -> Engine:
        """Return the finished collection, by its name: a swap takes effect at once."""
        return self._server.engine(self.name, build.storage)

    def finish(self, build: Build, engine: Engine) -> Build:
        """Make the build the finished one: switch the name to it, and drop what it replaces."""
        done = replace(build, base="")
        self._server.write_text(build.place, record_to_json(Record(finished=done)))
        before = self._behind()
        if before is not None and before != build.place:
            if before == self.name:
                raise IndexUnavailable(
                    f"{self.name!r} is a collection, not an alias, and cannot be swapped: the new "
                    f"one is {build.place!r}"
                )
            self._server.point_alias(self.name, build.place, replacing=True)
            self._server.drop(before)
        return done

    def snapshot(self) -> str:
        """Make a snapshot of the collection on the server and return its name."""
        collection = self._collection()
        return f"{collection}/{self._server.snapshot(collection)}"

    def _collection(self) -> str:
        """Return the collection that the name stands for; IndexNotReady if it stands for none."""
        collection = self._behind()
        if collection is None:
            raise IndexNotReady(f"there is no index at {self.location}: run {self.advice()}")
        return collection

    def _behind(self) -> str | None:
        aliased = self._server.aliases().get(self.name)
        return aliased or (self.name if self._server.exists(self.name) else None)

    def _create(self, build: Build, text: str) -> None:
        dim = build.fingerprint.dim
        self._server.create(build.place, dim, build.storage, self._cluster, text)

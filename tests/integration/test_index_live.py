"""What must hold on any server: swaps under searches, and the way back from a snapshot.

Against the stand-in, and against a real server where KBVQA_TEST_QDRANT_URL names one.
"""

import threading
from dataclasses import replace
from typing import Any

import httpx
import pytest

from retriever.building.tools import verify_index
from retriever.engines.server import client
from retriever.engines.server.engine import ServerStore
from retriever.index.passage_index import PassageIndex
from tests.index_cases import ids, make_fingerprint, make_passages, random_embeddings
from tests.integration.conftest import BACKENDS, Home

COUNT = 60
PASSAGES, EMBEDDINGS = make_passages(COUNT), random_embeddings(COUNT)
QUERY = random_embeddings(1, seed=8)[0]
on_servers = pytest.mark.parametrize(
    "home", [name for name in BACKENDS if name in ("wire", "server")], indirect=True
)


def build(home: Home, corpus: str, *, fresh: bool = True) -> None:
    made_from = replace(make_fingerprint(COUNT), corpus_sha256=corpus)
    with PassageIndex.update(
        home.location, made_from, connection=home.connection, fresh=fresh
    ) as index:
        index.upsert(PASSAGES, EMBEDDINGS)
        index.finish()


def opened(home: Home) -> PassageIndex:
    return PassageIndex.open(home.location, connection=home.connection)


@on_servers
def test_no_search_fails_or_changes_while_the_index_is_swapped(home: Home) -> None:
    build(home, "d0")
    ended, wrong, searches = threading.Event(), [], [0, 0]

    def search(number: int, index: PassageIndex, expected: list[str]) -> None:
        try:
            while not ended.is_set():
                found = ids(index.search(QUERY, 10, mode="exact"))
                searches[number] += 1
                if found != expected:
                    wrong.append(found)
        except Exception as exc:  # noqa: BLE001 - every failure counts
            wrong.append(repr(exc))

    with opened(home) as one, opened(home) as two:
        expected = ids(one.search(QUERY, 10, mode="exact"))
        threads = [
            threading.Thread(target=search, args=(number, index, expected))
            for number, index in enumerate((one, two))
        ]
        for thread in threads:
            thread.start()
        for number in range(6):
            build(home, f"d{number + 1}")
        ended.set()
        for thread in threads:
            thread.join()
        assert wrong == [] and min(searches) > 0
        assert one.search(QUERY, 1) and one.fingerprint.corpus_sha256 == "d6"


def curl(home: Home, method: str, path: str, **arguments: Any) -> httpx.Response:
    """Send a request as docs/guide/qdrant.md tells people to."""
    base = home.location.rpartition("/")[0]
    key = home.connection.api_key
    headers = {"api-key": key} if key else {}
    answer = httpx.request(
        method, f"{base}{path}", headers=headers, timeout=60, trust_env=False, **arguments
    )
    assert answer.status_code == 200, answer.text
    return answer


@on_servers
def test_the_way_back_from_a_snapshot(home: Home) -> None:
    build(home, "d0")
    name = home.location.rpartition("/")[2]
    store = ServerStore(home.location, home.connection)
    collection, _, snapshot = store.snapshot().partition("/")
    store.close()
    kept = curl(home, "GET", f"/collections/{collection}/snapshots/{snapshot}").content
    curl(home, "DELETE", f"/collections/{collection}")  # the accident

    restored = f"{name}-restored"
    upload = f"/collections/{restored}/snapshots/upload?priority=snapshot"
    curl(home, "POST", upload, files={"snapshot": (snapshot, kept)})
    alias = {"create_alias": {"collection_name": restored, "alias_name": name}}
    curl(home, "POST", "/collections/aliases", json={"actions": [alias]})
    with opened(home) as index:
        index.optimise()
        assert verify_index(index) == [] and index.built.place == restored
        assert index.fingerprint.corpus_sha256 == "d0"
    build(home, "d1", fresh=False)
    build(home, "d2")
    with opened(home) as index:
        assert index.fingerprint.corpus_sha256 == "d2" and verify_index(index) == []
    rest, _ = client.connect(home.location.rpartition("/")[0], home.connection)
    assert not rest.collection_exists(restored), "the swap took its place"
    rest.close()

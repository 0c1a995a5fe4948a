"""An index that an earlier kbvqa made: it opens and goes on, or the message says what to run.

The layout, schema 3, is older than what a record says: records of before lack the fields that came
later, in the order of `LATER`. Each is made here of today's, as that version wrote it.
"""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from retriever.errors import IndexNotReady
from tests.integration.index_cli.commands import PASSAGES, corpus, info, kbvqa

# By what came with them: the fields of a record, and of its builds. Each version lacks those of
# the ones below it.
LATER = {
    "learned candidates": ((), ("learned",)),
    "precisions": ((), ("precisions",)),
    "places that say whose they are": (("replaced", "place"), ("id", "namespace")),
    "corpora that are added to": ((), ("kept",)),
}


def without(came: str, record: dict[str, object]) -> dict[str, object]:
    """Return a record as it was before something came."""
    versions = list(LATER.values())[: list(LATER).index(came) + 1]
    fields = {name for own, _ in versions for name in own}
    of_builds = {name for _, own in versions for name in own}
    before = {name: value for name, value in record.items() if name not in fields}
    for build in before.values():
        if isinstance(build, dict):
            for name in of_builds:
                build.pop(name)
    return before


@pytest.mark.parametrize("came", LATER)
def test_an_index_of_an_earlier_version_opens_and_goes_on(
    location: str, tmp_path: Path, came: str, request: pytest.FixtureRequest
) -> None:
    build = ("index", "build", corpus(tmp_path, PASSAGES[:9]), "--index", location)
    kbvqa(*build)
    if location.startswith("http"):
        [collection] = request.getfixturevalue("stand_in").collections.values()
        record = json.loads(collection.metadata["kbvqa"])
        collection.metadata["kbvqa"] = json.dumps(without(came, record))
    else:
        path = Path(location, "kbvqa-index.json")
        record = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(without(came, record)), encoding="utf-8")

    assert info(location)["count"] == 9
    verified = kbvqa("index", "verify", "--encode", "9", "--index", location).stdout
    assert "9 passages, nothing wrong" in verified
    assert "0 encoded and written, 9 there already" in kbvqa(*build).stdout
    corpus(tmp_path, PASSAGES)
    assert "3 encoded and written, 9 there already" in kbvqa(*build).stdout
    assert "12 passages, nothing wrong" in kbvqa("index", "verify", "--index", location).stdout


@pytest.mark.parametrize("version", [2, 4])
def test_a_layout_of_another_version_is_built_anew_as_the_message_says(
    location: str, tmp_path: Path, version: int, request: pytest.FixtureRequest
) -> None:
    passages = corpus(tmp_path, PASSAGES[:3])
    kbvqa("index", "build", passages, "--index", location)
    served = location.startswith("http")
    if served:
        [collection] = request.getfixturevalue("stand_in").collections.values()
        record = json.loads(collection.metadata["kbvqa"])
        record["finished"]["fingerprint"]["schema_version"] = version
        collection.metadata["kbvqa"] = json.dumps(record)
    else:
        path = Path(location, "kbvqa-index.json")
        record = json.loads(path.read_text(encoding="utf-8"))
        record["finished"]["fingerprint"]["schema_version"] = version
        path.write_text(json.dumps(record), encoding="utf-8")
    for words in (["index", "info"], ["index", "verify"], ["index", "build", passages]):
        refused = kbvqa(*words, "--index", location, ok=False).exception
        assert isinstance(refused, IndexNotReady) and f"schema_version {version}" in str(refused)
    [command] = re.findall(r"`(kbvqa [^`]+)`", str(refused))
    assert ("under another name" if served else "remove it and run") in str(refused)
    words = shlex.split(command.replace("PASSAGES.jsonl", str(passages)))[1:]
    if served:
        words[-1] = f"{location}-anew"
    else:
        shutil.rmtree(location)
    assert "3 encoded and written" in kbvqa(*words).stdout
    if served:
        assert len(request.getfixturevalue("stand_in").collections) == 2, "nothing was lost"

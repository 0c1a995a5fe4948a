"""`kbvqa index` as a user runs it, on a directory and on a server."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from qdrant_client import models
from typer.testing import CliRunner

from app.cli import app
from corpus.errors import KbvqaError
from corpus.files.passages import write_passages
from corpus.types import Passage
from retriever.building.processes import joined
from retriever.encoding.encoder import Encoder
from retriever.engines.connection import QdrantConnection
from retriever.errors import IndexNotReady
from retriever.index.passage_index import PassageIndex
from tests.golden_cases import GOLDEN
from tests.integration.qdrant_server import StandIn

CHECKPOINT = str(GOLDEN / "B_preflmr")
PASSAGES = [
    Passage(f"p{i}", f"Thing {i}", f"Thing {i} is a thing that lives in town {i}.", source="made")
    for i in range(12)
]


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("KBVQA_") and not name.startswith("KBVQA_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("KBVQA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KBVQA_CHECKPOINT", CHECKPOINT)
    monkeypatch.setenv("COLUMNS", "200")


def kbvqa(*arguments: object, ok: bool = True) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if ok:
        assert result.exit_code == 0, (result.output, result.exception)
    return result


def corpus(folder: Path, passages: list[Passage]) -> Path:
    write_passages(folder / "corpus.jsonl", passages)
    return folder / "corpus.jsonl"


def info(location: object) -> dict[str, object]:
    shown = kbvqa("index", "info", "--json", "--index", location).stdout
    facts: dict[str, object] = json.loads(shown)
    return facts


@pytest.fixture(params=["directory", "server"])
def location(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    if request.param == "directory":
        return str(tmp_path / "index")
    server: StandIn = request.getfixturevalue("stand_in")
    monkeypatch.setenv("KBVQA_QDRANT_GRPC_PORT", str(server.grpc_port))
    return f"{server.url}/things"


def test_added_passages_take_nobodys_place(tmp_path: Path) -> None:
    location, other = tmp_path / "index", tmp_path / "other.jsonl"
    kbvqa("index", "build", corpus(tmp_path, PASSAGES[:3]), "--index", location)
    write_passages(other, [PASSAGES[0], replace(PASSAGES[1], text="Another."), *PASSAGES[3:5]])
    refused = kbvqa("index", "build", other, "--index", location, "--add", ok=False)
    assert isinstance(refused.exception, IndexNotReady)
    taken = f"of corpus have in the index, such as {PASSAGES[1].id!r}"
    assert "1 passages of other" in str(refused.exception) and taken in str(refused.exception)
    assert info(location)["count"] == 3
    write_passages(other, PASSAGES[3:5])
    kbvqa("index", "build", other, "--index", location, "--add")
    write_passages(other, [replace(PASSAGES[3], text="Another."), PASSAGES[4]])
    kbvqa("index", "build", other, "--index", location, "--add")  # its own may change
    assert info(location)["count"] == 5


def test_a_second_corpus_is_mixed_in_only_when_asked(tmp_path: Path) -> None:
    location = tmp_path / "index"
    kbvqa("index", "build", corpus(tmp_path, PASSAGES[:2]), "--index", location)
    other = tmp_path / "other.jsonl"
    write_passages(other, PASSAGES[2:5])
    refused = kbvqa("index", "build", other, "--index", location, ok=False)
    assert isinstance(refused.exception, KbvqaError)
    assert "holds the corpus 'corpus', and this one is 'other': --add" in str(refused.exception)
    assert info(location)["count"] == 2
    both = kbvqa("index", "build", other, "--index", location, "--add", "--prune", ok=False)
    assert "--add keeps the other corpus, and --prune deletes it" in both.output
    added = kbvqa("index", "build", other, "--index", location, "--add")
    assert "2 are not of other: the index has corpus as well" in added.stdout
    facts = info(location)
    assert (facts["count"], facts["corpus"], facts["passages"], facts["kept"]) == (
        *(5, "corpus", 2, 3),
    )
    assert list(facts["added"]) == ["other"]  # type: ignore[call-overload]
    swapped = kbvqa("index", "build", other, "--index", location, "--add", "--swap", ok=False)
    assert "--swap builds an index without it" in swapped.output
    kbvqa("index", "build", corpus(tmp_path, PASSAGES[:1]), "--index", location, "--swap")
    facts = info(location)
    assert (facts["count"], facts["corpus"], facts["added"]) == (1, "corpus", None)


@pytest.fixture
def two(location: str, tmp_path: Path) -> tuple[Path, Path]:
    """Two corpora, `corpus` and `other`, the second added to the index of the first."""
    first, other = corpus(tmp_path, PASSAGES[:6]), tmp_path / "other.jsonl"
    write_passages(other, PASSAGES[6:10])
    kbvqa("index", "build", first, "--index", location)
    kbvqa("index", "build", other, "--index", location, "--add")
    return first, other


def test_no_advice_deletes_passages_of_a_corpus_that_was_added_to(
    location: str, tmp_path: Path, two: tuple[Path, Path]
) -> None:
    for path in two:
        again = kbvqa("index", "build", path, "--index", location).stdout
        assert "0 encoded and written" in again and "--prune" not in again
        pruned = kbvqa("index", "build", path, "--index", location, "--prune", ok=False)
        assert isinstance(pruned.exception, IndexNotReady)
        assert "holds the corpora 'corpus' and 'other'" in str(pruned.exception)
        assert info(location)["count"] == 10
    third = tmp_path / "third.jsonl"
    write_passages(third, PASSAGES[10:])
    refused = kbvqa("index", "build", third, "--index", location, ok=False)
    assert "--add" in str(refused.exception) and "--prune" not in str(refused.exception)
    write_passages(two[0], [replace(PASSAGES[0], text="Thing 0 moved."), *PASSAGES[1:4]])
    changed = kbvqa("index", "build", two[0], "--index", location).stdout
    assert "1 encoded and written, 3 there already, 0 deleted" in changed
    assert "--prune" not in changed
    facts = info(location)
    assert (facts["count"], facts["passages"], facts["kept"]) == (10, 4, 6)
    assert "nothing wrong" in kbvqa("index", "verify", "--index", location).stdout


def test_each_corpus_of_an_index_goes_on_by_its_own_command(
    location: str, tmp_path: Path, two: tuple[Path, Path]
) -> None:
    first, other = two
    before = info(location)
    for path in (first, other, first):
        for options in ((), ("--add",)):
            kbvqa("index", "build", path, "--index", location, *options)
            assert info(location) == before
    write_passages(other, [*PASSAGES[6:9], replace(PASSAGES[9], text="Moved."), PASSAGES[10]])
    changed = kbvqa("index", "build", other, "--index", location, "--add").stdout
    assert "2 encoded and written, 3 there already" in changed
    facts = info(location)
    assert (facts["count"], facts["corpus"], facts["corpus_sha256"]) == (
        *(11, "corpus", before["corpus_sha256"]),
    )
    assert facts["added"]["other"]["passages"] == 5  # type: ignore[index]
    kbvqa("index", "copy", location, tmp_path / "copy")
    copied = info(tmp_path / "copy")
    assert (copied["added"], copied["kept"]) == (facts["added"], 5)
    with PassageIndex.open(tmp_path / "copy") as index:  # as evaluations record it
        assert index.fingerprint.corpus == "corpus + other"
        assert index.fingerprint.corpus_sha256 != before["corpus_sha256"]
        assert index.fingerprint.passages == 11


def test_adding_what_is_there_already_changes_nothing(location: str, tmp_path: Path) -> None:
    first, part = corpus(tmp_path, PASSAGES[:6]), tmp_path / "part.jsonl"
    kbvqa("index", "build", first, "--index", location)
    write_passages(part, PASSAGES[:3])
    before = info(location)
    for _ in range(2):
        added = kbvqa("index", "build", part, "--index", location, "--add").stdout
        assert "0 encoded and written, 3 there already" in added
        assert info(location) == before
    kbvqa("index", "build", first, "--index", location)


def test_what_is_refused_to_be_added_leaves_no_trace(location: str, tmp_path: Path) -> None:
    first, taken = corpus(tmp_path, PASSAGES[:6]), tmp_path / "taken.jsonl"
    kbvqa("index", "build", first, "--index", location)
    write_passages(taken, [replace(passage, text="Another.") for passage in PASSAGES[:3]])
    before = info(location)
    recorded = Path(location, "kbvqa-index.json")
    record = recorded.read_text() if recorded.exists() else ""
    refused = kbvqa("index", "build", taken, "--index", location, "--add", ok=False)
    assert isinstance(refused.exception, IndexNotReady)
    assert info(location) == before
    if record:
        assert recorded.read_text() == record
        assert [path.name for path in Path(location).glob("shard*")] == ["shard"]
    write_passages(first, PASSAGES[:7])
    kbvqa("index", "build", first, "--index", location)
    assert info(location)["count"] == 7


def test_an_index_of_several_corpora_that_was_recorded_without_a_list(tmp_path: Path) -> None:
    """Earlier versions recorded the corpus that was last added, and the rest as kept."""
    location, other = tmp_path / "index", tmp_path / "other.jsonl"
    first = corpus(tmp_path, PASSAGES[:6])
    write_passages(other, PASSAGES[6:10])
    kbvqa("index", "build", other, "--index", tmp_path / "of-other")
    made_from = info(tmp_path / "of-other")
    kbvqa("index", "build", first, "--index", location)
    kbvqa("index", "build", other, "--index", location, "--add")
    recorded = location / "kbvqa-index.json"
    record = json.loads(recorded.read_text())
    finished = record["finished"]
    for name in ("corpus", "corpus_sha256", "passages"):
        finished["fingerprint"][name] = made_from[name]
    finished |= {"kept": 6, "namespace": "corpus"}
    del finished["added"], finished["writing"]
    recorded.write_text(json.dumps(record))
    facts = info(location)
    assert (facts["count"], facts["corpus"], list(facts["added"])) == (  # type: ignore[call-overload]
        *(10, "other", ["corpus"]),
    )
    again = kbvqa("index", "build", other, "--index", location).stdout
    assert "6 are not of other: the index has corpus as well" in again
    for path in (first, other):
        kbvqa("index", "build", path, "--index", location, "--prune", ok=False)
        kbvqa("index", "build", path, "--index", location)
    assert info(location)["count"] == 10
    assert "nothing wrong" in kbvqa("index", "verify", "--index", location).stdout


def test_what_was_not_finished_is_not_taken_for_whole(
    location: str, tmp_path: Path, two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = two
    write_passages(other, PASSAGES[6:])

    def killed(self: PassageIndex, **_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(PassageIndex, "finish", killed)
        kbvqa("index", "build", other, "--index", location, ok=False)
    write_passages(first, [*PASSAGES[:5], replace(PASSAGES[5], text="Moved.")])
    refused = kbvqa("index", "build", first, "--index", location, ok=False)
    assert "is being changed to 'other', which was not finished" in str(refused.exception)
    kbvqa("index", "build", other, "--index", location)
    kbvqa("index", "build", first, "--index", location)
    facts = info(location)
    assert (facts["count"], facts["passages"], facts["kept"]) == (12, 6, 6)
    assert facts["added"]["other"]["passages"] == 6  # type: ignore[index]
    assert "nothing wrong" in kbvqa("index", "verify", "--index", location).stdout


def test_a_corpus_whose_adding_was_stopped_goes_on(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server all of it may be there, but not be recorded."""
    other = tmp_path / "other.jsonl"
    write_passages(other, PASSAGES[6:])
    kbvqa("index", "build", corpus(tmp_path, PASSAGES[:6]), "--index", location)

    def killed(self: PassageIndex, **_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(PassageIndex, "finish", killed)
        kbvqa("index", "build", other, "--index", location, "--add", ok=False)
    assert info(location)["added"] is None
    resumed = kbvqa("index", "build", other, "--index", location, "--add").stdout
    assert "0 encoded and written, 6 there already" in resumed
    facts = info(location)
    assert (facts["count"], facts["corpus"], list(facts["added"])) == (  # type: ignore[call-overload]
        *(12, "corpus", ["other"]),
    )


def test_nothing_is_added_to_what_was_never_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location, other = tmp_path / "index", tmp_path / "other.jsonl"
    write_passages(other, PASSAGES[6:])

    def killed(self: PassageIndex, **_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(PassageIndex, "finish", killed)
        kbvqa("index", "build", corpus(tmp_path, PASSAGES[:6]), "--index", location, ok=False)
    refused = kbvqa("index", "build", other, "--index", location, "--add", ok=False)
    assert "is being changed to 'corpus', which was not finished" in str(refused.exception)


@pytest.mark.parametrize("options", [("--tokens", "float32"), ("--pool", "2"), ()])
def test_what_is_advised_builds_anew_what_was_asked_for(
    location: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """The checkpoint was given by option: without it the index would be made anew by another."""
    passages = corpus(tmp_path, PASSAGES[:3])
    kbvqa("index", "build", passages, "--index", location)
    other = ("--checkpoint", GOLDEN / "A_flmr", *options)
    refused = kbvqa("index", "build", passages, "--index", location, *other, ok=False)
    advised = re.findall(r"`kbvqa (.*?)`", str(refused.exception))[-1]
    filled = advised.replace("PASSAGES.jsonl", str(passages)).replace("DIRECTORY", str(GOLDEN))
    assert "3 encoded and written" in kbvqa(*shlex.split(filled)).stdout
    again = kbvqa("index", "build", passages, "--index", location, *other)
    assert "0 encoded and written, 3 there already" in again.stdout


def test_a_corpus_that_changes(location: str, tmp_path: Path) -> None:
    built = kbvqa("index", "build", corpus(tmp_path, PASSAGES), "--index", location)
    assert "12 passages in" in built.stdout and "12 encoded and written, 0 there" in built.stdout
    facts = info(location)
    assert (facts["count"], facts["corpus"], facts["tokens"]) == (12, "corpus", "float16")
    assert "12 passages, nothing wrong" in kbvqa("index", "verify", "--index", location).stdout

    again = kbvqa("index", "build", corpus(tmp_path, PASSAGES), "--index", location)
    assert "0 encoded and written, 12 there already" in again.stdout

    changed = [replace(PASSAGES[0], text="Thing 0 moved to another town."), *PASSAGES[1:9]]
    report = tmp_path / "report.json"
    options = ("--index", location, "--report", report)
    updated = kbvqa("index", "build", corpus(tmp_path, changed), *options)
    assert "1 encoded and written, 8 there already" in updated.stdout
    assert "3 are not in the corpus (any more): --prune deletes them" in updated.stdout
    written = json.loads(report.read_text())["report"]
    assert (written["written"], written["unchanged"], written["kept"]) == (1, 8, 3)
    assert info(location)["count"] == 12

    pruned = kbvqa("index", "build", corpus(tmp_path, changed), "--index", location, "--prune")
    assert "0 encoded and written, 9 there already, 3 deleted" in pruned.stdout
    assert info(location)["count"] == 9

    options = ("--index", location, "--tokens", "float32")
    refused = kbvqa("index", "build", corpus(tmp_path, changed), *options, ok=False)
    assert "--swap" in str(refused.exception)
    swapped = kbvqa(
        *("index", "build", corpus(tmp_path, changed), "--index", location),
        *("--swap", "--tokens", "float32", "--pool", "2"),
    )
    assert "9 encoded and written" in swapped.stdout
    facts = info(location)
    assert (facts["tokens"], facts["pool_factor"], facts["count"]) == ("float32", 2, 9)
    refused = kbvqa("index", "build", corpus(tmp_path, changed), "--index", location, ok=False)
    assert isinstance(refused.exception, KbvqaError)
    assert "pool_factor is 2 in the index and 1 here" in str(refused.exception)


def test_copying_to_a_server_and_a_snapshot(
    tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KBVQA_QDRANT_GRPC_PORT", str(stand_in.grpc_port))
    there = f"{stand_in.url}/things"
    kbvqa("index", "build", corpus(tmp_path, PASSAGES), "--index", tmp_path / "index")
    copied = kbvqa("index", "copy", tmp_path / "index", there)
    assert "12 passages copied to" in copied.stdout
    kbvqa("index", "verify", "--index", there)
    kbvqa("index", "copy", there, tmp_path / "back")
    assert info(tmp_path / "back")["corpus_sha256"] == info(there)["corpus_sha256"]
    snapshot = kbvqa("index", "snapshot", "--index", there)
    assert snapshot.stdout.strip() == "things-1/things-1-2026.snapshot"
    refused = kbvqa("index", "snapshot", "--index", tmp_path / "index", ok=False)
    assert refused.exit_code == 2 and "a directory has no snapshots" in refused.output


def test_a_server_that_has_not_optimised_is_told_of_and_woken(
    tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KBVQA_QDRANT_GRPC_PORT", str(stand_in.grpc_port))
    there = f"{stand_in.url}/things"
    kbvqa("index", "build", corpus(tmp_path, PASSAGES), "--index", there)
    facts = info(there)
    assert (facts["status"], facts["shards"], facts["replicas"]) == ("green", 1, "1")
    stand_in.collections["things-1"].status = "grey"  # as after a restart
    assert info(there)["status"] == "grey"
    wrong = kbvqa("index", "verify", "--index", there, ok=False)
    assert wrong.exit_code == 1 and "not optimised (grey; 69 segments)" in wrong.output
    woken = kbvqa("index", "optimise", "--index", there)
    assert "Optimising: yellow" in woken.output and "is optimised" in woken.output
    assert "nothing wrong" in kbvqa("index", "verify", "--index", there).stdout
    assert "is optimised" in kbvqa("index", "optimise", "--index", there).stdout


def test_doctor_says_what_strict_mode_refuses(
    tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KBVQA_QDRANT_GRPC_PORT", str(stand_in.grpc_port))
    monkeypatch.setenv("KBVQA_INDEX", f"{stand_in.url}/things")
    kbvqa("index", "build", corpus(tmp_path, PASSAGES))
    assert "12 passages (corpus: corpus)" in kbvqa("doctor", ok=False).output
    strict = models.StrictModeConfig(enabled=True, search_allow_exact=False, max_query_limit=1000)
    stand_in.collections["things-1"].strict = strict
    told = kbvqa("doctor", ok=False)
    assert told.exit_code == 1
    assert (
        "search_allow_exact is false" in told.output and "max_query_limit is 1,000" in told.output
    )
    strict.search_allow_exact = True
    assert "max_query_limit is 1,000" in kbvqa("doctor", ok=False).output
    monkeypatch.setenv("KBVQA_CANDIDATES", "100")
    assert "max_query_limit" not in kbvqa("doctor", ok=False).output


def test_a_checkpoint_that_makes_no_numbers_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"p3"}

    def encode(self: Encoder, passages: Iterable[Passage], *_: object) -> Iterator[object]:
        for passage in passages:
            rows = np.eye(self.checkpoint.model.config.dim, dtype=np.float32)[:2]
            yield [passage], [rows * (np.nan if passage.id in broken else 1)]

    monkeypatch.setattr(Encoder, "encode_corpus", encode)
    build = ("index", "build", corpus(tmp_path, PASSAGES), "--index", tmp_path / "index")
    told = kbvqa(*build).stdout
    assert "11 encoded" in told and "p3: the embeddings of 2 of" in told
    broken |= {passage.id for passage in PASSAGES}
    refused = kbvqa(*build, "--swap", ok=False)
    assert isinstance(refused.exception, KbvqaError)
    assert "none of the 12 passages of corpus can be indexed" in str(refused.exception)
    assert info(tmp_path / "index")["count"] == 11


def test_verify_fails_where_something_is_wrong(tmp_path: Path) -> None:
    location = tmp_path / "index"
    kbvqa("index", "build", corpus(tmp_path, PASSAGES), "--index", location)
    record = json.loads((location / "kbvqa-index.json").read_text())
    record["finished"]["fingerprint"]["passages"] = 13
    (location / "kbvqa-index.json").write_text(json.dumps(record))
    result = kbvqa("index", "verify", "--index", location, ok=False)
    assert result.exit_code == 1
    assert "it holds 12 passages, but its record says 13" in result.output


def test_verify_encodes_passages_again(tmp_path: Path) -> None:
    path, location = corpus(tmp_path, PASSAGES), tmp_path / "index"
    verify = ("index", "verify", "--index", location, "--encode", 12)
    for options in (("--tokens", "turbo4"), ("--pool", 2), ()):
        kbvqa("index", "build", path, "--index", location, "--swap", *options)
        assert "nothing wrong" in kbvqa(*verify).stdout

    wrong = kbvqa(*verify, "--checkpoint", GOLDEN / "A_flmr", ok=False)
    assert wrong.exit_code == 1 and "made with the checkpoint B_preflmr@" in wrong.output
    with PassageIndex.open(location) as index:
        fingerprint = index.fingerprint
        (first, one), (second, other), *rest = index.scroll()
    with PassageIndex.create(tmp_path / "mixed", fingerprint) as index:
        index.upsert([first, second], [other, one])
        index.upsert([passage for passage, _ in rest], [rows for _, rows in rest])
        index.finish()
    verify = ("index", "verify", "--index", tmp_path / "mixed")
    assert "nothing wrong" in kbvqa(*verify).stdout
    wrong = kbvqa(*verify, "--encode", 12, ok=False)
    assert wrong.exit_code == 1 and wrong.output.count("wrong: passage") == 2
    assert first.id in wrong.output and second.id in wrong.output


def test_bad_records_are_named_or_skipped(tmp_path: Path) -> None:
    path = corpus(tmp_path, PASSAGES)
    path.write_text(path.read_text() + '{"id": "bad", "title": "t"}\n')
    strict = kbvqa("index", "build", path, "--index", tmp_path / "index", ok=False)
    assert "line 13, field 'text': missing" in str(strict.exception)
    assert not (tmp_path / "index").exists()
    lax = kbvqa("index", "build", path, "--index", tmp_path / "index", "--skip-bad")
    assert "1 left out:" in lax.stdout and "line 13" in lax.stdout


def test_passages_that_are_cut_are_counted(tmp_path: Path) -> None:
    long = replace(PASSAGES[0], text="town " * 600)
    built = kbvqa("index", "build", corpus(tmp_path, [long]), "--index", tmp_path / "index")
    assert "1 are longer than the checkpoint reads, and were cut there" in built.stdout


def test_plan(tmp_path: Path) -> None:
    options = ("index", "plan", "--passages", 100_000, "--tokens-per-passage", 120)
    plan = json.loads(kbvqa(*options, "--json").stdout)
    assert plan["tokens"] == 100_000 * 120 * 128 * 2 and plan["nodes"] == 1
    assert plan["tokens_memory"] == "cached"
    shown = kbvqa(*options).stdout
    assert "2.9 GiB" in shown and "--tokens float16 --shards 1 --replicas 1" in shown
    shown = kbvqa("index", "plan", "--passages", 10**7, *options[4:], "--replicas", 2).stdout
    assert "--shards 6 --replicas 2 --tokens-memory cold" in shown
    missing = kbvqa(*options[:4], ok=False)
    assert missing.exit_code == 2 and "or --index for those of an index" in missing.output
    wrong = kbvqa(*options, "--tokens", "float8", ok=False)
    assert wrong.exit_code == 2 and "not one of 'float32', 'float16', 'turbo4'" in wrong.output


def test_a_collection_is_laid_out_as_the_options_say(
    tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KBVQA_QDRANT_GRPC_PORT", str(stand_in.grpc_port))
    path = corpus(tmp_path, PASSAGES)
    layout = (
        *("--shards", 4, "--replicas", 2, "--write-consistency", 2),
        *("--tokens-memory", "cached", "--means-memory", "cold"),
    )
    refused = kbvqa("index", "build", path, "--index", tmp_path / "index", *layout, ok=False)
    assert refused.exit_code == 2 and "index is a directory: shards, replicas" in refused.output
    assert not (tmp_path / "index").exists()
    too_much = ("--index", f"{stand_in.url}/built", "--write-consistency", 2)
    refused = kbvqa("index", "build", path, *too_much, ok=False)
    assert refused.exit_code == 2 and "the last at most the number of replicas" in refused.output

    kbvqa("index", "build", path, "--index", f"{stand_in.url}/built", *layout)
    kbvqa("index", "build", path, "--index", tmp_path / "index")
    kbvqa("index", "copy", tmp_path / "index", f"{stand_in.url}/copied", *layout)
    kbvqa("index", "copy", tmp_path / "index", f"{stand_in.url}/plain")
    for name, numbers, memory in (
        ("built-1", (4, 2, 2), ("cached", "cold")),
        ("copied-1", (4, 2, 2), ("cached", "cold")),
        ("plain-1", (None, 1, 1), ("cold", "cached")),
    ):
        made = stand_in.collections[name].request
        assert numbers == (
            made.shard_number,
            made.replication_factor,
            made.write_consistency_factor,
        )
        assert isinstance(made.vectors, dict)
        tokens, mean = made.vectors["tokens"], made.vectors["mean"]
        assert memory == (tokens.memory, mean.memory)


ACCELERATE = (
    *("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
)
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "launcher"),
    [("directory", ACCELERATE), ("server", ACCELERATE), ("directory", TORCHRUN)],
    ids=["accelerate-directory", "accelerate-server", "torchrun"],
)
def test_two_processes_build_one_index(
    where: str,
    launcher: tuple[str, ...],
    tmp_path: Path,
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = [
        replace(PASSAGES[i % 12], id=f"q{i}", text=f"Number {i} in town." + " town" * i)
        for i in range(60)
    ]
    path = corpus(tmp_path, many)
    location = str(tmp_path / "index") if where == "directory" else f"{stand_in.url}/things"
    port = str(stand_in.grpc_port)
    exact = ("--precision", "float32")  # a run alone measures what is fastest anew
    command = [
        *(sys.executable, "-m", *launcher),
        *("-m", "kbvqa", "index", "build", str(path), "--index", location),
        *exact,
    ]
    environment = {**os.environ, "KBVQA_QDRANT_GRPC_PORT": port, "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr.count("Loading the checkpoint") == 2, run.stderr
    assert run.stdout.count("60 encoded and written") == 1, "one process speaks"
    alone = kbvqa("index", "build", path, "--index", tmp_path / "alone", *exact).stdout
    (cut,) = (line for line in alone.splitlines() if "were cut there" in line)
    assert cut in run.stdout, "of all processes"
    monkeypatch.setenv("KBVQA_QDRANT_GRPC_PORT", port)
    kbvqa("index", "verify", "--index", location)
    connection = QdrantConnection(grpc_port=stand_in.grpc_port)
    with (
        PassageIndex.open(location, connection=connection) as ours,
        PassageIndex.open(tmp_path / "alone") as theirs,
    ):
        assert ours.fingerprint == theirs.fingerprint
        assert ours.content_hashes() == theirs.content_hashes()
        # Padded in other batches, a row may differ in its last bits.
        for (ours_is, one), (theirs_is, other) in zip(ours.scroll(), theirs.scroll(), strict=True):
            assert ours_is == theirs_is
            np.testing.assert_allclose(one, other, atol=2e-3)


def test_accelerate_with_cpu_says_that_it_starts_one_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as processes:
        assert processes is None and not caplog.records
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_PORT", "29500")
    with joined() as processes:
        assert processes is None and "one process only" in caplog.text

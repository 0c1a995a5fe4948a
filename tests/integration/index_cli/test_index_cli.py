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
from qdrant_client import models

from corpus.errors import KbvqaError
from corpus.types import Passage
from retriever.building.processes import joined
from retriever.encoding.encoder import Encoder
from retriever.engines.connection import QdrantConnection
from retriever.index.passage_index import PassageIndex
from tests.golden_cases import GOLDEN
from tests.integration.index_cli.commands import PASSAGES, corpus, info, kbvqa
from tests.integration.qdrant_server import StandIn


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
    assert "1 is longer than the checkpoint reads, and was cut there" in built.stdout


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

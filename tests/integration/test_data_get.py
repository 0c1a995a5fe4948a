"""`kbvqa data` in its own process, against a hub served over HTTP."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpus.benchmarks.datasets import ALL, missing_files
from tests import benchmark_files, corpus_files
from tests.integration.hub_server import Hub, serve


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = tmp_path / "made"
    benchmark_files.m2kr(made, "OKVQA")
    corpus_files.m2kr_passages(made / "OKVQA_passages")
    corpus_files.m2kr_passages(made / "EVQA_passages")
    files = {p.relative_to(made).as_posix(): p.read_bytes() for p in made.rglob("*.parquet")}
    with serve(Hub(files)) as served:
        yield served


def kbvqa(
    hub: Hub | None, root: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    settings = {
        "KBVQA_DATA": str(root),
        "HF_HOME": str(root.parent / "hf-home"),
        "HF_ENDPOINT": hub.url if hub else "http://127.0.0.1:9",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        **environment,
    }
    command = [sys.executable, "-m", "kbvqa", "data", *arguments]
    return subprocess.run(
        command, env=os.environ | settings, capture_output=True, text=True, timeout=120
    )


def test_only_the_files_of_the_dataset_are_fetched(hub: Hub, tmp_path: Path) -> None:
    root = tmp_path / "data"
    done = kbvqa(hub, root, "get", "m2kr-okvqa")

    assert done.returncode == 0, done.stderr
    found = {p.relative_to(root / "m2kr").as_posix() for p in (root / "m2kr").rglob("*.parquet")}
    assert found == {name for name in hub.files if name.startswith("OKVQA_")}
    assert all((root / "m2kr" / name).read_bytes() == hub.files[name] for name in found)
    assert missing_files(ALL["m2kr-okvqa"], root) == []
    assert "present" in kbvqa(hub, root, "status").stdout
    asked = len(hub.ranges)
    assert kbvqa(hub, root, "get", "m2kr-okvqa").returncode == 0
    assert len(hub.ranges) == asked  # nothing is fetched twice


def test_a_download_that_was_cut_goes_on(hub: Hub, tmp_path: Path) -> None:
    # The hub's client writes ten megabytes at a time.
    hub.files["OKVQA_data/large-00000-of-00001.parquet"] = os.urandom(24_000_000)
    hub.cut_after = 15_000_000
    runs = [kbvqa(hub, tmp_path / "data", "get", "m2kr-okvqa") for _ in range(2)]

    assert runs[-1].returncode == 0, runs[-1].stderr
    ranged = [wanted for wanted in hub.ranges if wanted]
    assert len(ranged) == 1
    assert int(ranged[0].removeprefix("bytes=").rstrip("-")) >= 10_000_000
    large = tmp_path / "data" / "m2kr" / "OKVQA_data" / "large-00000-of-00001.parquet"
    assert large.read_bytes() == hub.files["OKVQA_data/large-00000-of-00001.parquet"]


def test_what_arrives_damaged_is_not_kept_under_its_name(hub: Hub, tmp_path: Path) -> None:
    hub.damage = True
    done = kbvqa(hub, tmp_path / "data", "get", "m2kr-okvqa")

    assert done.returncode == 1
    assert "SHA-256" in done.stderr
    assert list((tmp_path / "data").rglob("OKVQA_*/*.parquet")) == []
    assert len(list((tmp_path / "data").rglob("OKVQA_*/*.damaged"))) == 1
    hub.damage = False
    assert kbvqa(hub, tmp_path / "data", "get", "m2kr-okvqa").returncode == 0


def test_a_file_whose_check_was_interrupted_is_checked_again(hub: Hub, tmp_path: Path) -> None:
    """It has the right name and size, and nothing says that its hash was right."""
    root = tmp_path / "data"
    (name,) = (n for n in hub.files if n.startswith("OKVQA_data/test"))
    arrived = root / "m2kr" / name
    arrived.parent.mkdir(parents=True)
    arrived.write_bytes(bytes(len(hub.files[name])))
    assert kbvqa(hub, root, "get", "m2kr-okvqa").returncode == 0
    assert arrived.read_bytes() == hub.files[name]
    assert arrived.with_name(arrived.name + ".damaged").exists()


# The hub's client tries a refused connection again for twenty seconds.
@pytest.mark.parametrize("offline", [pytest.param("0", marks=pytest.mark.slow), "1"])
def test_without_a_hub_it_says_what_to_put_where(tmp_path: Path, offline: str) -> None:
    root = tmp_path / "data"
    done = kbvqa(None, root, "get", "m2kr-okvqa", HF_HUB_OFFLINE=offline, COLUMNS="300")

    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert f"Put these into {root / 'm2kr'}:\n  OKVQA_data/*.parquet" in done.stderr
    assert "https://huggingface.co/datasets/BByrneLab/" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dataset_that_the_hub_does_not_have(tmp_path: Path) -> None:
    done = kbvqa(None, tmp_path / "data", "get", "evqa-kb", COLUMNS="300")
    assert done.returncode == 1
    assert "encyclopedic_kb_wiki.json*  or  encyclopedic_kb_wiki.zip" in done.stderr
    done = kbvqa(None, tmp_path / "data", "get", "imagenet", COLUMNS="300")
    assert "there is no dataset 'imagenet'" in done.stderr

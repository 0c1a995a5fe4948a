"""The units of examples/systemd may do as little as the containers, and fit the command line."""

import re
import shlex
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from app.cli import CANNOT_START
from app.settings import PREFIX, Settings, secret_fields
from tests.doc_blocks import ROOT, parse

UNITS = sorted((ROOT / "examples" / "systemd").glob("*.service"))
COMMAND = "/opt/kbvqa/bin/kbvqa"
CONFINED = {
    **dict.fromkeys(
        (
            *("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "ProtectClock"),
            *("ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "RestrictRealtime"),
            *("ProtectKernelTunables", "ProtectControlGroups", "RestrictNamespaces"),
            *("RestrictSUIDSGID", "LockPersonality", "RemoveIPC"),
        ),
        "yes",
    ),
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "ProtectSystem": "strict",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "SystemCallArchitectures": "native",
    "UMask": "0077",
    "TasksMax": "2048",
}
units = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)


def service(unit: Path) -> dict[str, list[str]]:
    """Return what a unit sets of its service, each name with its values."""
    said: dict[str, list[str]] = defaultdict(list)
    part = unit.read_text(encoding="utf-8").partition("[Service]")[2].partition("[Install]")[0]
    for line in part.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            said[name].append(value)
    return said


def test_there_is_one_for_the_page_and_one_for_the_job() -> None:
    assert [unit.name for unit in UNITS] == ["kbvqa-index.service", "kbvqa.service"]


@units
def test_a_unit_may_do_little(unit: Path) -> None:
    said = service(unit)
    assert {name: said[name] for name in CONFINED} == {n: [v] for n, v in CONFINED.items()}
    assert said["SystemCallFilter"] == ["@system-service", "~@privileged"]
    assert said["User"] == said["Group"] == ["kbvqa"]
    assert said["MemoryMax"] and said["StateDirectory"] == ["kbvqa"]


@units
def test_what_is_run_and_set_exists(unit: Path) -> None:
    said = service(unit)
    [command, *arguments] = shlex.split(said["ExecStart"][0])
    assert command == COMMAND
    parse([argument.replace("/srv/kbvqa/passages.jsonl", __file__) for argument in arguments])
    known = {f"{PREFIX}{field}".upper() for field in Settings.model_fields}
    known |= {f"{PREFIX}{field}_FILE".upper() for field in secret_fields()}
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+(?==)", unit.read_text(encoding="utf-8")))
    assert named and named <= known
    assert f"KBVQA_HOME=/var/lib/{said['StateDirectory'][0]}" in " ".join(said["Environment"])


@units
def test_keys_are_credentials_and_never_in_plain(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    handed = set(re.findall(r"LoadCredential=(\w+):/etc/kbvqa/", text))
    for variable, value in re.findall(r"\b(\w*(?:KEY|TOKEN|SECRET)\w*)=(\S+)", text):
        assert variable.endswith("_FILE") and value.startswith("%d/"), variable
        assert value.removeprefix("%d/") in handed
    assert handed
    assert ("index-writes" in text, "index-reads" in text) == (
        (True, False) if unit.stem == "kbvqa-index" else (False, True)
    )


def test_the_page_is_started_again_but_not_in_vain_and_finishes_its_answers() -> None:
    said = service(UNITS[1])
    assert said["Restart"] == ["on-failure"]
    assert said["RestartPreventExitStatus"] == [str(CANNOT_START)]
    assert int(said["TimeoutStopSec"][0]) > Settings().stop_seconds
    assert said["KillMode"] == ["mixed"], "what builds is told by the page"
    assert "LoadCredential" in said, "a page that others reach asks for keys"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@units
def test_systemd_reads_a_unit_as_it_is_meant(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text(encoding="utf-8").replace(COMMAND, "/bin/true")
    (tmp_path / unit.name).write_text(text, encoding="utf-8")
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit.name],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"SYSTEMD_LOG_LEVEL": "warning", "PATH": "/usr/bin:/bin"},
    )
    # What it says of units of the machine itself is not about ours.
    about_it = [line for line in verified.stderr.splitlines() if unit.stem in line]
    assert not about_it and verified.returncode == 0, verified.stderr

"""Extras: what the core does without, and the sentence that says what to install."""

import ast
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from app.cli import app as cli
from app.commands import doctor
from app.errors import MissingExtra
from app.machine import extras

ROOT = Path(__file__).parents[4]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

IMPORTED_AS = {
    "opentelemetry-sdk": "opentelemetry.sdk",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry.exporter.otlp.proto.http",
}
PACKAGES = ("kbvqa", "corpus", "retriever", "generator", "app")
HIDDEN = {
    "gradio",
    "fastapi",
    "uvicorn",
    "prometheus_client",
    "mcp",
    "accelerate",
    "peft",
    "tensorflow",
}


def test_extras_are_those_of_pyproject() -> None:
    for extra, (packages, _) in extras.EXTRAS.items():
        declared = PROJECT["optional-dependencies"][extra]
        names = [Requirement(text).name for text in declared]
        assert [IMPORTED_AS.get(name, name.replace("-", "_")) for name in names] == list(packages)
        for package in packages:
            assert package not in {Requirement(text).name for text in PROJECT["dependencies"]}


def imported_at_once(path: Path, *, whole: bool = False) -> set[str]:
    """Return the packages, or whole names, that a file imports when it is itself imported."""
    found: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module))
    return found if whole else {name.partition(".")[0] for name in found}


def test_only_the_page_and_the_api_are_not_imported_without_them() -> None:
    """The wheel's test, tests/e2e/test_wheel.py, runs without them; this one is quick."""
    served = (ROOT / "app" / "web", ROOT / "app" / "api")

    def of_served(path: Path) -> bool:
        return any(path.is_relative_to(room) for room in served)

    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    needing = {path for path in files if imported_at_once(path) & HIDDEN}
    assert needing and all(of_served(path) for path in needing), needing
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in needing}
    for path in files:
        if not of_served(path):
            assert not imported_at_once(path, whole=True) & modules, path


@pytest.mark.parametrize(
    ("command", "hidden", "message"),
    [
        (["web"], ["gradio"], "`kbvqa web` needs gradio, not installed here: .*kbvqa\\[web\\]"),
        (
            ["train", "generator", ".", "--model", ".", "--out", "x"],
            ["accelerate", "peft"],
            "needs accelerate, peft, .*kbvqa\\[train\\]",
        ),
    ],
)
def test_a_command_says_which_extra_it_needs(
    monkeypatch: pytest.MonkeyPatch, command: list[str], hidden: list[str], message: str
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in hidden else name)
    with pytest.raises(MissingExtra, match=message):
        CliRunner().invoke(cli, command, catch_exceptions=False)


def test_doctor_says_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "peft" else name)
    finding = doctor._extras()
    assert not finding.ok and not finding.grave
    assert finding.state == "training (`kbvqa train retriever|generator`, `kbvqa study`) needs peft"
    assert finding.advice == "pip install 'kbvqa[train]'"

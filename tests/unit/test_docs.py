"""Every page: its commands and settings exist, its links lead somewhere, and it is not long."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from app.settings import PREFIX, Settings
from tests.doc_blocks import LANGUAGES, NEEDS, PAGES, ROOT, blocks, commands, kbvqa_arguments, parse

GUIDES = sorted((ROOT / "docs" / "guide").glob("*.md"))
LIMIT_WORDS = 900
# What is not this project's: its own documentation says how it is called.
ELSEWHERE = {
    "git",
    "curl",
    "vllm",
    "cp",
    "cd",
    "echo",
    ".",
    "mkdir",
    "chmod",
    "openssl",
    "kubectl",
    "helm",
    "useradd",
    "systemctl",
}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMPOSE = "".join((ROOT / n).read_text(encoding="utf-8") for n in ("compose.yaml", ".ci/run"))
TESTS = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
SETTINGS = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pages
def test_commands_are_those_that_there_are(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        assert block.language in LANGUAGES, f"```{block.language}"
        if block.language == "python" and page.name != "README.md":  # its program: test_api.py
            assert block.note in ("run", "served"), block.text
        if block.language != "sh":
            continue
        needs = block.note.removeprefix("needs: ").split(", ")
        assert block.note in ("run", "served") or set(needs) <= NEEDS.keys(), block.text
        for command in commands(block.text):
            for name in command.variables:
                assert not name.startswith(PREFIX) or name in SETTINGS, command.line
            if (arguments := kbvqa_arguments(command)) is not None:
                parse(arguments)
            elif command.words and command.words[0] not in {*ELSEWHERE, "export"}:
                assert_known(command.words, command.line)


def assert_known(words: list[str], line: str) -> None:
    """Fail unless what is run is a target, a module, a service or an extra of ours."""
    match words:
        case ["make", *rest]:
            for word in rest:
                name, is_variable, _ = word.partition("=")
                pattern = rf"^{name} [?:]?=" if is_variable else rf"^{name}:.*##"
                assert re.search(pattern, MAKEFILE, re.MULTILINE), line
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module) is not None, line
        case ["python", script, *_]:
            assert (ROOT / script).is_file(), line
        case ["docker", "compose", *rest]:
            for place, word in enumerate(rest):
                if word == "--profile":
                    assert f'profiles: ["{rest[place + 1]}"]' in COMPOSE, line
                if word == "-f":
                    assert (ROOT / rest[place + 1]).is_file(), line
        case ["docker", "build", "--build-arg", argument, *_]:
            dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
            assert f"ARG {argument.partition('=')[0]}" in dockerfile, line
        case ["docker", "push", _]:
            pass
        case ["python3.11" | "/opt/kbvqa/bin/pip", *_]:
            pass
        case [".venv/bin/supervisorctl", "--serverurl", url, "restart", part]:
            folder = ROOT / "examples" / "supervisor"
            socket = url.removeprefix("unix://")
            assert f"file={socket}" in (folder / "supervisord.ini").read_text("utf-8"), line
            assert f"[program:{part}]" in (folder / f"{part}.ini").read_text("utf-8"), line
        case ["requirements/install.sh", _, lock]:
            assert (ROOT / lock).is_file(), line
        case ["pip", "install", *rest]:
            for extra in re.findall(r"\[([a-z,]+)\]", " ".join(rest)):
                assert set(extra.split(",")) <= set(EXTRAS), line
            models = (ROOT / "requirements" / "models.txt").read_text("utf-8").splitlines()
            pinned = {word for word in rest if "==" in word}
            assert pinned <= set(models), line
        case _:
            pytest.fail(f"what is {words[0]}? {line}")


@pages
def test_settings_are_those_that_there_are(page: Path) -> None:
    for name in set(re.findall(rf"\b{PREFIX}[A-Z][A-Z0-9_]*[A-Z0-9]\b", page.read_text("utf-8"))):
        known = name in SETTINGS or f"{name}" in COMPOSE or f'"{name}"' in TESTS
        assert known, name


@pages
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path), target


@pages
def test_files_that_are_named_are_there(page: Path) -> None:
    folders = "app|benchmarks|corpus|docs|examples|generator|kbvqa|requirements|retriever|tests"
    names = re.findall(rf"(?:`|\s)((?:{folders})/[\w./*-]+\w/?)", page.read_text("utf-8"))
    for name in names:
        assert list(ROOT.glob(name)), name


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings have."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def test_pages_that_code_names_are_there() -> None:
    packages = ("app", "corpus", "generator", "kbvqa", "retriever", "benchmarks", "tests")
    files = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    named = 0
    for path in [*files, ROOT / "Makefile", ROOT / "compose.yaml", ROOT / "pyproject.toml"]:
        for page in re.findall(r"docs/[\w/-]+\.(?:md|png)", path.read_text("utf-8")):
            assert (ROOT / page).is_file(), f"{path.relative_to(ROOT)}: {page}"
            named += 1
    assert named > 10


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_guide_is_read_in_one_sitting(page: Path) -> None:
    shown = re.sub(r"<!--.*?-->", "", page.read_text("utf-8"))
    words = [word for word in shown.split() if re.search(r"\w", word)]
    assert len(words) <= LIMIT_WORDS


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs" / "measured").glob("*.md")), ids=lambda page: page.stem
)
def test_figures_say_how_when_and_where_they_were_made(page: Path) -> None:
    if page.stem in ("README", "gpu"):  # the notes; and what no GPU has run yet
        return
    head = " ".join(page.read_text("utf-8").partition("\n|")[0].split())
    assert re.search(r"`(make|kbvqa|python -m) [^`]+`", head), "which command?"
    assert re.search(r"\b20\d\d-\d\d-\d\d\b", head), "when?"
    assert re.search(r"AMD|Intel|NVIDIA|Apple", head), "where?"


def test_nothing_is_promised_that_a_page_has_not() -> None:
    assert {page.stem for page in GUIDES} >= {
        *("quickstart", "python", "index", "evaluate", "train", "answer", "deploy"),
    }
    recipes = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for page in (ROOT / "docs" / "contributing").iterdir():
        assert f"](docs/contributing/{page.name})" in recipes
    listed = (ROOT / "docs" / "measured" / "README.md").read_text("utf-8")
    for page in (ROOT / "docs" / "measured").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in listed, page.name

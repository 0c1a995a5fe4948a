"""compose.yaml in real containers: what it starts, what it closes, and what lives on.

`make test-containers` runs it, as root, with podman and podman-compose. It builds the image from
Dockerfile, on a base image python:3.11-slim that must be there; what stands in for the images of
Qdrant and vLLM is built too. KBVQA_TEST_BUILD gives arguments to `podman build`, for a mirror of
packages.
"""

import re

import pytest

from tests.containers.project import Project, podman, until

pytestmark = pytest.mark.containers


def test_the_page_answers_from_the_index_server_under_keys(page: Project) -> None:
    assert page.get("/v1/models", key=None)[0] == 401
    assert page.get("/v1/models", key="not-one-of-the-keys")[0] == 401
    found = page.asked()
    assert "factbook:KE:Country name and capital" in {hit["passage_id"] for hit in found["hits"]}
    assert found["answer"] and found["saw_picture"] and found["citations"]


def test_the_page_cannot_write_the_index_and_the_job_can(page: Project) -> None:
    words = ("build", "/files/passages.jsonl", "--index", "http://qdrant:6333/other")
    assert "refuses the key" in page.job("index", *words, service="app")
    assert "passages" in page.job(*words) and page.held("other") == page.held("passages")


@pytest.mark.parametrize("service", ["app", "qdrant", "vllm"])
def test_a_health_check_finds_a_server_well(page: Project, service: str) -> None:
    assert page.healthy(service)


@pytest.mark.parametrize(
    ("service", "user"), [("app", "10001"), ("qdrant", "1000"), ("vllm", "2000")]
)
def test_a_container_may_do_little(page: Project, service: str, user: str) -> None:
    assert page.inside(service, "id -u") == user
    status = page.inside(service, "cat /proc/self/status")
    assert re.search(r"CapEff:\s*0+$", status, re.MULTILINE), "no capabilities"
    assert re.search(r"NoNewPrivs:\s*1$", status, re.MULTILINE)
    for place in ("/", "/opt", "/etc", "/usr/bin"):
        assert "ead-only" in page.inside(service, f"touch {place}/mine"), place
    assert page.inside(service, "touch /tmp/mine") == ""
    assert not re.search("pip", page.inside("app", "ls /opt/kbvqa/bin"))


def test_keys_are_in_files_and_not_in_the_environment(page: Project) -> None:
    shown = "".join(podman("inspect", page.container(name)) for name in ("app", "qdrant", "vllm"))
    assert not [name for name, key in page.keys.items() if key in shown]
    assert "KBVQA_API_KEYS_FILE" in shown


@pytest.mark.parametrize("service", ["qdrant", "vllm"])
def test_a_server_beside_the_page_is_reached_from_its_network_alone(
    page: Project, service: str
) -> None:
    assert podman("port", page.container(service), check=False) == ""
    assert not ways_outside(page, service)
    assert ways_outside(page, "app"), "checkpoints of the hub"


def ways_outside(page: Project, service: str) -> list[str]:
    """Return the routes of a container to what is not on its networks."""
    routes = page.inside(service, "cat /proc/net/route").splitlines()[1:]
    return [route for route in routes if route.split()[1] == "00000000"]


def test_an_index_server_that_stands_still_is_told_and_comes_back(page: Project) -> None:
    podman("pause", page.container("qdrant"))
    try:
        until(lambda: page.get("/readyz")[0] == 503, "that the index is away is not told")
        assert page.get("/healthz")[0] == 200
    finally:
        podman("unpause", page.container("qdrant"))
    until(lambda: page.get("/readyz")[0] == 200, "it does not come back")
    page.asked()

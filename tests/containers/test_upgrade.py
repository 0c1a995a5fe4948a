"""The volumes go from one version to the next, and nothing is built or encoded again."""

import json

import pytest

from tests.containers.conftest import IMAGE, PASSAGES, ids
from tests.containers.project import NEXT_VERSION, VERSION, Project, podman

pytestmark = pytest.mark.containers

# A release that differs in nothing but its number.
NEXT = f"""\
FROM {IMAGE}
USER root
RUN sed -i 's/^Version: .*/Version: {NEXT_VERSION}/' \\
    /opt/kbvqa/lib/python3*/site-packages/kbvqa-*.dist-info/METADATA
USER 10001
"""
OPINION = """\
from app.feedback.opinion import Opinion
from app.feedback.store import FeedbackStore
from app.settings import load_settings
store = FeedbackStore(load_settings().feedback_path)
store.add(Opinion("0123456789abcdef" * 2, "up", "What is the capital?", "Nairobi"))
"""
STATE = """\
find /var/lib/kbvqa -type f ! -name '*.sqlite3*' ! -path '*/cache/*' -printf '%P %s %T@\\n' | sort
"""


def test_a_new_version_finds_answers_feedback_and_index_as_they_were(page: Project) -> None:
    page.inside("app", f"python - <<'END'\n{OPINION}END")
    before, state = page.asked(), page.inside("app", STATE)
    assert f"kbvqa {VERSION}" in page.inside("app", "kbvqa --version")
    page.compose("down")
    podman("build", "-t", IMAGE.replace(VERSION, NEXT_VERSION), "-f", "-", stdin=NEXT)
    page.write(NEXT_VERSION)
    page.start()
    assert f"kbvqa {NEXT_VERSION}" in page.inside("app", "kbvqa --version")
    after = page.asked()
    assert after["answer"] == before["answer"] and after["hits"] == before["hits"]
    assert page.held("passages") == ids(PASSAGES)
    [opinion] = json.loads(page.inside("app", "kbvqa feedback list --json"))
    assert (opinion["verdict"], opinion["answer"]) == ("up", "Nairobi")
    assert page.inside("app", STATE) == state != "", "nothing is built again"

"""The server under fire, of the demo's model and a part of its passages."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.components import open_checkpoint
from app.settings import MINI, Settings
from corpus.files.passages import write_passages
from retriever.building.build import build_index
from retriever.engines.connection import QdrantConnection
from tests.chaos.asked import Questions
from tests.chaos.service import Service
from tests.e2e.conftest import home as home
from tests.e2e.conftest import small_corpus

SEED = int(os.environ.get("KBVQA_TEST_SEED", "1"))
PASSAGES = 60


@contextmanager
def started(
    home: Path, folder: Path, questions: int, **environment: str
) -> Iterator[tuple[Service, Questions]]:
    """Give a service on an index of the small corpus, and questions of which it learned what is
    right."""
    with Service(home, folder, SEED, **environment) as service:
        _build(service, home, folder)
        service.start()
        asked = Questions(questions)
        asked.learn(service.url)
        yield service, asked


def _build(service: Service, home: Path, folder: Path) -> None:
    path = folder / "passages.jsonl"
    write_passages(path, small_corpus(PASSAGES))
    connection = QdrantConnection(grpc_port=service.index.links[1].port)
    checkpoint = open_checkpoint(Settings(home=home, checkpoint=MINI))
    place = service.location("asked")
    build_index(path, place, checkpoint, lambda done, total: None, connection=connection)

"""The main job on real input: real pictures and passages, kbvqa-mini, the extractive reader.

The index holds a slice of the demo corpus, so that it is built in seconds.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.components import open_checkpoint, open_index
from app.pipeline import Pipeline
from app.settings import Settings
from corpus.benchmarks.demo import demo_examples
from corpus.demo.data import demo_dir, demo_passages_path, example_gallery, example_image_path
from corpus.files.passages import read_passages, write_passages
from corpus.pictures.images import load_image
from corpus.types import Query
from retriever.building.build import build_index
from retriever.encoding.encoder import Encoder
from retriever.metrics import recall_at_k

pytestmark = pytest.mark.slow

COUNTRIES = {"flag:FR", "flag:JP", "flag:BR", "flag:KE", "flag:NP", "flag:CA", "flag:IN", "flag:ZA"}


@pytest.fixture(scope="module")
def index_location(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    gold = {id_ for example in example_gallery() for id_ in example.gold_passage_ids}
    gold |= {i for e in demo_examples("emoji", per_picture=1) for i in e.gold_passage_ids}
    wanted = [
        p for p in read_passages(demo_passages_path()) if p.entity in COUNTRIES or p.id in gold
    ]
    folder = tmp_path_factory.mktemp("slice")
    write_passages(folder / "slice.jsonl", wanted)
    checkpoint = open_checkpoint(Settings(home=home))
    build_index(folder / "slice.jsonl", folder / "index", checkpoint, lambda done, total: None)
    return folder / "index"


def test_ask_answers_and_cites_from_the_command_line(home: Path, index_location: Path) -> None:
    example = next(e for e in example_gallery() if e.gold_passage_ids[0].startswith("wiki:"))
    clean = {k: v for k, v in os.environ.items() if not k.startswith("KBVQA_")}
    run = subprocess.run(
        [
            *(sys.executable, "-m", "kbvqa", "ask", str(example_image_path(example))),
            *(example.question, "--json", "--top-k", "4", "--index", str(index_location)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**clean, "KBVQA_HOME": str(home), "HF_HUB_OFFLINE": "1"},
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert result["answer"].strip()
    ids = [hit["passage_id"] for hit in result["hits"]]
    assert len(ids) == 4
    assert result["citations"] and set(result["citations"]) <= set(ids)
    assert set(example.gold_passage_ids) & set(ids)
    assert (result["generator"].partition("@")[0], result["strategy"]) == (
        "kbvqa-reader",
        "extract",
    )
    assert result["confidence"] is not None, "the shipped calibration fits the shipped models"
    assert result["checkpoint"].startswith("kbvqa-mini@")


def test_the_validation_vendor_is_recognised(home: Path, index_location: Path) -> None:
    """A floor far under the measured figures: it fails when weights and code part ways."""
    checkpoint = open_checkpoint(Settings(home=home))
    examples = demo_examples("emoji", per_picture=1)[::6]
    with open_index(index_location, checkpoint) as index:
        pipeline = Pipeline(Encoder(checkpoint), index, None)

        def recall_at_5(with_picture: bool) -> float:
            found = []
            for example in examples:
                image = load_image(demo_dir() / example.image) if with_picture else None
                hits = pipeline.retrieve(Query(example.question, image), 5).hits
                ids = [hit.passage.id for hit in hits]
                found.append(recall_at_k(ids, example.gold_passage_ids, 5))
            return sum(found) / len(found)

        assert recall_at_5(with_picture=True) > 0.7
        assert recall_at_5(with_picture=False) < 0.2

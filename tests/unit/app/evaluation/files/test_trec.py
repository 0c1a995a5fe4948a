"""TREC files: what trec_eval and ranx make of them is what we report."""

import json
from pathlib import Path

import numpy as np

from app.evaluation.files.trec import trec_id, write_qrels, write_run
from app.evaluation.record import RetrievalRow
from corpus.types import Example
from retriever.metrics import recall_at_k
from tests.golden_cases import GOLDEN

CASES = json.loads((GOLDEN / "trec.json").read_text())
ROWS = [
    RetrievalRow(row["id"], "", tuple((id_, score) for id_, score in row["hits"]))
    for row in CASES["rows"]
]


def test_our_recall_is_what_trec_eval_and_ranx_give() -> None:
    for k in (1, 5, 10, 20):
        ours = {
            row.id: recall_at_k([id_ for id_, _ in row.hits], CASES["gold"][row.id], k)
            for row in ROWS
        }
        assert np.isclose(sum(ours.values()) / len(ours), CASES["ranx_hit_rate"][str(k)])
        for id_, value in ours.items():
            theirs = CASES["pytrec_eval_success"][trec_id(id_)]
            assert k == 20 or value == theirs[str(k)]


def test_files_are_as_the_tools_read_them(tmp_path: Path) -> None:
    write_run(tmp_path / "run.trec", ROWS, "tag")
    ties = 0
    last: tuple[str, float] = ("", 0.0)
    for line in (tmp_path / "run.trec").read_text().splitlines():
        query, q0, passage, rank, score, tag = line.split(" ")
        assert (q0, tag) == ("Q0", "tag")
        row = next(row for row in ROWS if trec_id(row.id) == query)
        id_, given = row.hits[int(rank) - 1]
        assert passage == trec_id(id_)
        assert abs(float(score) - given) < 1e-4
        if query == last[0]:  # as trec_eval keeps them: every score under the one before
            assert np.float32(float(score)) < np.float32(last[1])
            ties += given == row.hits[int(rank) - 2][1]
        last = (query, float(score))
    assert ties > 50
    examples = [Example("a b", "", "?", (), ("p 1", "p 1", "50%")), Example("c", "", "?")]
    write_qrels(tmp_path / "qrels.trec", examples)
    assert (tmp_path / "qrels.trec").read_text() == "a%20b 0 p%201 1\na%20b 0 50%25 1\n"

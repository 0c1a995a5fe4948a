"""The retriever in MTEB: any of its retrieval tasks, with pictures or without.

pip install mteb
python examples/harnesses/mteb_search.py questions.jsonl pictures/ passages.jsonl

`KbvqaSearch` is MTEB's SearchProtocol around the encoder and an index. Run as a program it measures
example files of your own as an MTEB task. Written for mteb 2.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import mteb
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.model_meta import ModelMeta

from corpus.examples import read_examples
from corpus.files.passages import read_passages
from corpus.pictures.images import load_image
from kbvqa import Encoder, Passage, PassageIndex, Query


class KbvqaSearch:
    """A checkpoint that indexes a task's corpus and searches it with the task's queries."""

    def __init__(self, checkpoint: str = "kbvqa-mini") -> None:
        self.encoder = Encoder.from_pretrained(checkpoint)
        self.folder = tempfile.TemporaryDirectory()
        self.passages: PassageIndex | None = None

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """What MTEB writes down of the model."""
        checkpoint = self.encoder.checkpoint
        unknown: Any = None
        return ModelMeta.create_empty(
            {
                "name": f"kbvqa/{checkpoint.id.partition('@')[0].rpartition('/')[2]}",
                "revision": checkpoint.revision,
                "modalities": ["text", "image"],
                "similarity_fn_name": "MaxSim",
                "framework": ["PyTorch"],
                "release_date": unknown,
            }
        )

    def index(self, corpus: Any, *, hf_split: str, hf_subset: str, **_: Any) -> None:
        """Index a corpus of {id, title, text}."""
        rows = (Passage(row["id"], row.get("title") or "", passage_text(row)) for row in corpus)
        if self.passages is not None:
            self.passages.close()
        location = Path(self.folder.name) / f"{hf_subset}-{hf_split}"
        self.passages = PassageIndex.build(location, rows, self.encoder)

    def search(self, queries: Any, *, top_k: int, **_: Any) -> dict[str, dict[str, float]]:
        """Return {query id: {passage id: score}} for queries of {id, text, image}."""
        assert self.passages is not None
        found: dict[str, dict[str, float]] = {}
        for row in queries:
            query = Query(row.get("text") or "", row.get("image"))
            hits = self.passages.search(self.encoder.encode_query(query), top_k)
            found[row["id"]] = {hit.passage.id: hit.score for hit in hits}
        return found


def passage_text(row: dict[str, Any]) -> str:
    """Return the text of a row of a corpus, its title in front."""
    title, text = row.get("title") or "", row.get("text") or ""
    return text if not title or text.startswith(title) else f"{title}. {text}"


class OwnTask(AbsTaskRetrieval):
    """Questions about pictures and a corpus, from files of one's own."""

    metadata = TaskMetadata(
        name="KbvqaOwn",
        description="Questions about pictures that passages answer.",
        dataset={"path": "own", "revision": "1"},
        type="Any2AnyRetrieval",
        category="it2t",
        modalities=["text", "image"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="recall_at_5",
    )
    questions = pictures = corpus = Path()

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        """Read the files."""
        examples = [e for e in read_examples(self.questions) if e.gold_passage_ids and e.image]
        passages = list(read_passages(self.corpus))
        queries = [
            {"id": e.id, "text": e.question, "image": load_image(self.pictures / e.image)}
            for e in examples
        ]
        corpus = [{"id": p.id, "title": p.title, "text": p.text} for p in passages]
        split = {
            "corpus": Dataset.from_list(corpus),
            "queries": Dataset.from_list(queries),
            "relevant_docs": {e.id: dict.fromkeys(e.gold_passage_ids, 1) for e in examples},
            "top_ranked": None,
        }
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True


def main(questions: str, pictures: str, corpus: str) -> None:
    """Print recall and nDCG as MTEB measures them."""
    task = OwnTask()
    task.questions, task.pictures, task.corpus = Path(questions), Path(pictures), Path(corpus)
    results = mteb.evaluate(KbvqaSearch(), tasks=[task], cache=None)
    (scores,) = results.task_results[0].scores["test"]
    for name in ("recall_at_1", "recall_at_5", "recall_at_10", "ndcg_at_10"):
        print(f"{name:<14} {scores[name]:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A kbvqa server in lmms-eval: any of its tasks that asks about one picture and wants few words.

kbvqa web --index my-index
pip install lmms-eval "filelock<4"
python examples/harnesses/lmms_ask.py http://127.0.0.1:7860 ok_vqa_val2014_lite
python examples/harnesses/lmms_ask.py http://127.0.0.1:7860 questions.jsonl pictures/

`KbvqaServer` is one of lmms-eval's models: each question goes to /v1/ask. The question is the one
that the task's row holds where it holds one: what a task writes around it is meant for models that
write, and would be searched for. With a file of your own in place of a task's name, exact_match is
whether the answer is one of the right ones, whatever its case. Written for lmms-eval 0.7.
"""

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict
from lmms_eval.api.model import lmms
from lmms_eval.api.task import ConfigurableTask
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.tasks import TaskManager
from PIL.Image import Image

from app.asking.remote import ask_server
from corpus.examples import read_examples
from corpus.pictures.images import load_image


class KbvqaServer(lmms):
    """A server that `kbvqa web` runs, asked `at_once` questions at a time."""

    def __init__(self, url: str, at_once: int = 4) -> None:
        super().__init__()
        self.url, self.at_once = url, at_once

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Return the server's answers; "" where it gives none.

        Raises:
            ServerRefused, ServerUnavailable: the server did not take a question.
            ValueError: a question has no picture, or several.
        """
        with ThreadPoolExecutor(self.at_once) as threads:
            return list(threads.map(self._ask, (request.args for request in requests)))

    def _ask(self, arguments: tuple[Any, ...]) -> str:
        context, _, doc_to_visual, number, task, split = arguments
        row = self.task_dict[task][split][number]
        pictures = doc_to_visual(row)
        if len(pictures) != 1:
            raise ValueError(
                f"{task}, row {number}: {len(pictures)} pictures, and one can be asked"
            )
        return self._answer(row.get("question") or context, pictures[0])

    def _answer(self, question: str, picture: Image) -> str:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            picture.convert("RGB").save(file, "PNG")
            file.flush()
            said = ask_server(self.url, Path(file.name), {"question": question})
        return said["answer"] or ""

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Raise NotImplementedError: a server's answers have no likelihood here."""
        raise NotImplementedError("kbvqa answers; give a task that generates")

    def generate_until_multi_round(self, requests: list[Any]) -> list[str]:
        """Raise NotImplementedError: each question is asked alone here."""
        raise NotImplementedError("each question is asked alone here; give a task of one round")


class OwnQuestions(ConfigurableTask):
    """An example file of one's own as a task."""

    def __init__(self, questions: Path, pictures: Path) -> None:
        self.questions, self.pictures = questions, pictures
        super().__init__(
            config={
                "task": "kbvqa_own",
                "dataset_path": "own",
                "test_split": "test",
                "output_type": "generate_until",
                "doc_to_visual": lambda row: [load_image(pictures / row["image"])],
                "doc_to_text": lambda row: row["question"],
                "doc_to_target": lambda row: row["answers"][0],
                "process_results": matched,
                "metric_list": [
                    {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
                ],
            }
        )

    def download(self, dataset_kwargs: Any = None) -> None:
        """Read the file in place of a dataset of the hub."""
        rows = [
            {"image": example.image, "question": example.question, "answers": list(example.answers)}
            for example in read_examples(self.questions)
            if example.answers and example.image
        ]
        self.dataset = self.dataset_no_image = DatasetDict({"test": Dataset.from_list(rows)})


def matched(row: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Return whether the answer is a right one, whatever its case."""
    answer = results[0].strip().casefold()
    return {"exact_match": float(answer in {right.strip().casefold() for right in row["answers"]})}


def main(url: str, task: str, pictures: str = "") -> None:
    """Print what lmms-eval measures."""
    asked = OwnQuestions(Path(task), Path(pictures)) if pictures else task
    manager = TaskManager(include_defaults=not pictures)
    found = simple_evaluate(KbvqaServer(url), tasks=[asked], task_manager=manager)
    for name, figures in found["results"].items():
        print(name, {key: value for key, value in figures.items() if key != "alias"})


if __name__ == "__main__":
    main(*sys.argv[1:])

"""M2KR (Lin et al. 2024): nine retrieval tasks, as the hub's parquet files have them.

    ROOT/OKVQA_data/test-00000-of-00001.parquet                  questions
    ROOT/OKVQA_passages/test_passages-00000-of-00001.parquet     their passages: a corpus

What is known to be wrong in the files is handled here, and told: rows of InfoSeek from before June
2024 whose question has the instruction in it already, answers that are empty and so are contained
in every passage, and splits that are the same as another.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.benchmarks.answer_text import listed
from corpus.errors import DatasetNotFound, InvalidField, InvalidRecord
from corpus.files.folders import require_whole
from corpus.files.parquet import ParquetRows, row_unit
from corpus.files.text_set import TextSet
from corpus.types import Example

HUB_ID = "BByrneLab/multi_task_multi_modal_knowledge_retrieval_benchmark_M2KR"


@dataclass(frozen=True, slots=True)
class M2krDataset:
    """One of the datasets.

    Attributes:
        config: its folders are {config}_data and {config}_passages.
        task: "I2T", "Q2T" or "IQ2T": what finds what.
        metric: the one that papers report: "recall" or "pseudo_recall".
        k: at which K.
        splits: those with questions.
    """

    config: str
    task: str
    metric: str
    k: int
    splits: tuple[str, ...] = ("train", "valid", "test")


DATASETS = {
    "wit": M2krDataset("WIT", "I2T", "recall", 10),
    "iglue": M2krDataset("IGLUE", "I2T", "recall", 1, ("test",)),
    "kvqa": M2krDataset("KVQA", "I2T", "recall", 5),
    "cc": M2krDataset("CC", "I2T", "recall", 10, ("train",)),
    "msmarco": M2krDataset("MSMARCO", "Q2T", "recall", 5),
    "oven": M2krDataset("OVEN", "IQ2T", "recall", 5),
    "llava": M2krDataset("LLaVA", "IQ2T", "recall", 1, ("train", "test")),
    "okvqa": M2krDataset("OKVQA", "IQ2T", "pseudo_recall", 5),
    "infoseek": M2krDataset("Infoseek", "IQ2T", "pseudo_recall", 5, ("train", "test")),
    "evqa": M2krDataset("EVQA", "IQ2T", "pseudo_recall", 5),
}


@dataclass(frozen=True, slots=True)
class M2krExample(Example):
    """A query of M2KR. `answers` are the ones that are not empty.

    Attributes:
        empty_answers: how many answers were left out because they match every passage.
        doubled_instruction: whether the instruction was taken off the question.
        question_type: of E-VQA's questions; "" for others.
    """

    empty_answers: int = 0
    doubled_instruction: bool = False
    question_type: str = ""

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the answers with commas between the parts of E-VQA's lists.

        What is searched for stays as it is: the released evaluator looks for "cat&&dog".
        """
        if self.question_type != "multi_answer":
            return self.answers
        return tuple(", ".join(listed(answer)) for answer in self.answers)


def read_m2kr(root: Path, name: str, split: str = "test") -> Iterator[M2krExample]:
    """Yield the queries of a split.

    Args:
        root: the folder that holds {config}_data, or that folder itself.
        name: one of DATASETS.
        split: "train", "valid" or "test", where the dataset has it.

    Raises:
        DatasetNotFound: there is no such dataset, split or file.
        CorpusError: a file is damaged or lacks a column.
        InvalidRecord: a row cannot be used, or its question_id is an earlier one's.
    """
    required = ("question_id", "instruction", "pos_item_ids")
    optional = ("question", "img_path", "answers", "question_type")
    ids = TextSet()
    for path in data_files(root, name, split):
        for (group, number), row in ParquetRows(path, required, optional).read():
            try:
                example = _example(row)
                if not ids.add(example.id):
                    raise InvalidField(
                        "question_id", f"{example.id!r} is already the id of an earlier question"
                    )
            except InvalidField as exc:
                unit = row_unit(group)
                raise InvalidRecord(path, number, exc.field, str(exc), unit=unit) from exc
            yield example


def data_files(root: Path, name: str, split: str) -> list[Path]:
    """Return the files of a split in order. Raises DatasetNotFound."""
    if name not in DATASETS:
        raise DatasetNotFound(f"M2KR has no dataset {name!r}; it has {', '.join(DATASETS)}")
    dataset = DATASETS[name]
    if split not in dataset.splits:
        known = ", ".join(dataset.splits)
        raise DatasetNotFound(f"M2KR's {name} has no split {split!r}; it has {known}")
    folder = root / f"{dataset.config}_data"
    if not folder.is_dir():
        folder = root
    files = sorted(folder.glob(f"{split}-*-of-*.parquet"))
    if not files:
        raise DatasetNotFound(
            f"{folder} has no {split}-*.parquet: `kbvqa data get m2kr-{name}` fetches them, and "
            "`kbvqa data status` says where they belong"
        )
    require_whole(files)
    return files


def same_questions_as(root: Path, name: str, split: str) -> str:
    """Return another split that has the very same question ids, or ""."""
    count = _count(root, name, split)
    for other in DATASETS[name].splits:
        try:
            alike = other != split and _count(root, name, other) == count
        except DatasetNotFound:
            continue
        if alike and _question_ids(root, name, other) == _question_ids(root, name, split):
            return other
    return ""


def _example(row: Mapping[str, Any]) -> M2krExample:
    instruction = _text(row, "instruction", required=False).strip()
    question, doubled = _without_instruction(_text(row, "question", required=False), instruction)
    answers = _list(row, "answers")
    image = _text(row, "img_path", required=False)
    return M2krExample(
        id=_text(row, "question_id"),
        image=image,
        question=question,
        answers=tuple(answer for answer in answers if answer.strip()),
        gold_passage_ids=_list(row, "pos_item_ids"),
        instruction=instruction,
        black_image=not image,
        empty_answers=sum(not answer.strip() for answer in answers),
        doubled_instruction=doubled,
        question_type=_text(row, "question_type", required=False),
    )


def _without_instruction(question: str, instruction: str) -> tuple[str, bool]:
    """Return a question without the instruction before it, and whether there was one."""
    bare = instruction.rstrip(": ")
    if bare and question.strip().startswith(bare):
        return question.strip().removeprefix(bare).lstrip(": "), True
    return question, False


def _text(row: Mapping[str, Any], name: str, *, required: bool = True) -> str:
    value = row.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise InvalidField(name, f"must be text, not {value!r:.40}")
    if required and not value.strip():
        raise InvalidField(name, "empty")
    return value


def _list(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = row.get(name)
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidField(name, f"must be a list of texts, not {values!r:.40}")
    return tuple(values)


def _count(root: Path, name: str, split: str) -> int:
    return sum(len(ParquetRows(path, ("question_id",))) for path in data_files(root, name, split))


def _question_ids(root: Path, name: str, split: str) -> list[str]:
    return [
        row["question_id"]
        for path in data_files(root, name, split)
        for _, row in ParquetRows(path, ("question_id",)).read()
    ]

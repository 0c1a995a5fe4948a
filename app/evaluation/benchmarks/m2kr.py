"""M2KR as benchmarks: retrieval, and answers where the dataset has some to score."""

import re
from collections.abc import Sequence
from pathlib import Path

from app.evaluation.benchmarks.benchmark import AnswerScores, Benchmark, vqa_scores
from corpus.benchmarks import evqa, infoseek, m2kr
from corpus.errors import DatasetNotFound

_DATA_ID = re.compile(r"infoseek_(train|val)_\d+")


def read_m2kr(
    name: str,
    folder: Path,
    split: str,
    *,
    bem: evqa.Bem | None = None,
    weights: str = "",
    infoseek_folder: Path | None = None,
) -> Benchmark:
    """Return one of M2KR's datasets, of which OK-VQA, InfoSeek and E-VQA have answers to score.

    Args:
        name: one of m2kr.DATASETS.
        folder: M2KR's.
        split: of the dataset.
        bem: for "evqa", as for `read_evqa`.
        weights: likewise.
        infoseek_folder: where InfoSeek's own files lie, if they do: they have the types and
            ranges that M2KR's rows lack.
    """
    dataset = m2kr.DATASETS[name]
    examples = list(m2kr.read_m2kr(folder, name, split))
    notes = []
    if same := m2kr.same_questions_as(folder, name, split):
        notes.append(f"its {same} split has the same questions")
    if doubled := sum(example.doubled_instruction for example in examples):
        notes.append(
            f"{doubled:,} questions had the instruction in them, as in files from before June "
            "2024; it was taken off"
        )
    if empty := sum(bool(example.empty_answers) for example in examples):
        notes.append(
            f"{empty:,} questions have empty answers, which every passage contains; they are left "
            "out of pseudo_recall"
        )
    if lists := sum(example.targets != example.answers for example in examples):
        notes.append(
            f"{lists:,} questions have lists for answers, which pseudo_recall looks for with the "
            '"&&" in them, as the released evaluator does'
        )
    scores, main, of_scores = _m2kr_scores(name, examples, bem, infoseek_folder)
    return Benchmark(
        f"m2kr-{name}/{split}",
        examples,
        scores,
        notes=(*notes, *of_scores),
        headline=f"{dataset.metric}@{dataset.k}",
        scoring=f"{main} {weights}".strip(),
        judged_by=main,
    )


def _m2kr_scores(
    name: str,
    examples: Sequence[m2kr.M2krExample],
    bem: evqa.Bem | None,
    infoseek_folder: Path | None,
) -> tuple[AnswerScores | None, str, tuple[str, ...]]:
    """Return how answers to one of M2KR's datasets are scored, by which name, and what of it a
    reader must know.
    """
    if name == "okvqa":
        # Annotators who gave nothing count in the official score.
        return (
            lambda example, answer: vqa_scores(
                answer, (*example.answers, *[""] * example.empty_answers)
            ),
            "vqa_accuracy",
            (),
        )
    if name == "evqa":
        main = "evqa_exact_match" if bem is None else "evqa_accuracy"
        note = () if bem is not None else ("without BEM: a lower bound of the official score",)
        return (
            lambda example, answer: {
                main: evqa.score(
                    example.question,
                    example.answers,
                    answer,
                    example.question_type or "automatic",
                    bem,
                )
            },
            main,
            note,
        )
    if name != "infoseek":
        return None, "", ()
    if infoseek_folder is not None and (official := _infoseek_of(examples, infoseek_folder)):
        return (
            lambda example, answer: {
                "infoseek_accuracy": infoseek.score(
                    answer, official[example.id].answer_eval, official[example.id].question_type
                )
            },
            "infoseek_accuracy",
            ("answers are scored by the ranges and types of InfoSeek's own files",),
        )
    return (
        lambda example, answer: {
            "infoseek_exact_match": infoseek.score(answer, example.answers, "String")
            if example.answers
            else 0.0
        },
        "infoseek_exact_match",
        (
            "M2KR's rows have no ranges: numbers are right only word for word, a lower bound of "
            "InfoSeek's accuracy; with its own files (`kbvqa data get infoseek`) it is the "
            "official one",
        ),
    )


def _infoseek_of(
    examples: Sequence[m2kr.M2krExample], folder: Path
) -> dict[str, infoseek.InfoSeekExample]:
    """Return the questions of InfoSeek's own files by M2KR's ids, which have the data_id in them;
    {} where files or questions are missing.
    """
    own: dict[str, infoseek.InfoSeekExample] = {}
    found = {example.id: _DATA_ID.search(example.id) for example in examples}
    for split in {match[1] for match in found.values() if match}:
        try:
            own |= {example.id: example for example in infoseek.read_infoseek(folder, split)}
        except DatasetNotFound:
            return {}
    official = {id_: own[match[0]] for id_, match in found.items() if match and match[0] in own}
    return official if len(official) == len(examples) else {}

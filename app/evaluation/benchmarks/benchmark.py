"""What a benchmark is, and the scores that several have.

A `Benchmark` is what `app.evaluation.run` measures. Its `answer_scores` gives official scores for
one answer; `summary` gives what is official only over the whole benchmark.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpus.benchmarks import okvqa
from corpus.benchmarks.demo_hand import YES_NO, HandExample
from corpus.types import Example
from generator.answers.parsing import contains, same_answer, words

Scores = dict[str, float]
AnswerScores = Callable[[Any, str], Scores]
Summary = Callable[[Mapping[str, str], Sequence[Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is asked, and what counts as right.

    Attributes:
        name: with the split, for example "m2kr-okvqa/test".
        examples: in order.
        answer_scores: of an example and an answer; None where only retrieval is measured.
        summary: of {id: answer} and the examples; None where means of scores are all there is.
        notes: what a reader of the figures must know of this data.
        headline: the score that papers report, of answers or of retrieval.
        judged_by: the answer score that says whether an answer is right.
        scoring: what else `answer_scores` depends on, such as the weights of BEM: answers that
            were scored with another are scored again.
    """

    name: str
    examples: Sequence[Example]
    answer_scores: AnswerScores | None = None
    summary: Summary | None = None
    notes: tuple[str, ...] = ()
    headline: str = ""
    scoring: str = ""
    judged_by: str = ""


def own_scores(example: Example, answer: str) -> Scores:
    """Return exact_match and contains, the scores of example files and the demo; {} for an
    example without answers.
    """
    if not example.answers:
        return {}
    return {
        "exact_match": exact_match(answer, example.answers),
        "contains": contains_match(answer, example.answers),
    }


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """Return 1.0 when the prediction has the words of an acceptable answer and no others.

    Case, accents and punctuation do not matter, nor articles unless there is nothing else.
    Signs and decimals of numbers do; marks between groups of digits do not.
    """
    return float(any(same_answer(prediction, answer) for answer in answers))


def contains_match(prediction: str, answers: Sequence[str]) -> float:
    """Return 1.0 when an answer's words stand in the prediction, or the other way round."""
    return float(any(contains(prediction, a) or contains(a, prediction) for a in answers))


def hand_scores(example: HandExample, answer: str) -> Scores:
    """Return `own_scores`; of an answer to a question for yes or no, whether it begins with the
    right one of the two.
    """
    if example.question_type != YES_NO:
        return own_scores(example, answer)
    right = float(words(answer).split()[:1] == list(example.answers))
    return {"exact_match": right, "contains": right}


def own_benchmark(
    name: str,
    examples: Sequence[Example],
    notes: Sequence[str] = (),
    scores: AnswerScores = own_scores,
) -> Benchmark:
    """Return a benchmark of our own, with our own scores."""
    main = "exact_match"
    return Benchmark(name, examples, scores, notes=tuple(notes), headline=main, judged_by=main)


def vqa_scores(answer: str, answers: Sequence[str]) -> Scores:
    """Return VQA accuracy in both variants."""
    return {
        "vqa_accuracy": okvqa.vqa_accuracy(answer, answers),
        "vqa_accuracy_lavis": okvqa.vqa_accuracy(answer, answers, "lavis"),
    }

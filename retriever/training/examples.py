"""What a retriever is trained on: questions with the passages that prove their answers.

    examples = training_examples(read_examples(Path("mine.jsonl")), ImageFolder(Path("pictures")))

Own example files (`corpus.examples`) and benchmarks (`corpus.benchmarks`) give the same nouns, so
both become training examples here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from corpus.pictures.store import ImageFolder
from corpus.types import Example


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """A question with passages that prove its answer, and with some that do not.

    Attributes:
        id: unique among those that are trained on.
        question: the text, without the instruction.
        instruction: what precedes the question; "" for the checkpoint's own.
        image: the picture's file; None for a question without one.
        positives: ids of passages that prove an answer; each is as good as another.
        negatives: ids of passages that are like a positive and prove nothing, hardest first.
        answers: texts of which a passage that proves an answer contains one; () where not known.
        dataset: which one it is from, for sampling and instructions; "" for one's own.
        black_image: whether a question without a picture is asked with a black one, as PreFLMR's
            text-only datasets are.
    """

    id: str
    question: str
    instruction: str
    image: Path | None
    positives: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    dataset: str = ""
    black_image: bool = False


def training_examples(
    examples: Iterable[Example], images: ImageFolder, dataset: str = ""
) -> list[TrainingExample]:
    """Return the examples that have a gold passage, in order; the others teach a retriever nothing.

    Args:
        examples: of an example file or a benchmark.
        images: where their pictures lie.
        dataset: what they are called, for example "m2kr-evqa".

    Raises:
        DatasetNotFound: pictures are missing; the message names the first.
    """
    kept = [example for example in examples if example.gold_passage_ids]
    found = images.require_all(example.image for example in kept if example.image)
    return [
        TrainingExample(
            id=example.id,
            question=example.question.strip(),
            instruction=example.instruction,
            image=found[example.image] if example.image else None,
            positives=example.gold_passage_ids,
            answers=example.searched,
            dataset=dataset,
            black_image=example.black_image,
        )
        for example in kept
    ]

"""`kbvqa train reader`: the demo's questions, or files of one's own, into an extractive reader."""

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.errors import InvalidTrainingData
from corpus.demo.epochs import DemoReading
from corpus.demo.reading import handwritten, split_of, spoken_questions
from corpus.passages.corpora import open_corpus
from corpus.reading import ReadingExample, excerpt, from_gold, read_squad, without_answer
from corpus.types import Example
from generator.training.spans import SpanRecipe, train_spans
from retriever.building.build import Advance, Say


def train_reader(
    out: Path,
    recipe: SpanRecipe,
    say: Say,
    advance: Advance,
    *,
    demo: bool,
    facts: int,
    leads: int | None = None,
    spoken: int | None = None,
    start: Path | None = None,
    squad: Sequence[Path] = (),
    examples: Iterable[Example] = (),
    passages: Path | None = None,
    words: int | None = None,
    unanswered: float = 0.0,
) -> list[dict[str, float]]:
    """Return the losses of each epoch; writes reader.safetensors and training.json to `out`.

    Args:
        out: a directory; the same call goes on where an interrupted one stopped.
        recipe: the settings of the training.
        say: told what is being done.
        advance: told how far it is.
        demo: train on the demo corpus.
        facts: of the demo's Factbook, asked for in an epoch.
        leads: of the demo's questions to leads, asked in an epoch; None for all.
        spoken: of those in everyday words; None for all.
        start: a reader that was trained before, to go on from.
        squad: further files in SQuAD's format.
        examples: questions with answers and gold passages, such as M2KR's.
        passages: a corpus with these passages.
        words: of a passage of `squad` or `examples` that is longer, about so many are read in an
            epoch, around the answer; None for all.
        unanswered: the share of the questions of `squad` and `examples` that are asked again, of
            their passage without the sentences that answer, others in each epoch.

    Raises:
        InvalidTrainingData: there is nothing to train on.
        TrainingMismatch: `out` holds another training, or a reader that this one did not write.
    """
    say("Reading the examples")
    own = [example for path in squad for example in read_squad(path)]
    if passages is not None:
        with open_corpus(passages).read() as stream:
            texts = {passage.id: passage.text for passage in stream}
        gold = list(from_gold([replace(e, answers=e.searched) for e in examples], texts))
        if not gold:
            raise InvalidTrainingData(
                f"no question of the benchmark has a gold passage in {passages} with its answer in "
                "it: give the corpus that its gold passages are of"
            )
        own += gold
    if not own and not demo:
        raise InvalidTrainingData(
            "no example has an answer that stands in its passage: give --squad, or --benchmark "
            "with --passages, or leave --no-demo out"
        )
    corpus = DemoReading(recipe.seed, facts=facts, leads=leads, spoken=spoken) if demo else None
    validation = _validation(corpus) if corpus is not None else own[: max(1, len(own) // 20)]
    if corpus is None:
        own = own[len(validation) :] or own
    data: dict[str, Any] = {
        "demo": {"facts": facts, "leads": leads, "spoken": spoken} if demo else None,
        "own": len(own),
        "own_sha256": hashlib.sha256(repr(own).encode()).hexdigest(),
    }

    if words is not None:
        data["words"] = words
    if unanswered:
        data["unanswered"] = unanswered

    def epoch(number: int) -> list[ReadingExample]:
        draw = random.Random(f"{recipe.seed}/{number}/excerpts")
        asked = [*own, *_unanswered(own, unanswered, draw)]
        read = asked if words is None else [excerpt(example, words, draw) for example in asked]
        examples = [*read, *(corpus.epoch(number) if corpus is not None else ())]
        random.Random(f"{recipe.seed}/{number}/all").shuffle(examples)
        return examples

    say("Training")
    return train_spans(
        epoch, recipe, out, data=data, start=start, validation=validation, advance=advance
    )


def _unanswered(
    examples: Sequence[ReadingExample], share: float, draw: random.Random
) -> list[ReadingExample]:
    """Return some of the questions to what their passages say beside the answer."""
    some = draw.sample(examples, round(share * len(examples)))
    rests = ((example, without_answer(example)) for example in some)
    return [ReadingExample(example.question, rest) for example, rest in rests if rest]


def _validation(corpus: DemoReading) -> list[ReadingExample]:
    """Return the written questions on entities that tune: they are never trained on."""
    rows = handwritten("val", corpus.passages) + spoken_questions("val", corpus.passages)
    return [example for passage, example, _ in rows if split_of(passage.entity) == "tune"]

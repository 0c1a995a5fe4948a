"""What tests of strategies share."""

from collections.abc import Iterator
from functools import cache

import pytest

from app.evaluation.strategies import sets
from app.evaluation.strategies.sets import (
    gallery_passages,
)
from corpus.benchmarks.demo import held_out_examples
from generator.answers.answering import Answering
from generator.answers.confidence import Calibration
from generator.answers.plan import AnswerPlan
from tests.scripted import ScriptedGenerator
from tests.strategy_cases import obedient


@pytest.fixture(autouse=True, scope="module")
def read_once() -> Iterator[None]:
    """The demo's questions and gallery are the same in every test: they are read once."""
    with pytest.MonkeyPatch.context() as patch:
        for function in (held_out_examples, gallery_passages):
            patch.setattr(sets, function.__name__, cache(function))
        yield


@pytest.fixture
def answering() -> Answering:
    generator = ScriptedGenerator(obedient)
    return Answering(generator, AnswerPlan(passages=2), Calibration("c", 1.0, {}, {}))

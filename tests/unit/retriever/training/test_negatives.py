"""Which of the passages that are found are hard negatives."""

import pytest

from retriever.training.examples import TrainingExample
from retriever.training.negatives import (
    ANSWER,
    SAME_TEXT,
    MinedNegatives,
    NegativeRules,
    choose_negatives,
    with_negatives,
)

GOLD = "The capital of Kenya, on the Nairobi river, is the city of Nairobi, founded in 1899."
EXAMPLE = TrainingExample("q", "Capital?", "", None, ("gold",), answers=("Nairobi", " "))
RULES = NegativeRules(depth=10, keep=2)


def chosen(*found: tuple[str, str], rules: NegativeRules = RULES, example=EXAMPLE):
    return choose_negatives(example, found, [GOLD], rules)


def test_the_hardest_that_prove_nothing_are_kept_in_order() -> None:
    mined = chosen(
        ("gold", GOLD),
        ("answer", "Many live in NAIROBI."),
        ("a", "Lagos is large."),
        ("b", "Kenya is in Africa."),
        ("c", "Accra is in Ghana."),
    )
    assert mined == MinedNegatives("q", ("a", "b"), {ANSWER: 1})


def test_the_text_of_a_gold_passage_under_another_id_is_no_negative() -> None:
    without = TrainingExample("q", "Capital?", "", None, ("gold",))
    copies = (
        ("case", GOLD.upper()),
        ("marks", GOLD.replace(",", " -")),
        ("near", GOLD + " It"),
        ("a", "Lagos is large."),
        ("again", "lagos is LARGE"),
    )
    assert chosen(*copies, example=without) == MinedNegatives("q", ("a",), {SAME_TEXT: 4})
    exact = NegativeRules(depth=10, keep=5, similarity=1.0)
    assert chosen(*copies, example=without, rules=exact).negatives == ("near", "a")


def test_without_answers_pseudo_relevance_says_nothing() -> None:
    without = TrainingExample("q", "Capital?", "", None, ("gold",), answers=(" ",))
    assert chosen(("a", "In Nairobi."), example=without).negatives == ("a",)


@pytest.mark.parametrize("wrong", [{"keep": 0}, {"keep": 9, "depth": 8}, {"similarity": 0.0}])
def test_rules_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"keep|similarity"):
        NegativeRules(**wrong)


def test_an_example_that_was_not_mined_keeps_what_it_has() -> None:
    own = TrainingExample("own", "?", "", None, ("gold",), negatives=("x",))
    both = list(with_negatives([EXAMPLE, own], {"q": ["a", "b"]}))
    assert [example.negatives for example in both] == [("a", "b"), ("x",)]

import pytest
from safetensors.torch import load_file

from generator.answers.answer import Candidate
from generator.answers.selection import choose, log_prior
from tests.golden_cases import GOLDEN, golden_json

TENSORS = load_file(GOLDEN / "ravqa_loss.safetensors")


def candidates(scores: list[float], logprobs: list[float], texts: list[str], temperature=1.0):
    priors = log_prior(scores, temperature)
    rows = zip(texts, priors, logprobs, strict=True)
    return [Candidate(n, *row) for n, row in enumerate(rows, start=1)]


def test_the_scoring_rule_is_ra_vqas() -> None:
    golden = golden_json("ravqa_loss.json")
    for b in range(2):
        made = candidates(
            TENSORS["doc_scores"][b].tolist(), TENSORS["sequence_scores"][b].tolist(), list("abc")
        )
        joint = TENSORS["joint"][b].tolist()
        assert [c.score for c in made] == pytest.approx(joint, abs=1e-5)
        assert choose(made).winner.number - 1 == golden["chosen_document"][b]


def test_answers_that_agree_are_one_answer() -> None:
    made = candidates([1.0, 1.0, 1.0], [-0.5, -0.9, -0.9], ["Lyon", "Paris", "the paris."])
    choice = choose(made)
    assert choice.winner.text == "Paris"
    assert [c.number for c in choice.agreeing] == [2, 3]
    # 2 e^-0.9 against e^-0.5
    assert choice.share == pytest.approx(0.5728, abs=1e-4)
    assert choose(made, agree=False).winner.text == "Lyon"
    alone = choose([made[0], made[1]])
    assert alone.winner.text == "Lyon"


def test_a_low_temperature_trusts_the_retriever_and_a_high_one_the_reader() -> None:
    rows = ([30.0, 28.0], [-2.0, -0.5], ["first", "second"])
    assert choose(candidates(*rows, temperature=0.5)).winner.text == "first"
    assert choose(candidates(*rows, temperature=10)).winner.text == "second"


def test_ties_go_to_the_earlier_passage_and_large_scores_do_not_overflow() -> None:
    assert choose(candidates([5e4, 5e4], [0, 0], ["a1", "b1"])).winner.number == 1
    assert choose(candidates([-5e4, 5e4], [0, 0], ["a1", "b1"])).share == pytest.approx(1)


def test_nothing_to_choose_and_a_temperature_of_zero_are_bugs() -> None:
    with pytest.raises(ValueError, match="no candidate"):
        choose([])
    with pytest.raises(ValueError, match="positive, not 0"):
        log_prior([1.0], 0.0)

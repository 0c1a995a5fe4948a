import pytest
import torch
from safetensors.torch import load_file

from generator.training.losses import (
    contains_answer,
    forced_target,
    marginal_loss,
    nll_loss,
    retrieval_loss,
)
from tests.golden_cases import GOLDEN, golden_json

TENSORS = load_file(GOLDEN / "ravqa_loss.safetensors")
RECORD = golden_json("ravqa_loss.json")
LOSSES = next(row for row in RECORD["losses"] if row["RAVQA_loss_type"] == "Approach6")


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    logits = TENSORS["seq_logits"].clone().requires_grad_()
    scores = TENSORS["doc_scores"].clone().requires_grad_()
    return logits, TENSORS["target"], scores


def test_nll_and_its_gradient() -> None:
    logits, target, _ = inputs()
    loss = nll_loss(logits, target)
    loss.backward()
    assert loss.item() == pytest.approx(LOSSES["nll_loss"], abs=1e-5)
    assert torch.allclose(logits.grad, TENSORS["grad_seq_logits_of_nll_loss"], atol=1e-5)


def test_the_marginal_and_its_gradients() -> None:
    logits, target, scores = inputs()
    loss = marginal_loss(logits, target, scores)
    loss.backward()
    assert loss.item() == pytest.approx(LOSSES["rag_loss"], abs=2e-5)
    assert torch.allclose(logits.grad, TENSORS["grad_seq_logits_of_rag_loss"], atol=1e-5)
    assert torch.allclose(scores.grad, TENSORS["grad_doc_scores_of_rag_loss"], atol=1e-5)


@pytest.mark.parametrize(
    ("public_name", "labels"),
    [
        ("Approach1", "either"),
        ("Approach2", "contained-or-neither"),
        ("Approach3", "contained"),
        ("Approach4", "contained-or-neither"),
        ("Approach5", "both"),
        ("Approach6", "agreed"),
        ("NoPR", "begun-or-not"),
    ],
)
def test_the_retrieval_loss_trains_the_retriever_alone(public_name, labels) -> None:
    logits, target, scores = inputs()
    loss = retrieval_loss(logits, target, scores, TENSORS["retrieval_labels"], labels)
    loss.backward()
    [expected] = [r for r in RECORD["losses"] if r["RAVQA_loss_type"] == public_name]
    assert loss.item() == pytest.approx(expected["additional_loss"], abs=1e-5)
    gradient = TENSORS[f"{public_name}.grad_doc_scores_of_additional_loss"]
    assert torch.allclose(scores.grad, gradient, atol=1e-5)
    assert logits.grad is None


def test_the_reference_has_all_four_cases() -> None:
    """So its numbers decide every entry of the table."""
    begun = TENSORS["seq_logits"][:, 0].argmax(-1) == TENSORS["target"][:, 0]
    contained = TENSORS["retrieval_labels"].flatten()
    assert len(set(zip(contained.tolist(), begun.tolist(), strict=True))) == 4
    assert {row["RAVQA_loss_type"] for row in RECORD["losses"]} == {
        *(f"Approach{n}" for n in range(1, 7)),
        "NoPR",
    }


def test_labels_and_targets_are_the_references() -> None:
    record = RECORD["retrieval_labels"]
    pairs = [
        (answers, document)
        for answers, documents in zip(record["answers"], record["documents"], strict=True)
        for document in documents
    ]
    labels = [float(contains_answer(*pair)) for pair in pairs]
    assert labels == [label for row in record["labels"] for label in row]
    assert [forced_target(*pair) for pair in pairs] == record["selected_answers"]
    with pytest.raises(ValueError, match="no answer"):
        forced_target(["", " "], "text")

"""RA-VQA's losses of a generator that reads K passages one by one (Lin and Byrne 2022).

p(y | x, z_k) comes from the generator, g(z_k) is the softmax of the K retrieval scores.
Checked against the reference on tests/golden/ravqa_loss.*.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

# B questions · K passages of each · N = B x K · L target tokens · V vocabulary

IGNORED = -100
UNLABELLED = -1

RetrievalLabels = Literal[
    "either", "contained-or-neither", "contained", "both", "agreed", "begun-or-not"
]

# What a passage is labelled, by two signs: [contains an answer][the generator begins the right
# one]. The comment has the public names. On the reference's numbers, which have all four cases,
# Approach2 and Approach4 are one rule.
RETRIEVAL_LABELS: dict[RetrievalLabels, tuple[tuple[int, int], tuple[int, int]]] = {
    "either": ((UNLABELLED, 1), (1, 1)),  # Approach1
    "contained-or-neither": ((0, UNLABELLED), (1, 1)),  # Approach2, Approach4
    "contained": ((UNLABELLED, UNLABELLED), (1, 1)),  # Approach3
    "both": ((UNLABELLED, UNLABELLED), (UNLABELLED, 1)),  # Approach5
    "agreed": ((0, UNLABELLED), (UNLABELLED, 1)),  # Approach6, the public default
    "begun-or-not": ((0, 1), (0, 1)),  # NoPR: without pseudo-relevance
}


def nll_loss(logits_NLV: Tensor, target_NL: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of the target tokens, each passage by itself.

    Args:
        logits_NLV: that predict the target tokens.
        target_NL: token ids, IGNORED where there is none.
    """
    return functional.cross_entropy(
        logits_NLV.flatten(0, 1), target_NL.flatten(), ignore_index=IGNORED
    )


def marginal_loss(logits_NLV: Tensor, target_NL: Tensor, scores_BK: Tensor) -> Tensor:
    """Return -sum over B of log sum over K of g(z_k) p(y | x, z_k).

    Args:
        logits_NLV: that predict the target tokens, the passages of a question in sequence.
        target_NL: token ids, IGNORED where there is none.
        scores_BK: of the retriever.
    """
    token_NL = -functional.cross_entropy(
        logits_NLV.transpose(1, 2), target_NL, ignore_index=IGNORED, reduction="none"
    )
    answer_BK = token_NL.sum(-1).view_as(scores_BK)
    return -torch.logsumexp(scores_BK.log_softmax(-1) + answer_BK, -1).sum()


def retrieval_loss(
    logits_NLV: Tensor,
    target_NL: Tensor,
    scores_BK: Tensor,
    contains_BK: Tensor,
    labels: RetrievalLabels = "agreed",
) -> Tensor:
    """Return RA-VQA's loss of the retriever: is each passage one to retrieve?

    Binary cross-entropy of the softmax of the scores with labels made of two signs, over the
    passages that have a label.

    Args:
        logits_NLV: that predict the target tokens; not trained by this loss.
        target_NL: token ids.
        scores_BK: of the retriever.
        contains_BK: whether the passage contains an answer.
        labels: how the signs become labels, see RETRIEVAL_LABELS.
    """
    begun_BK = (logits_NLV[:, 0].argmax(-1) == target_NL[:, 0]).view_as(scores_BK)
    rule = torch.tensor(RETRIEVAL_LABELS[labels], device=scores_BK.device)
    label_BK = rule[contains_BK.long(), begun_BK.long()]
    terms_BK = functional.binary_cross_entropy(
        scores_BK.softmax(-1), label_BK.clamp(min=0).to(scores_BK.dtype), reduction="none"
    )
    terms_BK = terms_BK.masked_fill(label_BK == UNLABELLED, 0.0)
    return terms_BK.sum() / terms_BK.count_nonzero().clamp(min=1)


def contains_answer(answers: Sequence[str], passage: str) -> bool:
    """Return whether a passage contains one of the answers, case aside.

    As in the reference, an empty answer is in every passage.
    """
    return any(answer.lower() in passage.lower() for answer in answers)


def forced_target(answers: Sequence[str], passage: str) -> str:
    """Return the answer that the generator is to give from a passage.

    The most frequent answer where the passage contains it, else the most frequent other one
    that it contains, else the most frequent.

    Raises:
        ValueError: there is no answer that is not empty.
    """
    counted = Counter(answer for answer in answers if answer.strip())
    if not counted:
        raise ValueError(f"no answer to train on in {list(answers)!r}")
    # most_common keeps the order of appearance among equals.
    ranked = [answer for answer, _ in counted.most_common()]
    return next((answer for answer in ranked if answer.lower() in passage.lower()), ranked[0])

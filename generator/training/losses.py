"""RA-VQA's losses of a generator that reads K passages one by one (Lin and Byrne 2022).

p(y | x, z_k) comes from the generator, g(z_k) is the softmax of the K retrieval scores.
Checked against the reference on tests/golden/ravqa_loss.*.
"""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

# B questions · K passages of each · N = B x K · L target tokens · V vocabulary

IGNORED = -100


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
    logits_NLV: Tensor, target_NL: Tensor, scores_BK: Tensor, contains_BK: Tensor
) -> Tensor:
    """Return RA-VQA's loss of the retriever ("Approach6", its default).

    A passage that contains an answer, and from which the generator begins the right one, is
    to be retrieved; one with neither is not; where the two disagree nothing is learnt.

    Args:
        logits_NLV: that predict the target tokens; not trained by this loss.
        target_NL: token ids.
        scores_BK: of the retriever.
        contains_BK: whether the passage contains an answer.
    """
    begun_BK = (logits_NLV[:, 0].argmax(-1) == target_NL[:, 0]).view_as(scores_BK)
    contains_BK = contains_BK.bool()
    terms_BK = functional.binary_cross_entropy(
        scores_BK.softmax(-1), (begun_BK & contains_BK).to(scores_BK.dtype), reduction="none"
    )
    terms_BK = terms_BK.masked_fill(begun_BK != contains_BK, 0.0)
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

"""The training's loss on validation questions, question by question.

Shapes: B queries of a batch, N passages of a batch, Q query tokens, P passage tokens, D embedding
dim; n of a part.
"""

from dataclasses import replace

import torch
from torch.nn import functional as F

from corpus.progress import Advance
from retriever.checkpoint.loading import Checkpoint
from retriever.encoding.device import best_device
from retriever.scoring import maxsim
from retriever.training.contrastive.draw import Draws, TrainingSet, competition
from retriever.training.contrastive.towers import Towers
from retriever.training.recipes import RetrieverRecipe
from retriever.training.validation import Validation


@torch.no_grad()
def validation_losses(
    checkpoint: Checkpoint,
    validation: Validation,
    recipe: RetrieverRecipe,
    advance: Advance = lambda done, total: None,
) -> dict[str, float]:
    """Return -log softmax over a batch's passages of MaxSim, at the gold one: nats by question id.

    The batches are those that training by the recipe would have: of its size, with as many wrong
    passages beside each gold one, drawn by its seed. They are the same whatever the checkpoint, so
    that losses of two can be compared question by question. All rows of a query are scored, and
    there is no dropout.

    Args:
        checkpoint: one that nothing else uses: its model moves to the device.
        validation: questions, each with a gold passage among the passages.
        recipe: batch, negatives, chunk, passage_tokens and seed are used.
        advance: told how many questions are done, and of how many.

    Raises:
        InvalidTrainingData: the questions cannot be drawn from.
        InvalidImage: a picture cannot be used.
    """
    recipe = replace(recipe, rows="all", repeats={})
    draws = Draws([TrainingSet("validation", validation.examples, validation.passages)], recipe)
    checkpoint.model.to(best_device()).eval().requires_grad_(requires_grad=False)
    towers = Towers(checkpoint, recipe, best_device(), None)
    losses: dict[str, float] = {}
    total = len(validation.examples)
    for number in range(-(-total // recipe.batch)):
        batch = draws.batch(number)
        each = recipe.chunk or recipe.batch
        parts = [batch[start : start + each] for start in range(0, recipe.batch, each)]
        q_BQD = torch.cat([towers.queries([drawn.example for drawn in part]) for part in parts])
        scores = []
        for part in parts:
            p_nPD, mask_nP = towers.passages([p for drawn in part for p in drawn.passages])
            scores.append(maxsim(q_BQD, p_nPD, mask_nP))
        scores_BN = torch.cat(scores, dim=1)
        gold_B, competes_BN = (t.to(scores_BN.device) for t in competition(batch))
        scores_BN = scores_BN.float().masked_fill(~competes_BN, -torch.inf)
        found_B = F.cross_entropy(scores_BN, gold_B, reduction="none").tolist()
        # The last batch is filled with questions of a next round, which are there to compete.
        for drawn, loss in zip(batch, found_B, strict=True):
            losses.setdefault(drawn.example.id, loss)
        advance(len(losses), total)
    return losses

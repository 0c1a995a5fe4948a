"""Training kbvqa-mini: PreFLMR's mapping network on frozen small towers, on a CPU.

The towers are frozen, so what they say is computed once (`cache`). What trains are the
linear layers into the late-interaction space, the prefix MLP, the mapping transformer and
the neck of the vision encoder. Losses, all over MaxSim scores s = s_text + s_vision:

    entity    cross-entropy of s_vision over the beginning of one passage of every entity
    passage   cross-entropy of s over every passage of the batch       (PreFLMR's loss)
    section   cross-entropy of s among the passages of the right entity

Stage 1 trains the mapping with the entity loss alone (as PreFLMR's stage 1 leaves text
rows out of the score); stage 2 trains everything with all three, mostly on flags and their
sections; stage 3 does so mostly on things, against many more passages. Look-alikes (flags that
no picture can tell apart) are left out of the competition.

Shapes: B queries, L text tokens, Q query tokens, N passages, P passage tokens, H width of the
text tower, D embedding dim, V views, I pictures, G grid cells, W patch width.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from corpus.demo.data import demo_images, demo_passages_path, demo_questions
from corpus.files.passages import read_passages
from corpus.progress import Advance, Say
from retriever.checkpoint.mini import QUERY_TOKENS, base_vocabulary
from retriever.checkpoint.pretrained import FLMRModel
from retriever.inputs.tokenization import QueryTokenizer
from retriever.model.vision import EfficientNetVisionEncoder, VisionFeatures
from retriever.scoring import token_maxima
from retriever.training.demo.cache import PassageStates, Views, encode_passages, encode_views
from retriever.training.demo.photographs import alike_classes, mix_named
from retriever.training.demo.sampling import BatchShape, Sampler, TrainingQuery
from retriever.training.demo.weights import (
    MINI,
    Network,
    counted,
    keep_some,
    new_model,
    save_trained,
    set_statistics,
)
from retriever.training.loop.loop import Group, Loop, Schedule
from retriever.training.loop.state import Row, refuse_other

STAGE = "stage-{}"  # a folder of each
EXCLUDED = -1e4  # the score of a passage that does not compete
THINGS_BATCH = BatchShape(
    flags=6, sections=3, things=96, named=32, other_sections=1, other_passages=130
)


@dataclass(frozen=True)
class MiniRecipe:
    """Everything that decides the outcome of a training run.

    Attributes:
        entity_steps: optimiser steps of stage 1.
        steps: optimiser steps of stage 2.
        things_steps: optimiser steps of stage 3.
        entity_pictures: pictures a step of stage 1.
        views: augmented views a picture, the picture itself among them.
        seed: of views, batches and initial weights.
        threads: CPU threads, and processes while views are encoded.
        learning_rate_text: peak rate of the two linear layers on text.
        learning_rate_vision: peak rate of everything else; both fall linearly to zero.
        weight_decay: AdamW's.
        warmup_steps: steps to the peak.
        passage_tokens: passages are cut here while training (never when indexing).
        entity_tokens: the same for the entity loss: the title and a little more.
        entity_weight: of the entity loss.
        section_weight: of the section loss.
        pooled_dropout: on the pooled vector.
        patch_dropout: on the patches.
        batch: what a batch of stage 2 holds.
        things_batch: what a batch of stage 3 holds.
        things_rate: peak rates of stage 3, as a factor on the others'.
        share: of the new weights in those that are written, where the training went on from
            others; the rest is theirs.
        network: that trains; another one's weights are not kbvqa-mini's.
        bfloat16: whether products are taken in it, on processors that are fast in it (AVX-512
            BF16, AMX); weights stay in float32.
    """

    entity_steps: int = 1000
    steps: int = 450
    things_steps: int = 220
    entity_pictures: int = 128
    views: int = 12
    seed: int = 0
    threads: int = 2
    learning_rate_text: float = 3e-4
    learning_rate_vision: float = 1.5e-3
    weight_decay: float = 0.05
    warmup_steps: int = 30
    passage_tokens: int = 64
    entity_tokens: int = 24
    entity_weight: float = 0.5
    section_weight: float = 0.5
    pooled_dropout: float = 0.2
    patch_dropout: float = 0.1
    batch: BatchShape = field(default_factory=BatchShape)
    things_batch: BatchShape = field(default_factory=lambda: THINGS_BATCH)
    things_rate: float = 0.7
    share: float = 1.0
    network: Network = MINI
    bfloat16: bool = False


def continued(seed: int, threads: int, bfloat16: bool) -> MiniRecipe:
    """Return the recipe to go on from trained weights: fewer steps at a third of the rates.

    The share was chosen of 0.5, 0.7 and 1 (docs/measured/README.md).
    """
    return MiniRecipe(
        entity_steps=200,
        steps=30,
        things_steps=30,
        views=3,
        seed=seed,
        threads=threads,
        learning_rate_text=1e-4,
        learning_rate_vision=5e-4,
        share=0.7,
        bfloat16=bfloat16,
    )


def train(
    recipe: MiniRecipe,
    out: Path,
    say: Say,
    advance: Advance,
    start: Path | None = None,
    features: Path | None = None,
) -> None:
    """Train and write trained.safetensors, text_vision.json and training.json to `out`.

    Encoded views and passages are kept and used again, and each stage goes on where an
    interrupted call stopped.

    Args:
        recipe: the settings.
        out: a directory; made if missing.
        say: told what is going on.
        advance: told how much of it is done.
        start: a trained.safetensors to go on from; None to begin anew.
        features: where encoded views and passages are kept, which trainings with the same seed,
            number of views and grid may share; None for `out`.

    Raises:
        TrainingMismatch: `out` holds a training by another recipe, or from another start.
    """
    started = time.monotonic()
    began_with = None if start is None else hashlib.sha256(start.read_bytes()).hexdigest()
    # Before the views, which another recipe would encode anew in place of those that are there.
    refuse_other(out / STAGE.format(1), _record(recipe, began_with, 1))
    features = features or out
    features.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads)
    passages, images = list(read_passages(demo_passages_path())), demo_images()
    say("Encoding passages")
    states = encode_passages(passages, features / "passages.pt", advance)
    say("Encoding views of the pictures")
    views = encode_views(
        images, recipe.views, recipe.seed, features, recipe.threads, advance, recipe.network.grid
    )
    model = new_model(recipe.seed, start, recipe.network)
    trained, frozen = counted(model)
    pictures = sum(image.split == "train" for image in images)
    say(
        f"Training {trained:,} parameters, {frozen:,} are frozen; on {pictures:,} pictures and "
        f"{len(passages):,} passages"
    )
    if start is None:
        in_training = np.array([image.split == "train" for image in images])
        set_statistics(model, views.grids[:, in_training], states, recipe.seed)
    tower = model.query_vision_encoder
    assert isinstance(tower, EfficientNetVisionEncoder)
    alike = alike_classes(tower.vision_model.fc)
    sampler = Sampler(passages, images, demo_questions(), views, recipe.batch, recipe.seed, alike)
    log = Trainer(model, sampler, states, views, recipe, began_with).run(out, say, advance)
    if start is not None:
        keep_some(model, load_file(start), recipe.share)
    save_trained(model, out)
    record = {
        "recipe": asdict(recipe),
        "start": began_with,
        "seconds": round(time.monotonic() - started),
        "torch": version("torch"),
        "log": log,
    }
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _record(recipe: MiniRecipe, start: str | None, stage: int) -> dict[str, Any]:
    """Return what a stage's training is: another one in its directory is refused."""
    return {"recipe": asdict(recipe), "start": start, "stage": stage}


class Trainer:
    """What the loop takes steps of, stage by stage: batches, losses, gradients.

    Args:
        model: that trains; changed in place.
        sampler: draws the batches.
        states: what the frozen text tower says of passages.
        views: what the frozen vision tower says of pictures.
        recipe: the settings.
        start: the SHA-256 of the file that the model's weights are from; None for none.
    """

    def __init__(
        self,
        model: FLMRModel,
        sampler: Sampler,
        states: PassageStates,
        views: Views,
        recipe: MiniRecipe,
        start: str | None = None,
    ) -> None:
        self.model, self.sampler, self.states = model, sampler, states
        self.views, self.recipe, self.start = views, recipe, start
        self.tokenizer = QueryTokenizer(base_vocabulary(), QUERY_TOKENS)
        self.question_states: dict[str, Tensor] = {}
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.text_parameters = {n: p for n, p in trained.items() if "text_encoder_linear" in n}
        self.vision_parameters = {n: p for n, p in trained.items() if n not in self.text_parameters}

    def run(self, out: Path, say: Say, advance: Advance) -> list[Row]:
        """Return the log of all stages: means of the losses, a row every 50 steps."""
        self.model.train()
        # The frozen towers stay as they are in use: no dropout.
        self.model.query_text_encoder.eval()
        self.model.context_text_encoder.eval()
        log: list[Row] = []
        for stage, title in enumerate(("which entity?", "which section?", "which thing?"), start=1):
            say(f"Training stage {stage}: {title}")
            rows = self._loop(stage, out / STAGE.format(stage)).run(
                partial(self._gradients, stage), advance=advance
            )
            log += [{"stage": stage, **{n: round(v, 4) for n, v in row.items()}} for row in rows]
        self.model.eval()
        return log

    def _loop(self, stage: int, out: Path) -> Loop:
        """Return the loop of one stage, with its own optimiser, schedule and log."""
        from accelerate import Accelerator

        recipe = self.recipe
        rate = recipe.things_rate if stage == 3 else 1.0
        groups = [
            Group(self.text_parameters, rate * recipe.learning_rate_text),
            Group(self.vision_parameters, rate * recipe.learning_rate_vision),
        ]
        schedule = Schedule(
            steps=(recipe.entity_steps, recipe.steps, recipe.things_steps)[stage - 1],
            warmup=recipe.warmup_steps,
            weight_decay=recipe.weight_decay,
        )
        return Loop(groups, schedule, out, _record(recipe, self.start, stage), Accelerator())

    def _gradients(self, stage: int, number: int) -> dict[str, float]:
        """Leave the gradients of a stage's step in the parameters; return its losses."""
        recipe, sampler = self.recipe, self.sampler
        sampler.shape = recipe.things_batch if stage == 3 else recipe.batch
        sampler.random.seed(f"{recipe.seed}/{stage}/{number}")
        torch.manual_seed(sampler.random.getrandbits(63))
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            values = self._entity_step() if stage == 1 else self._passage_step()
        weights = {"entity": recipe.entity_weight, "section": recipe.section_weight}
        losses = {name: v for name, v in values.items() if not name.startswith("accuracy")}
        total = torch.stack([weights.get(n, 1.0) * loss for n, loss in losses.items()]).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return {"loss": total.item(), **{name: value.item() for name, value in values.items()}}

    def _entity_step(self) -> dict[str, Tensor]:
        """Return the entity loss of a batch of pictures."""
        queries = self.sampler.pictures_of_entities(self.recipe.entity_pictures)
        return self._entity_loss(self._queries(queries), queries)

    def _passage_step(self) -> dict[str, Tensor]:
        """Return all three losses of a structured batch.

        With S(b, n) = MaxSim of query b and passage n, and g(b) the gold passage of query b:

            passage   -log softmax over n of S(b, n), at g(b): which of all passages
            section   the same over the passages of b's own entity, for flags: which section of it
            entity    see `_entity_loss`: what the picture shows, whatever is asked

        A look-alike's passages are in no softmax: nobody could tell them from b's by the picture.
        """
        queries, chosen = self.sampler.batch()
        q_BQD = self._queries(queries)
        p_NPD, mask_NP = self._passages(chosen, self.recipe.passage_tokens)
        score_BN = token_maxima(q_BQD, p_NPD, mask_NP).sum(1)
        # own: of the query's entity, its gold passage among them; similar: of a look-alike, whose
        # passages are neither right nor wrong.
        own_BN, similar_BN = (torch.tensor(r) for r in self.sampler.relations(queries, chosen))
        position = {passage: i for i, passage in enumerate(chosen)}
        gold_B = torch.tensor([position[query.gold] for query in queries])
        named_B = torch.tensor([query.is_named for query in queries])
        flag_B = torch.tensor([query.entity.startswith("flag:") for query in queries])
        # exp(EXCLUDED) is 0 in float32: such a passage has no part in the sum, and no gradient.
        score_BN = score_BN.masked_fill(similar_BN, EXCLUDED)
        # Which section, once the entity is right: only its own passages compete.
        section_BN = score_BN.masked_fill(~own_BN, EXCLUDED)[flag_B]
        pictured = [query for query in queries if not query.is_named]
        return {
            "passage": F.cross_entropy(score_BN, gold_B),
            "section": F.cross_entropy(section_BN, gold_B[flag_B]),
            "accuracy": (score_BN.argmax(1) == gold_B)[~named_B].float().mean(),
            "accuracy_by_name": (score_BN.argmax(1) == gold_B)[named_B].float().mean(),
            **self._entity_loss(q_BQD[~named_B], pictured),
        }

    def _entity_loss(self, q_BQD: Tensor, queries: Sequence[TrainingQuery]) -> dict[str, Tensor]:
        """Return the loss of visual rows alone against one passage of every pictured entity.

        The first QUERY_TOKENS rows are the question's: without them the picture has to tell all
        entities apart by itself, and cannot leave that to words that the passage repeats.
        """
        chosen = self.sampler.one_passage_each()
        p_NPD, mask_NP = self._passages(chosen, self.recipe.entity_tokens)
        # Rows behind the text's are visual: s = s_text + s_vision, a sum over a part of Q each.
        score_BN = token_maxima(q_BQD[:, QUERY_TOKENS:].contiguous(), p_NPD, mask_NP).sum(1)
        own_BN, similar_BN = (torch.tensor(r) for r in self.sampler.relations(queries, chosen))
        score_BN = score_BN.masked_fill(similar_BN, EXCLUDED)
        gold_B = own_BN.int().argmax(1)  # one passage an entity: where own is True
        return {
            "entity": F.cross_entropy(score_BN, gold_B),
            "accuracy_of_entity": (score_BN.argmax(1) == gold_B).float().mean(),
        }

    def _queries(self, queries: Sequence[TrainingQuery]) -> Tensor:
        """Return query embeddings [B, Q, D]."""
        texts = [query.text for query in queries]
        ids_BL = self.tokenizer(texts)["input_ids"]
        views, images = zip(*(query.picture for query in queries), strict=True)
        grids = torch.from_numpy(self.views.grids[list(views), list(images)]).float()
        tower = self.model.query_vision_encoder
        assert isinstance(tower, EfficientNetVisionEncoder)
        vision = tower.neck(mix_named(grids, torch.tensor([query.is_named for query in queries])))
        vision = VisionFeatures(
            F.dropout(vision.pooled_BV, self.recipe.pooled_dropout),
            F.dropout(vision.patches_BNW, self.recipe.patch_dropout),
        )
        shows = [query.shows_picture for query in queries]
        text_BLH = self._text_states(texts)
        q_BQD: Tensor = self.model(ids_BL, text_BLH, vision, concat_vision=shows)
        return q_BQD

    @torch.no_grad()
    def _text_states(self, texts: Sequence[str]) -> Tensor:
        """Return the frozen text tower's output [B, L, H]; wordings come up again and again."""
        new = [t for t in dict.fromkeys(texts) if t not in self.question_states]
        fresh: dict[str, Tensor] = {}
        if new:
            states = self.model.query_text_encoder(*self.tokenizer(new).values())
            # In float16 from the first time on: a step must not depend on those before it.
            fresh = dict(zip(new, states.half(), strict=True))
            # Questions with tags hardly ever recur: keep those without.
            self.question_states.update({t: s for t, s in fresh.items() if " It " not in t})
        known = self.question_states | fresh
        return torch.stack([known[text].float() for text in texts])

    def _passages(self, chosen: Sequence[int], cut: int) -> tuple[Tensor, Tensor]:
        """Return passage embeddings [N, P, D] and their mask [N, P], cut for training."""
        offsets = self.states.offsets
        starts = offsets[torch.tensor(chosen)]
        lengths = (offsets[torch.tensor(chosen) + 1] - starts).clamp(max=cut)
        # Passages lie end to end: row (n, p) of the padded batch is row starts[n] + p of all, where
        # it is inside the passage. Behind its end stands the next one's, or nothing: hence the
        # clamp, and [PAD] (0) as its id, which the passage mask drops.
        columns = torch.arange(int(lengths.max()))
        rows = (starts[:, None] + columns).clamp(max=len(self.states.token_ids) - 1)
        inside = columns < lengths[:, None]
        ids_NP = self.states.token_ids[rows].masked_fill(~inside, 0)
        return self.model.embed_passage(ids_NP, self.states.hidden[rows].float())

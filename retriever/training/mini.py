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

Shapes: B queries, Q query tokens, N passages, P passage tokens, D embedding dim.
"""

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.demo import demo_images, demo_passages_path, demo_questions
from corpus.passages import read_passages
from corpus.progress import Advance, Say
from retriever.flmr import FLMRModel
from retriever.mini import (
    PASSAGE_TOKENS,
    QUERY_TOKENS,
    TRAINED_NAME,
    base_vocabulary,
    base_weights,
    mini_config,
)
from retriever.text_vision import TextVision
from retriever.tokenization import PassageTokenizer, QueryTokenizer
from retriever.training.cache import PassageStates, Views, encode_passages, encode_views
from retriever.training.late_interaction import token_maxima
from retriever.training.sampling import BatchShape, Sampler, TrainingQuery
from retriever.vision import EfficientNetVisionEncoder, VisionFeatures

logger = logging.getLogger(__name__)

EXCLUDED = -1e4  # the score of a passage that does not compete
# Chosen on the validation vendor (docs/kbvqa-mini.md).
TEXT_VISION = TextVision(gate=0.4, sure=0.6)
THINGS_BATCH = BatchShape(
    flags=6, sections=3, things=96, named=32, other_sections=1, other_passages=130
)


@dataclass(frozen=True)
class Recipe:
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


def train(recipe: Recipe, out: Path, say: Say, advance: Advance) -> None:
    """Train and write trained.safetensors, text_vision.json and training.json to `out`.

    Encoded views and passages are kept in `out` and used again, as is the model after
    each stage when the recipe is the same.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads)
    passages, images = list(read_passages(demo_passages_path())), demo_images()
    say("Encoding passages")
    states = encode_passages(passages, out / "passages.pt", advance)
    say("Encoding views of the pictures")
    views = encode_views(images, recipe.views, recipe.seed, out / "views", recipe.threads, advance)
    say("Training")
    model = new_model(recipe.seed)
    in_training = np.array([image.split == "train" for image in images])
    set_statistics(model, views.grids[:, in_training], states, recipe.seed)
    sampler = Sampler(passages, images, demo_questions(), views, recipe.batch, recipe.seed)
    log = Trainer(model, sampler, states, views, recipe).run(out, say, advance)
    save_trained(model, out)
    record = {
        "recipe": asdict(recipe),
        "seconds": round(time.monotonic() - started),
        "torch": version("torch"),
        "log": log,
    }
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def new_model(seed: int) -> FLMRModel:
    """Return the small model with its towers' published weights, frozen."""
    torch.manual_seed(seed)
    vocab = base_vocabulary()
    model = FLMRModel(
        mini_config(),
        QueryTokenizer(vocab, QUERY_TOKENS),
        PassageTokenizer(vocab, PASSAGE_TOKENS),
    )
    base = base_weights()
    model.load_state_dict(base, strict=False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = parameter.requires_grad and name not in base
    return model


def set_statistics(
    model: FLMRModel, grids_VIGW: np.ndarray, states: PassageStates, seed: int
) -> None:
    """Set the vision neck's scale, and start the projections at principal components.

    The text projections start equal, so that from the first step a word in a question
    matches the same word in a passage.
    """
    rng = np.random.default_rng(seed)
    tower = model.query_vision_encoder
    assert isinstance(tower, EfficientNetVisionEncoder)
    flat = grids_VIGW.reshape(-1, *grids_VIGW.shape[2:])
    sample = torch.from_numpy(flat[np.sort(rng.choice(len(flat), 3000, replace=False))]).float()
    chosen = torch.from_numpy(np.sort(rng.choice(len(states.hidden), 40_000, replace=False)))
    hidden = states.hidden[chosen].float()
    with torch.no_grad():
        tower.feature_mean.copy_(sample.mean((0, 1)))
        tower.feature_std.copy_(sample.std((0, 1)) + 1e-3)
        cells = ((sample - tower.feature_mean) / tower.feature_std).flatten(0, 1)[:20_000]
        width = tower.layout_linear.out_features
        tower.layout_linear.weight.copy_(torch.pca_lowrank(cells, q=width, niter=3)[2].T * 0.2)
        components = torch.pca_lowrank(hidden, q=model.config.dim, niter=3)[2].T
        model.query_text_encoder_linear.weight.copy_(components)
        model.context_text_encoder_linear.weight.copy_(components)


class Trainer:
    """The training loop, step by step."""

    def __init__(
        self,
        model: FLMRModel,
        sampler: Sampler,
        states: PassageStates,
        views: Views,
        recipe: Recipe,
    ) -> None:
        self.model, self.sampler, self.states = model, sampler, states
        self.views, self.recipe = views, recipe
        self.tokenizer = QueryTokenizer(base_vocabulary(), QUERY_TOKENS)
        self.question_states: dict[str, Tensor] = {}
        trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        self.parameters = [p for _, p in trained]
        self.text_parameters = [p for n, p in trained if "text_encoder_linear" in n]
        self.vision_parameters = [p for n, p in trained if "text_encoder_linear" not in n]

    def run(self, out: Path, say: Say, advance: Advance) -> list[dict[str, float]]:
        """Return the log of all stages: running means of the losses, a row every 50 steps."""
        self.model.train()
        # The frozen towers stay as they are in use: no dropout.
        self.model.query_text_encoder.eval()
        self.model.context_text_encoder.eval()
        recipe = hashlib.sha256(repr(self.recipe).encode()).hexdigest()[:8]
        log: list[dict[str, float]] = []
        for stage, title in enumerate(("which entity?", "which section?", "which thing?"), start=1):
            finished = out / f"stage-{stage}-{recipe}.pt"
            if finished.exists():
                saved = torch.load(finished, weights_only=True)
                self.model.load_state_dict(saved["model"])
                log = saved["log"]
            else:
                say(f"Training stage {stage}: {title}")
                log += self._stage(stage, advance)
                torch.save({"log": log, "model": self.model.state_dict()}, finished)
        self.model.eval()
        return log

    def _stage(self, stage: int, advance: Advance) -> list[dict[str, float]]:
        """Take the steps of one stage with its own optimiser, schedule and seed; return its log."""
        recipe = self.recipe
        steps = (recipe.entity_steps, recipe.steps, recipe.things_steps)[stage - 1]
        step = self._entity_step if stage == 1 else self._passage_step
        rate = recipe.things_rate if stage == 3 else 1.0
        self.sampler.shape = recipe.things_batch if stage == 3 else recipe.batch
        torch.manual_seed(recipe.seed + stage)
        self.sampler.random.seed(recipe.seed + stage)
        optimizer = torch.optim.AdamW(
            [
                {"params": self.text_parameters, "lr": rate * recipe.learning_rate_text},
                {"params": self.vision_parameters, "lr": rate * recipe.learning_rate_vision},
            ],
            weight_decay=recipe.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(self._rate, steps=steps))
        weights = {"entity": recipe.entity_weight, "section": recipe.section_weight}
        log: list[dict[str, float]] = []
        running: dict[str, float] = {}
        for i in range(1, steps + 1):
            values = step()
            losses = {name: v for name, v in values.items() if not name.startswith("accuracy")}
            total = torch.stack([weights.get(n, 1.0) * loss for n, loss in losses.items()]).sum()
            optimizer.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.parameters, 1.0)
            optimizer.step()
            schedule.step()
            for name, tensor in values.items():
                running[name] = 0.95 * running.get(name, tensor.item()) + 0.05 * tensor.item()
            if i % 50 == 0 or i == steps:
                log.append(
                    {"stage": stage, "step": i, **{n: round(v, 4) for n, v in running.items()}}
                )
                logger.info("%s", log[-1])
            advance(i, steps)
        return log

    def _entity_step(self) -> dict[str, Tensor]:
        """Return the entity loss of a batch of pictures."""
        queries = self.sampler.pictures_of_entities(self.recipe.entity_pictures)
        return self._entity_loss(self._queries(queries), queries)

    def _passage_step(self) -> dict[str, Tensor]:
        """Return all three losses of a structured batch."""
        queries, chosen = self.sampler.batch()
        q_BQD = self._queries(queries)
        p_NPD, mask_NP = self._passages(chosen, self.recipe.passage_tokens)
        score_BN = token_maxima(q_BQD, p_NPD, mask_NP).sum(1)
        own_BN, similar_BN = (torch.tensor(r) for r in self.sampler.relations(queries, chosen))
        position = {passage: i for i, passage in enumerate(chosen)}
        gold_B = torch.tensor([position[query.gold] for query in queries])
        named_B = torch.tensor([query.is_named for query in queries])
        flag_B = torch.tensor([query.entity.startswith("flag:") for query in queries])
        score_BN = score_BN.masked_fill(similar_BN, EXCLUDED)
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
        """Return the loss of visual rows alone against one passage of every pictured entity."""
        chosen = self.sampler.one_passage_each()
        p_NPD, mask_NP = self._passages(chosen, self.recipe.entity_tokens)
        score_BN = token_maxima(q_BQD[:, QUERY_TOKENS:].contiguous(), p_NPD, mask_NP).sum(1)
        own_BN, similar_BN = (torch.tensor(r) for r in self.sampler.relations(queries, chosen))
        score_BN = score_BN.masked_fill(similar_BN, EXCLUDED)
        gold_B = own_BN.int().argmax(1)
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
        vision = tower.neck(grids)
        vision = VisionFeatures(
            F.dropout(vision.pooled_BV, self.recipe.pooled_dropout),
            F.dropout(vision.patches_BNW, self.recipe.patch_dropout),
        )
        shows = [query.shows_picture for query in queries]
        return self.model.embed_query(ids_BL, self._text_states(texts), vision, concat_vision=shows)

    @torch.no_grad()
    def _text_states(self, texts: Sequence[str]) -> Tensor:
        """Return the frozen text tower's output [B, L, H]; wordings come up again and again."""
        new = [t for t in dict.fromkeys(texts) if t not in self.question_states]
        if new:
            states = self.model.query_text_encoder(**_as_arguments(self.tokenizer(new)))
            # Questions with tags hardly ever recur: keep those without.
            fresh = dict(zip(new, states, strict=True))
            self.question_states.update({t: s.half() for t, s in fresh.items() if " It " not in t})
        else:
            fresh = {}
        return torch.stack(
            [fresh[t] if t in fresh else self.question_states[t].float() for t in texts]
        )

    def _passages(self, chosen: Sequence[int], cut: int) -> tuple[Tensor, Tensor]:
        """Return passage embeddings [N, P, D] and their mask [N, P], cut for training."""
        offsets = self.states.offsets
        starts = offsets[torch.tensor(chosen)]
        lengths = (offsets[torch.tensor(chosen) + 1] - starts).clamp(max=cut)
        columns = torch.arange(int(lengths.max()))
        rows = (starts[:, None] + columns).clamp(max=len(self.states.token_ids) - 1)
        inside = columns < lengths[:, None]
        ids_NP = self.states.token_ids[rows].masked_fill(~inside, 0)
        return self.model.embed_passage(ids_NP, self.states.hidden[rows].float())

    def _rate(self, step: int, steps: int) -> float:
        """Return the factor on the peak rates: a short rise, then linearly to zero."""
        rise = min(1.0, (step + 1) / self.recipe.warmup_steps)
        return rise * max(0.0, 1 - step / steps)


def save_trained(model: FLMRModel, out: Path) -> None:
    """Write what the published towers do not hold, in float16, and text-based vision's settings."""
    base = base_weights().keys()
    tensors = {
        name: tensor.half().contiguous()
        for name, tensor in model.state_dict().items()
        if name not in base
    }
    save_file(tensors, out / TRAINED_NAME)
    TEXT_VISION.save_pretrained(out)


def _as_arguments(tokens: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        "input_ids_BL": tokens["input_ids"],
        "attention_mask_BL": tokens["attention_mask"],
    }

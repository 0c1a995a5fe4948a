"""The weights of kbvqa-mini that train: made, started, mixed with those before, and written.

Shapes: D embedding dim, V views, I pictures, G cells, W patch width, H width of the text tower.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from retriever.checkpoint.mini import (
    PASSAGE_TOKENS,
    QUERY_TOKENS,
    TRAINED_NAME,
    base_vocabulary,
    base_weights,
    mini_config,
)
from retriever.checkpoint.pretrained import FLMRModel
from retriever.inputs.text_vision import TextVision
from retriever.inputs.tokenization import PassageTokenizer, QueryTokenizer
from retriever.model.config import FLMRConfig
from retriever.model.vision import EfficientNetVisionEncoder
from retriever.training.demo.cache import PassageStates

# Chosen on the validation vendor (docs/measured/README.md).
TEXT_VISION = TextVision(gate=0.4, sure=0.6)


@dataclass(frozen=True, slots=True)
class Network:
    """How a picture becomes rows of a query: as in kbvqa-mini, or otherwise, to compare.

    Attributes:
        grid: cells along each side of a picture. Each is a patch, and has a part in its layout.
        prefix_rows: that the prefix MLP makes of the whole picture.
        mapping_transformer: whether there is one; without it those are the picture's only rows.
    """

    grid: int = 4
    prefix_rows: int = 8
    mapping_transformer: bool = True

    def config(self) -> FLMRConfig:
        """Return kbvqa-mini's config with this network in it."""
        mini = mini_config()
        return replace(
            mini,
            vision_config=mini.vision_config | {"grid": self.grid},
            mapping_network_prefix_length=self.prefix_rows,
            use_transformer_mapping_network=self.mapping_transformer,
        )


MINI = Network()


def new_model(seed: int, start: Path | None = None, network: Network = MINI) -> FLMRModel:
    """Return the small model with its towers' published weights, frozen.

    Args:
        seed: of the other weights.
        start: a trained.safetensors that has them; None for random ones.
        network: between its towers.
    """
    torch.manual_seed(seed)
    vocab = base_vocabulary()
    model = FLMRModel(
        network.config(),
        QueryTokenizer(vocab, QUERY_TOKENS),
        PassageTokenizer(vocab, PASSAGE_TOKENS),
    )
    base = base_weights()
    model.load_state_dict(base if start is None else base | load_file(start), strict=False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = parameter.requires_grad and name not in base
    return model


def counted(model: FLMRModel) -> tuple[int, int]:
    """Return how many of its parameters train, and how many are frozen."""
    sizes = {True: 0, False: 0}
    for parameter in model.parameters():
        sizes[parameter.requires_grad] += parameter.numel()
    return sizes[True], sizes[False]


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
        # Over pictures and cells: one mean and one deviation a channel, [W].
        tower.feature_mean.copy_(sample.mean((0, 1)))
        tower.feature_std.copy_(sample.std((0, 1)) + 1e-3)  # a channel may be dead
        cells = ((sample - tower.feature_mean) / tower.feature_std).flatten(0, 1)[:20_000]
        width = tower.layout_linear.out_features
        # pca_lowrank gives (U, S, V) with components as the columns of V: a layer's weight has
        # them as rows. The first components of standardised channels vary more than a channel
        # does: 0.2 keeps the copy of the grid from drowning the mean beside it.
        tower.layout_linear.weight.copy_(torch.pca_lowrank(cells, q=width, niter=3)[2].T * 0.2)
        components = torch.pca_lowrank(hidden, q=model.config.dim, niter=3)[2].T  # [D, H]
        model.query_text_encoder_linear.weight.copy_(components)
        model.context_text_encoder_linear.weight.copy_(components)


def keep_some(model: FLMRModel, before: Mapping[str, Tensor], share: float) -> None:
    """Move a model's weights back towards those it began with.

    Between both the new views are known almost as well, and less is lost of what was known
    before (Wortsman et al. 2022, robust fine-tuning).

    Args:
        model: that went on from `before`; changed in place.
        before: the weights by name.
        share: of the new weights, 0 to 1.
    """
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name in before:
                tensor.lerp_(before[name].to(tensor.dtype), 1 - share)


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

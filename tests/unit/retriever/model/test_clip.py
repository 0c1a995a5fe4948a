"""CLIP's tower written out is transformers': the same names, the same numbers."""

import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import torch
import transformers

from retriever.checkpoint.loading import load_checkpoint
from retriever.errors import InvalidCheckpoint
from retriever.model.clip import CLIPTower, CLIPVisionConfig
from retriever.model.config import FLMRConfig
from tests.golden_cases import GOLDEN

FIELDS = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 20,
    "patch_size": 5,
}


@pytest.mark.parametrize("act", ["quick_gelu", "gelu", "gelu_new", "relu"])
def test_the_same_numbers(act: str) -> None:
    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(**FIELDS, hidden_act=act)
    theirs = transformers.CLIPVisionModel(config).eval()
    for tensor in theirs.state_dict().values():
        tensor += 0.2 * torch.randn_like(tensor)  # biases and norms that are not the first ones
    ours = CLIPTower(CLIPVisionConfig.from_fields(FIELDS | {"hidden_act": act, "other": 1})).eval()
    # The lowest transformers that is allowed may have one level more.
    weights = getattr(theirs, "vision_model", theirs).state_dict()
    ours.load_state_dict(weights)  # key for key
    assert list(ours.state_dict()) == [n for n in weights if not n.endswith("position_ids")]
    pixels = torch.randn(3, 3, 20, 20)
    with torch.inference_mode():
        output = theirs(pixel_values=pixels, output_hidden_states=True)
        before, after = ours(pixels)
    torch.testing.assert_close(before, output.hidden_states[-2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(after, output.last_hidden_state, atol=1e-5, rtol=1e-5)


def test_the_defaults_are_those_of_the_base() -> None:
    base, ours = transformers.CLIPVisionConfig(), CLIPVisionConfig()
    assert asdict(ours) == {field.name: getattr(base, field.name) for field in fields(ours)}


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden_act 'swiglu' is not known"):
        CLIPVisionConfig(hidden_act="swiglu")
    with pytest.raises(InvalidCheckpoint, match="768 is no multiple of num_attention_heads, 7"):
        FLMRConfig(vision_config={"num_attention_heads": 7}).clip_vision_config()
    with pytest.raises(ValueError, match="pictures of 20 x 15 pixels, not 20 x 20"):
        CLIPTower(CLIPVisionConfig.from_fields(FIELDS))(torch.zeros(1, 3, 20, 15))


def test_a_released_checkpoint_is_loaded_without_transformers(tmp_path: Path) -> None:
    """Which takes three seconds to import."""
    checkpoint = load_checkpoint(GOLDEN / "B_preflmr")
    assert checkpoint.model.config.vision_type == "clip"
    code = (
        "import sys; from pathlib import Path\n"
        "from retriever.checkpoint.loading import load_checkpoint\n"
        f"print(load_checkpoint(Path({str(GOLDEN / 'B_preflmr')!r})).id)\n"
        "print('transformers' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [checkpoint.id, "False"]

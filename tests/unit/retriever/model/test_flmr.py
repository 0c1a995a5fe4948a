"""The model against the reference's numbers, and against the released checkpoints' names."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from retriever.checkpoint.loading import Checkpoint, load_checkpoint
from retriever.checkpoint.pretrained import FLMRModel
from retriever.inputs.images import ImageProcessor
from retriever.inputs.tokenization import PassageTokenizer, QueryTokenizer
from retriever.model.config import FLMRConfig
from retriever.model.flmr import FLMR
from retriever.scoring import maxsim
from retriever.training.contrastive.losses import contrastive_loss
from tests.contrastive import aligned_scores
from tests.golden_cases import GOLDEN, golden_image, golden_json

MODELS = ("A_flmr", "B_preflmr")
PROCESSOR = ImageProcessor(size=(16, 16), shortest_edge=16)


def cases(kind: str) -> list[Any]:
    found = []
    for model in MODELS:
        for case in golden_json(f"{model}/cases.json")[kind]:
            if case["case"] != "rois":
                found.append(pytest.param(model, case, id=f"{model}-{case['case']}"))
    return found


@pytest.fixture(scope="module")
def checkpoints() -> dict[str, Checkpoint]:
    return {name: load_checkpoint(GOLDEN / name) for name in MODELS}


@pytest.fixture(scope="module")
def tensors() -> dict[str, dict[str, torch.Tensor]]:
    return {name: load_file(GOLDEN / name / "tensors.safetensors") for name in MODELS}


def pixels(names: list[str]) -> torch.Tensor:
    return PROCESSOR([golden_image(name) for name in names])


@pytest.mark.parametrize(("name", "case"), cases("query"))
def test_query_embeddings(name: str, case: dict, checkpoints: Any, tensors: Any) -> None:
    checkpoint, expected = checkpoints[name], tensors[name]
    inputs: dict[str, Any] = {}
    if case.get("texts"):
        inputs |= checkpoint.query_tokenizer(case["texts"])
    if case.get("images"):
        inputs["pixel_values"] = pixels(case["images"])
        if case["case"] == "five_dim":
            inputs["pixel_values"] = inputs["pixel_values"][:, None]
    if case["case"] == "image_features":
        inputs["image_features"] = expected["query.image_features.in"]
    for flag in ("concat_text", "concat_vision"):
        if flag in case:
            inputs[flag] = case[flag]
    rows = checkpoint.model.encode_query(**inputs)
    torch.testing.assert_close(rows, expected[f"query.{case['case']}.late"], atol=1e-5, rtol=0)


def test_several_regions_of_interest(checkpoints: Any, tensors: Any) -> None:
    checkpoint = checkpoints["A_flmr"]
    cases = golden_json("A_flmr/cases.json")["query"]
    case = next(c for c in cases if c["case"] == "rois")
    stacked = torch.stack([pixels(names) for names in case["images"]])
    tokens = checkpoint.query_tokenizer(case["texts"])
    rows = checkpoint.model.encode_query(**tokens, pixel_values=stacked)
    torch.testing.assert_close(rows, tensors["A_flmr"]["query.rois.late"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "case"), cases("doc"))
def test_passage_embeddings(name: str, case: dict, checkpoints: Any, tensors: Any) -> None:
    checkpoint, expected = checkpoints[name], tensors[name]
    inputs: dict[str, Any] = {}
    if case.get("texts"):
        inputs |= checkpoint.passage_tokenizer(case["texts"])
    if case.get("images"):
        inputs["pixel_values"] = pixels(case["images"])
    if case["case"] == "image_features" and "doc.image_features.in" in expected:
        inputs["image_features"] = expected["doc.image_features.in"]
    rows, mask = checkpoint.model.encode_passage(**inputs)
    late = expected[f"doc.{case['case']}.late"]
    late_mask = expected[f"doc.{case['case']}.mask"].bool().squeeze(-1)
    assert torch.equal(mask, late_mask)
    torch.testing.assert_close(rows[mask], late[late_mask], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "case"), cases("forward"))
def test_scores_losses_and_gradients(name: str, case: dict, checkpoints: Any, tensors: Any) -> None:
    checkpoint, key = checkpoints[name], f"forward.{case['case']}"
    model, expected = checkpoint.model, tensors[name]
    model.zero_grad(set_to_none=True)
    queries = model.encode_query(
        **checkpoint.query_tokenizer(case["query_texts"]), pixel_values=pixels(case["images"])
    )
    documents = case["docs"][: len(queries) * (case["num_negative_examples"] + 1)]
    passages = model.encode_passage(**checkpoint.passage_tokenizer(documents))
    scores = aligned_scores(queries, *passages)
    torch.testing.assert_close(scores, expected[f"{key}.scores"], atol=2e-5, rtol=0)
    n = case["num_negative_examples"] + 1
    owner_N = torch.arange(len(documents)) // n
    # Without in-batch negatives only a query's own passages compete.
    own_BN = owner_N == torch.arange(len(queries))[:, None]
    competes_BN = None if case["use_in_batch_negatives"] else own_BN
    gold_B = torch.arange(len(queries)) * n
    loss = contrastive_loss(queries, *passages, gold_B, competes_BN)
    assert loss.item() == pytest.approx(case["loss"], abs=1e-5)
    loss.backward()
    parameters = dict(model.named_parameters())
    norms = {n: p.grad.norm().item() for n, p in parameters.items() if p.grad is not None}
    for parameter, norm in case["grad_norms"].items():
        shared = parameter if parameter in norms else parameter.replace("context_", "query_", 1)
        assert norms[shared] == pytest.approx(norm, rel=2e-4), parameter
    total = sum(norm**2 for norm in norms.values()) ** 0.5
    assert total == pytest.approx(case["total_grad_norm"], rel=2e-4)
    # Poolers, post-layer-norms and unused towers never get a gradient.
    assert len(norms) == case["n_params_with_grad"]
    for tensor_name, gradient in expected.items():
        if tensor_name.startswith(f"{key}.grad."):
            ours = parameters[tensor_name.removeprefix(f"{key}.grad.")].grad
            torch.testing.assert_close(ours, gradient, atol=1e-5, rtol=2e-4)
    model.zero_grad(set_to_none=True)


def test_every_query_scores_every_passage(checkpoints: Any, tensors: Any) -> None:
    for name in MODELS:
        expected = tensors[name]
        rows, mask = expected["doc.text.late"], expected["doc.text.mask"].squeeze(-1)
        scores = maxsim(expected["query.multi.late"], rows, mask)
        torch.testing.assert_close(scores, expected["scores.multi_x_text"], atol=2e-5, rtol=0)


def test_padding_changes_no_passage_row(checkpoints: Any) -> None:
    checkpoint = checkpoints["B_preflmr"]
    texts = ["short", "the church is in the city of paris"]
    with torch.inference_mode():
        wide, wide_mask = checkpoint.model.encode_passage(**checkpoint.passage_tokenizer(texts))
        for i, text in enumerate(texts):
            tokens = checkpoint.passage_tokenizer([text], padding="longest")
            rows, mask = checkpoint.model.encode_passage(**tokens)
            torch.testing.assert_close(rows[0][mask[0]], wide[i][wide_mask[i]])


@pytest.mark.parametrize("name", ["FLMR", "PreFLMR_ViT-B", "PreFLMR_ViT-L", "PreFLMR_ViT-G"])
def test_names_and_shapes_are_the_released_ones(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        (GOLDEN / "released_configs" / f"{name}.json").read_text()
    )
    config = FLMRConfig.from_pretrained(tmp_path)
    with torch.device("meta"):
        model = FLMRModel(config)
    released = golden_json(f"released_state_dict_keys/{name}.json")["keys"]
    shapes = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
    assert shapes == released


def test_contradicting_inputs_are_refused(checkpoints: Any) -> None:
    checkpoint = checkpoints["B_preflmr"]
    tokens = checkpoint.query_tokenizer("what is this: a bird")
    features = torch.zeros(1, 48)
    with pytest.raises(ValueError, match="give pixel_values"):
        checkpoint.model.encode_query(**tokens, image_features=features)
    with pytest.raises(ValueError, match="not both"):
        checkpoint.model.encode_query(
            **tokens, image_features=features, pixel_values=pixels(["img0"])
        )
    with pytest.raises(ValueError, match="needs a picture"):
        checkpoint.model.encode_query(**tokens, concat_vision=True)
    with pytest.raises(ValueError, match="2 regions of interest"):
        two = torch.stack([pixels(["img0", "img1"])])
        checkpoint.model.encode_query(**tokens, pixel_values=two)


def test_a_question_without_separator_is_warned_of(checkpoints: Any, caplog: Any) -> None:
    checkpoint = checkpoints["B_preflmr"]
    checkpoint.model.encode_query(**checkpoint.query_tokenizer("describe: what is this bird"))
    assert not caplog.text
    texts = ["describe: what is this bird", "what is this bird"]
    checkpoint.model.encode_query(**checkpoint.query_tokenizer(texts))
    assert "1 of 2 queries hold no separator ':'" in caplog.text


def test_without_an_instruction_token_every_row_counts() -> None:
    vocab = {t: i for i, t in enumerate((GOLDEN / "vocab.txt").read_text().splitlines())}
    config = FLMRConfig(
        dim=16,
        use_vision_encoder=False,
        text_config={
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "vocab_size": len(vocab),
        },
    )
    tokenizer = QueryTokenizer(vocab, 12)
    model = FLMRModel(config, tokenizer, PassageTokenizer(vocab))
    assert model.query_mask(tokenizer("what is this: a bird")["input_ids"]).all()


def test_the_network_needs_two_kinds_of_ids_and_no_tokenizer(checkpoints: Any) -> None:
    checkpoint = checkpoints["B_preflmr"]
    config, loaded = checkpoint.model.config, checkpoint.model
    query = checkpoint.query_tokenizer("describe: what is this bird")
    passage = checkpoint.passage_tokenizer(["a bird, in the city."])
    bare, network = FLMR(config), FLMR(config, loaded.separator_id, loaded.punctuation_ids)
    for own in (bare, network):
        own.load_state_dict(loaded.state_dict())
        own.eval()
    with torch.inference_mode():
        assert network.encode_query(**query, concat_vision=False).equal(
            loaded.encode_query(**query, concat_vision=False)
        )
        for own, its in zip(
            network.encode_passage(**passage), loaded.encode_passage(**passage), strict=True
        ):
            assert own.equal(its)
        with pytest.raises(ValueError, match="without a separator_id"):
            bare.encode_query(**query, concat_vision=False)
        with pytest.raises(ValueError, match="without punctuation_ids"):
            bare.encode_passage(**passage)


def test_the_model_is_importable_where_it_was() -> None:
    assert import_module("retriever.flmr").FLMRModel is FLMRModel

import threading
from pathlib import Path

import pytest
import torch

from corpus.types import Passage, Query
from generator.embedded import EmbeddedReader
from generator.errors import BadCompletion, GeneratorUnavailable
from generator.interface import Completion, Piece, wait
from generator.prompts import Prompt, closed, numbered, relevance, single
from retriever.encoding.onednn import OneDNNLinear, use_onednn
from tests.scripted import drained
from tests.tiny_causal import byte_tokenizer, tiny_model

PARIS = Passage("b", "Paris", "Paris. Paris has 2,102,650 people (2023).")
LYON = Passage("a", "Lyon", "Lyon. Lyon lies on the Rhône, in France.")
QUERY = Query("Where?")
NUMBERED = numbered(QUERY, [LYON, PARIS], "few-shot")
SINGLES = [single(QUERY, passage, "few-shot") for passage in (LYON, PARIS)]


@pytest.fixture(scope="module")
def tiny() -> EmbeddedReader:
    return EmbeddedReader(tiny_model(), byte_tokenizer(), "tiny")


def closed_book(question: str) -> Prompt:
    return closed(Query(question), "few-shot")


def read(client: EmbeddedReader, prompt: Prompt, max_tokens: int = 24) -> Completion:
    pieces, completion = drained(client.stream(prompt, max_tokens=max_tokens))
    assert "".join(pieces) == completion.text
    return completion


def test_a_free_completion_is_that_of_transformers_generate(tiny: EmbeddedReader) -> None:
    tokenizer, model = byte_tokenizer(), tiny_model()
    for question in ("Where?", "Who?"):
        prompt = tokenizer(closed_book(question).text, return_tensors="pt")
        output = model.generate(**prompt, max_new_tokens=24, do_sample=False, pad_token_id=0)
        expected = tokenizer.decode(output[0, prompt.input_ids.shape[1] :])
        expected = expected.split("<|end|>")[0].split("\n")[0]
        assert read(tiny, closed_book(question)).text == expected


def test_log_probabilities_are_the_models(tiny: EmbeddedReader) -> None:
    """Against one pass over prompt and completion, without cache, batch or padding."""
    tokenizer, model = byte_tokenizer(), tiny_model()
    for prompt in SINGLES:
        asked = tokenizer(prompt.text, return_tensors="pt")
        written = model.generate(**asked, max_new_tokens=24, do_sample=False, pad_token_id=0)
        with torch.inference_mode():
            logprobs = model(input_ids=written).logits[0].log_softmax(-1)
        start = asked.input_ids.shape[1]
        expected = [float(logprobs[i - 1, written[0, i]]) for i in range(start, written.shape[1])]
        found = read(tiny, prompt).token_logprobs
        assert found is not None
        assert len(found) > 3
        assert found == pytest.approx(expected[: len(found)], abs=1e-4)


def test_a_batch_gives_what_its_prompts_give_alone(tiny: EmbeddedReader) -> None:
    prompts = [*SINGLES, NUMBERED, closed_book("Who?"), closed_book("A longer question, where?")]
    together = wait(tiny.complete(prompts, max_tokens=24))
    for prompt, completion in zip(prompts, together, strict=True):
        alone = read(tiny, prompt)
        assert completion.text == alone.text
        assert completion.token_logprobs == pytest.approx(alone.token_logprobs, abs=1e-4)
        assert completion.usage == alone.usage


def test_choices_have_the_models_probabilities(tiny: EmbeddedReader) -> None:
    prompts = [relevance(QUERY, passage, "few-shot") for passage in (LYON, PARIS)]
    tokenizer = byte_tokenizer()
    # One token a byte: both of "yes" and "no" begin with the same space.
    with pytest.raises(ValueError, match="first token"):
        wait(tiny.choose(prompts, ("yes", "no")))
    tiny._encode = lambda text: tokenizer.encode(text.removeprefix(" "), add_special_tokens=False)
    try:
        verdicts = wait(tiny.choose(prompts, ("yes", "no")))
        for prompt, verdict in zip(prompts, verdicts, strict=True):
            ids = torch.tensor([tiny._encode(prompt.text)])
            with torch.inference_mode():
                logits = tiny_model()(input_ids=ids).logits[0, -1]
            pair = logits[[tiny._encode("yes")[0], tiny._encode("no")[0]]].softmax(-1).tolist()
            assert verdict.probabilities == pytest.approx(pair, abs=1e-4)
            assert sum(verdict.probabilities) == pytest.approx(1)
    finally:
        del tiny._encode


def test_the_answer_does_not_depend_on_earlier_questions(tiny: EmbeddedReader) -> None:
    fresh = EmbeddedReader(tiny_model(), byte_tokenizer(), "fresh")
    expected = [read(fresh, SINGLES[0]), read(fresh, closed_book("Who?"))]
    read(tiny, closed_book("Something else?"))
    assert [read(tiny, SINGLES[0]), read(tiny, closed_book("Who?"))] == expected


def test_the_shots_are_computed_once(tiny: EmbeddedReader, monkeypatch) -> None:
    read(tiny, SINGLES[0])
    lengths: list[int] = []
    forward = tiny._model.forward

    def counting(**inputs):
        lengths.append(inputs["input_ids"].shape[1])
        return forward(**inputs)

    monkeypatch.setattr(tiny._model, "forward", counting)
    wait(tiny.complete(SINGLES))
    assert lengths
    assert max(lengths) <= max(len(p.messages[-1].text.encode()) for p in SINGLES)


def test_concurrent_streams_give_the_answers_of_sequential_ones(tiny: EmbeddedReader) -> None:
    prompts = [NUMBERED, SINGLES[0], closed_book("Where?")] * 2
    expected = [read(tiny, prompt) for prompt in prompts]
    answers: dict[int, Completion] = {}
    threads = [
        threading.Thread(target=lambda i=i: answers.update({i: read(tiny, prompts[i])}))
        for i in range(len(prompts))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[i] for i in range(len(prompts))] == expected


def test_a_stream_that_is_left_does_not_block_the_next(tiny: EmbeddedReader) -> None:
    stream = tiny.stream(closed_book("Who?"))
    first = next(stream)
    assert isinstance(first, Piece)
    assert read(tiny, closed_book("Who?")).text.startswith(first.text)


def test_a_control_token_in_a_question_is_plain_text(tiny: EmbeddedReader) -> None:
    assert 0 not in tiny._encode("a <|end|> b")


@pytest.mark.parametrize("prompt", [NUMBERED, closed_book("Where?")])
def test_a_prompt_beyond_the_context_is_refused(prompt: Prompt) -> None:
    small = EmbeddedReader(tiny_model(context=128), byte_tokenizer(), "small")
    with pytest.raises(BadCompletion, match="takes 128"):
        read(small, prompt)


def test_the_folder_of_an_extractive_reader_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "reader.safetensors").touch()
    with pytest.raises(GeneratorUnavailable, match=r"has to be its file, .*/reader\.safetensors$"):
        EmbeddedReader.load(tmp_path)


def test_a_directory_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(GeneratorUnavailable, match=f"No usable model in {tmp_path}"):
        EmbeddedReader.load(tmp_path)
    with pytest.raises(GeneratorUnavailable, match=r"no directory .*none: KBVQA_READER has to be"):
        EmbeddedReader.load(tmp_path / "none")


def test_layers_may_be_changed_for_the_device_and_the_answers_stay(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    changed: list[torch.nn.Module] = []
    plain = EmbeddedReader.load(tmp_path)
    fast = EmbeddedReader.load(
        tmp_path, prepare=lambda model: (changed.append(model), use_onednn(model))[0]
    )
    assert sum(type(m) is OneDNNLinear for m in changed[0].modules()) == 2 * 7 + 1
    for prompt in (NUMBERED, *SINGLES):
        expected, found = read(plain, prompt), read(fast, prompt)
        assert found.text == expected.text
        assert found.token_logprobs == pytest.approx(expected.token_logprobs, abs=1e-4)

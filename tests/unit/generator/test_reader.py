import hashlib
import threading
import time
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from corpus.types import Hit, Passage, Query
from generator import weights
from generator.answers import contains
from generator.errors import BadCompletion, GeneratorUnavailable
from generator.interface import Completion, wait
from generator.prompts import Prompt, closed, numbered, relevance, single
from generator.reader import EmbeddedReader
from generator.strategies import Plan, Reply, respond
from generator.weights import prepare_reader
from retriever.onednn import OneDNNLinear, use_onednn

PARIS = Passage("b", "Paris", "Paris. Paris has 2,102,650 people (2023).")
LYON = Passage("a", "Lyon", "Lyon. Lyon lies on the Rhône, in France.")
QUERY = Query("Where?")
NUMBERED = numbered(QUERY, [LYON, PARIS], "few-shot")
SINGLES = [single(QUERY, passage, "few-shot") for passage in (LYON, PARIS)]


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, as byte-level BPE without merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|end|>": 0, **{c: i for i, c in enumerate(alphabet, start=1)}}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def tiny_model(context: int = 4096) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def tiny() -> EmbeddedReader:
    return EmbeddedReader(tiny_model(), byte_tokenizer(), "tiny")


def closed_book(question: str) -> Prompt:
    return closed(Query(question), "few-shot")


def read(client: EmbeddedReader, prompt: Prompt, max_tokens: int = 24) -> Completion:
    *pieces, completion = client.stream(prompt, max_tokens=max_tokens)
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
    for prompt in SINGLES:  # what is copied is whole characters, so it can be encoded again
        completion = read(tiny, prompt)
        tokens = tiny._encode(prompt.text + completion.text)
        start = len(tiny._encode(prompt.text))
        with torch.inference_mode():
            logits = tiny_model()(input_ids=torch.tensor([tokens])).logits[0].log_softmax(-1)
        expected = [float(logits[i - 1, tokens[i]]) for i in range(start, len(tokens))]
        assert completion.token_logprobs is not None
        assert completion.token_logprobs[: len(expected)] == pytest.approx(expected, abs=1e-4)
        assert len(expected) > 3
        assert len(completion.token_logprobs) - len(expected) in (0, 1)


def test_a_batch_gives_what_its_prompts_give_alone(tiny: EmbeddedReader) -> None:
    prompts = [*SINGLES, NUMBERED, closed_book("Who?"), closed_book("A longer question, where?")]
    together = wait(tiny.complete(prompts, max_tokens=24))
    for prompt, completion in zip(prompts, together, strict=True):
        alone = read(tiny, prompt)
        assert completion.text == alone.text
        assert completion.token_logprobs == pytest.approx(alone.token_logprobs, abs=1e-4)
        assert completion.usage == alone.usage


def test_with_a_source_the_answer_is_copied_from_it(tiny: EmbeddedReader) -> None:
    for completion, prompt in zip(wait(tiny.complete(SINGLES)), SINGLES, strict=True):
        assert contains(prompt.source, completion.text)


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
    fresh = EmbeddedReader(tiny_model(), byte_tokenizer())
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
    assert isinstance(first, str)
    assert read(tiny, closed_book("Who?")).text.startswith(first)


def test_a_control_token_in_a_question_is_plain_text(tiny: EmbeddedReader) -> None:
    assert 0 not in tiny._encode("a <|end|> b")


@pytest.mark.parametrize("prompt", [NUMBERED, closed_book("Where?")])
def test_a_prompt_beyond_the_context_is_refused(prompt: Prompt) -> None:
    small = EmbeddedReader(tiny_model(context=128), byte_tokenizer())
    with pytest.raises(BadCompletion, match="takes 128"):
        read(small, prompt)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(weights, "GGUF_PACKAGE", "no_such_package")
    with pytest.raises(GeneratorUnavailable, match=r"no_such_package.*make install"):
        prepare_reader(tmp_path)
    assert list(tmp_path.iterdir()) == []


def install_gguf(folder: Path, content: bytes, monkeypatch) -> None:
    (folder / "fake_weights").mkdir()
    (folder / "fake_weights" / weights.GGUF_FILE).write_bytes(content)
    (folder / "fake_weights" / "__init__.py").write_text("raise ImportError('not to be imported')")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(weights, "GGUF_PACKAGE", "fake_weights")


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch) -> None:
    install_gguf(tmp_path, b"not a model", monkeypatch)
    with pytest.raises(GeneratorUnavailable, match=r"damaged.*sha256"):
        prepare_reader(tmp_path / "cache")


def test_the_conversion_happens_once_and_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch
) -> None:
    install_gguf(tmp_path, b"weights", monkeypatch)
    monkeypatch.setattr(weights, "GGUF_SHA256", hashlib.sha256(b"weights").hexdigest())
    calls = []

    def convert(gguf: Path, target: Path) -> None:
        calls.append(gguf)
        (target / "config.json").write_text("{}")
        if len(calls) == 1:
            raise OSError("disk full")

    monkeypatch.setattr(weights, "_convert", convert)
    cache = tmp_path / "cache"
    with pytest.raises(GeneratorUnavailable, match="disk full"):
        prepare_reader(cache)
    assert list(cache.iterdir()) == []
    told: list[str] = []
    directory = prepare_reader(cache, progress=told.append)
    assert (directory / "config.json").exists()
    assert told
    assert prepare_reader(cache) == directory
    assert len(calls) == 2
    assert list(cache.iterdir()) == [directory]


def test_a_directory_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(GeneratorUnavailable, match=str(tmp_path)):
        EmbeddedReader.load(tmp_path)


@pytest.mark.slow
def test_the_real_reader_answers_three_passages_within_five_seconds_on_one_core(
    tmp_path_factory,
) -> None:
    directory = prepare_reader(tmp_path_factory.mktemp("reader"))
    client = EmbeddedReader.load(directory)
    padding = " It lies on a river, has hills in the north and a long coast in the west." * 5
    passages = [
        Passage("c", "France", f"France - Climate. Highest point: Mont Blanc 4,810 m.{padding}"),
        Passage("n", "France", f"France - Name. Capital: Paris. Time: UTC+1.{padding}"),
        Passage("m", "France", f"France - Currency. Currency: euros (EUR).{padding}"),
    ]
    hits = [Hit(p, score) for p, score in zip(passages, (18.9, 20.0, 17.6), strict=True)]
    query = Query("What is the capital of the country with this flag?")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        *_, reply = respond(client, query, hits, Plan())
        started = time.thread_time()
        *_, reply = respond(client, query, hits, Plan())
        seconds = time.thread_time() - started
    finally:
        torch.set_num_threads(threads)
    assert isinstance(reply, Reply)
    assert reply.answer.text == "Paris"
    assert [citation.passage_id for citation in reply.answer.citations] == ["n"]
    # Time of this thread, so that a busy machine does not fail the test.
    assert seconds < 5


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

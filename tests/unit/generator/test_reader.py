import hashlib
import threading
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from corpus.types import Hit, Passage, Query
from generator import reader
from generator.answers import contains, parse_answer
from generator.errors import BadCompletion, GeneratorUnavailable
from generator.prompts import Message, build_messages, render_text
from generator.reader import EmbeddedReader, prepare_reader

HITS = [
    Hit(Passage("a", "Lyon", "Lyon. Lyon lies on the Rhône, in France."), 2.0),
    Hit(Passage("b", "Paris", "Paris. Paris has 2,102,650 people (2023)."), 1.0),
]
MESSAGES = build_messages(Query("Where?"), HITS)


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


def closed_book(question: str) -> list[Message]:
    return build_messages(Query(question), [])


def read(client: EmbeddedReader, messages: list[Message], max_tokens: int = 24) -> str:
    return "".join(client.stream(messages, max_tokens=max_tokens))


def test_a_free_completion_is_that_of_transformers_generate(tiny: EmbeddedReader) -> None:
    tokenizer, model = byte_tokenizer(), tiny_model()
    for question in ("Where?", "Who?"):
        prompt = tokenizer(render_text(closed_book(question)), return_tensors="pt")
        output = model.generate(**prompt, max_new_tokens=24, do_sample=False, pad_token_id=0)
        expected = tokenizer.decode(output[0, prompt.input_ids.shape[1] :])
        expected = expected.split("<|end|>")[0].split("\n")[0].rstrip("\N{REPLACEMENT CHARACTER}")
        assert read(tiny, closed_book(question)) == expected


def test_with_passages_the_answer_is_copied_from_the_one_it_cites(tiny: EmbeddedReader) -> None:
    answer = parse_answer(read(tiny, MESSAGES), HITS)
    [citation] = answer.citations
    assert citation.origin == "generator"
    assert contains(HITS[citation.number - 1].passage.text, answer.text)


def test_the_answer_does_not_depend_on_earlier_questions(tiny: EmbeddedReader) -> None:
    fresh = EmbeddedReader(tiny_model(), byte_tokenizer())
    expected = [read(fresh, MESSAGES), read(fresh, closed_book("Who?"))]
    read(tiny, closed_book("Something else?"))
    assert [read(tiny, MESSAGES), read(tiny, closed_book("Who?"))] == expected


def test_the_shots_are_computed_once(tiny: EmbeddedReader, monkeypatch) -> None:
    read(tiny, MESSAGES)
    lengths: list[int] = []
    step = tiny._step
    monkeypatch.setattr(
        tiny, "_step", lambda tokens, cache: lengths.append(len(tokens)) or step(tokens, cache)
    )
    read(tiny, MESSAGES)
    assert max(lengths) < len(MESSAGES[-1].text)


def test_concurrent_streams_give_the_answers_of_sequential_ones(tiny: EmbeddedReader) -> None:
    prompts = [MESSAGES, closed_book("Who?"), closed_book("Where?")] * 2
    expected = [read(tiny, prompt) for prompt in prompts]
    answers: dict[int, str] = {}
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
    assert read(tiny, closed_book("Who?")).startswith(first)


def test_a_control_token_in_a_question_is_plain_text(tiny: EmbeddedReader) -> None:
    assert 0 not in tiny._encode("a <|end|> b")


@pytest.mark.parametrize("messages", [MESSAGES, closed_book("Where?")])
def test_a_prompt_beyond_the_context_is_refused(messages: list[Message]) -> None:
    small = EmbeddedReader(tiny_model(context=128), byte_tokenizer())
    with pytest.raises(BadCompletion, match="takes 128"):
        read(small, messages)


def split_stream(text: str) -> list[str]:
    client = EmbeddedReader(tiny_model(), byte_tokenizer())
    return list(client._first_line(iter(client._encode(text))))


def test_pieces_are_whole_characters_and_end_with_the_line() -> None:
    assert split_stream("né\nx") == ["n", "é"]
    assert split_stream("東") == ["東"]
    assert split_stream("\nx") == []


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(reader, "GGUF_PACKAGE", "no_such_package")
    with pytest.raises(GeneratorUnavailable, match=r"no_such_package.*make install"):
        prepare_reader(tmp_path)
    assert list(tmp_path.iterdir()) == []


def install_gguf(folder: Path, content: bytes, monkeypatch) -> None:
    (folder / "fake_weights").mkdir()
    (folder / "fake_weights" / reader.GGUF_FILE).write_bytes(content)
    (folder / "fake_weights" / "__init__.py").write_text("raise ImportError('not to be imported')")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(reader, "GGUF_PACKAGE", "fake_weights")


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch) -> None:
    install_gguf(tmp_path, b"not a model", monkeypatch)
    with pytest.raises(GeneratorUnavailable, match=r"damaged.*sha256"):
        prepare_reader(tmp_path / "cache")


def test_the_conversion_happens_once_and_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch
) -> None:
    install_gguf(tmp_path, b"weights", monkeypatch)
    monkeypatch.setattr(reader, "GGUF_SHA256", hashlib.sha256(b"weights").hexdigest())
    calls = []

    def convert(gguf: Path, target: Path) -> None:
        calls.append(gguf)
        (target / "config.json").write_text("{}")
        if len(calls) == 1:
            raise OSError("disk full")

    monkeypatch.setattr(reader, "_convert", convert)
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
def test_the_real_reader_answers_with_a_short_phrase(tmp_path_factory) -> None:
    pytest.importorskip("gguf")
    directory = prepare_reader(tmp_path_factory.mktemp("reader"))
    client = EmbeddedReader.load(directory)
    hits = [
        Hit(Passage("c", "France", "France - Climate. Highest point: Mont Blanc 4,810 m."), 2.0),
        Hit(Passage("n", "France", "France - Name. Capital: Paris. Time difference: UTC+1."), 1.0),
    ]
    query = Query("What is the capital of the country with this flag?")
    answer = parse_answer(read(client, build_messages(query, hits)), hits)
    assert answer.text == "Paris"
    assert [citation.passage_id for citation in answer.citations] == ["n"]

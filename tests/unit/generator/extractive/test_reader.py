"""The shipped extractive reader on real passages; an untrained head fails the same questions."""

import math
import shutil
from pathlib import Path

import pytest
import torch

from corpus.demo.data import demo_passages_path
from corpus.files.passages import read_passages
from corpus.types import Hit, Passage, Query
from generator.answers.answer import SEEN_ALONE, Answer
from generator.answers.plan import AnswerPlan
from generator.answers.strategies import respond
from generator.errors import GeneratorUnavailable, StrategyUnavailable
from generator.extractive.model import (
    SHIPPED,
    base_model,
    base_tokenizer,
    load_trained,
    save_mean,
    save_trained,
)
from generator.extractive.reader import NOTHING, ExtractiveReader
from generator.interface import wait
from tests.scripted import ScriptedGenerator

QUESTIONS = [
    ("factbook:KE:Country name and capital", "What is the capital of this country?", "Nairobi"),
    ("factbook:KE:Currency", "which money do they use there", "Kenyan shillings (KES)"),
    ("factbook:JP:Climate and terrain", "Name the highest mountain.", "Mount Fuji"),
    ("factbook:BR:Communications and transport", "Its internet ending?", ".br"),
    ("factbook:IS:Location and borders", "How long is the coast?", "4,970 km"),
    ("factbook:NP:Independence and holidays", "what is their national day", "Constitution Day"),
    ("factbook:ZA:People and ethnic groups", "how many folks live here?", "61,089,926"),
    ("wiki:Polar bear", "How heavy does a male get?", "300–800 kg"),
    ("wiki:Violin", "How many strings has it?", "four"),
    ("wiki:Gecko", "To which suborder does it belong?", "Gekkota"),
]
PLAN = AnswerPlan(strategy="extract")


@pytest.fixture(scope="module")
def reader() -> ExtractiveReader:
    return ExtractiveReader.from_pretrained()


@pytest.fixture(scope="module")
def passages() -> dict[str, str]:
    return {p.id: p.text for p in read_passages(demo_passages_path())}


def right(reader: ExtractiveReader, passages: dict[str, str]) -> int:
    found = [
        (reader.read(question, [passages[id_]])[0].text, answer)
        for id_, question, answer in QUESTIONS
    ]
    # Some passages have spaces that do not break.
    return sum(answer.casefold() in " ".join(text.casefold().split()) for text, answer in found)


def test_ten_real_questions_are_answered(reader: ExtractiveReader, passages) -> None:
    assert right(reader, passages) >= 9


@pytest.mark.parametrize("question", ["What does this animal eat?", "What is its diet?"])
def test_what_a_panda_can_digest_is_not_what_it_eats(reader, passages, question: str) -> None:
    (reading,) = reader.read(question, [passages["wiki:Giant panda"]])
    assert "bamboo" in reading.text and "starch" not in reading.text


def test_what_is_passed_over_is_no_alternative_to_the_answer(reader, passages) -> None:
    asked = "How long does this planet take to go once around the Sun?"
    (reading,) = reader.read(asked, [passages["wiki:Saturn"]])
    assert reading.text.split() == ["29.45", "years"]
    assert math.exp(reading.logprob) > 0.25  # 0.08 beside all that it could not be


def test_an_untrained_head_answers_none_of_them(passages) -> None:
    untrained = ExtractiveReader(base_model(), base_tokenizer(), "untrained")
    assert right(untrained, passages) <= 2


def test_passages_without_an_answer_say_so(reader: ExtractiveReader, passages) -> None:
    texts = [
        passages[f"factbook:KE:{s}"] for s in ("Currency", "Country name and capital", "Military")
    ]
    currency, capital, military = reader.read("What is the capital of this country?", texts)
    assert capital.text == "Nairobi" and capital.logprob > capital.none_logprob
    assert currency.none_logprob > currency.logprob and military.none_logprob > military.logprob


def test_what_is_cited_is_what_was_taken(reader: ExtractiveReader, passages) -> None:
    text = passages["factbook:KE:Country name and capital"]
    [reading] = reader.read("capital?", [text])
    [(start, end)] = reading.spans
    assert text[start:end] == reading.text == "Nairobi"


def test_batches_and_padding_change_nothing(reader: ExtractiveReader, passages) -> None:
    texts = [passages[id_] for id_, _, _ in QUESTIONS]
    together = reader.read("What is the capital?", texts)
    for text, expected in zip(texts, together, strict=True):
        [alone] = reader.read("What is the capital?", [text])
        assert (alone.text, alone.spans) == (expected.text, expected.spans)
        # Six layers of float32 sums of up to 1,536 terms, in another order.
        assert alone.logprob == pytest.approx(expected.logprob, abs=2e-3)


def test_an_answer_is_found_wherever_it_stands_in_a_long_passage(reader, passages) -> None:
    filler = "The weather was mild and the roads were quiet on that day. " * 60
    text = f"{filler}Capital: Nairobi. {filler}"
    [reading] = reader.read("What is the capital?", [text])
    assert reading.text == "Nairobi" and text[slice(*reading.spans[0])] == "Nairobi"


@pytest.mark.parametrize("text", ["", "   ", "​"])
def test_nothing_to_read_is_nothing(reader: ExtractiveReader, text: str) -> None:
    assert reader.read("What is it?", [text]) == [NOTHING]
    assert reader.read("What is it?", []) == []


def test_the_shipped_file_is_small_and_survives_a_copy(tmp_path: Path) -> None:
    assert SHIPPED.stat().st_size < 12_000_000
    model, revision = load_trained(SHIPPED)
    copy = Path(shutil.copy(SHIPPED, tmp_path))
    assert load_trained(copy)[1] == revision
    # The differences are kept in 8 bits: written again they are the same.
    save_trained(model, tmp_path / "again.safetensors", {})
    again, _ = load_trained(tmp_path / "again.safetensors")
    for name, tensor in model.state_dict().items():
        assert (tensor - again.state_dict()[name]).abs().max() <= 1e-3 * tensor.abs().max(), name


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "reader.safetensors"
    path.write_bytes(content)
    with pytest.raises(GeneratorUnavailable, match=r"reader\.safetensors.*kbvqa train reader"):
        ExtractiveReader.from_pretrained(path)
    with pytest.raises(GeneratorUnavailable, match=r"missing\.safetensors"):
        ExtractiveReader.from_pretrained(tmp_path / "missing.safetensors")


def hits(passages: dict[str, str], *ids: str) -> list[Hit]:
    every = {p.id: p for p in read_passages(demo_passages_path())}
    return [Hit(every[id_], 30.0 - n) for n, id_ in enumerate(ids)]


def ask(reader: ExtractiveReader, question: str, found: list[Hit]) -> Answer:
    return wait(respond(reader, Query(question), found, PLAN))


def test_an_answer_cites_the_words_and_says_what_speaks_for_it(reader, passages) -> None:
    found = hits(passages, "factbook:KE:Currency", "factbook:KE:Country name and capital")
    answer = ask(reader, "What is the capital?", found)
    assert answer.text == "Nairobi" and answer.strategy == "extract"
    [citation] = answer.citations
    assert (citation.number, citation.origin) == (2, "span")
    text = found[1].passage.text
    assert [text[a:b] for a, b in citation.spans] == ["Nairobi"]
    evidence = answer.evidence
    assert evidence.answerable is not None and evidence.answerable > 0
    assert evidence.lead is not None and evidence.agreement is not None


def test_what_is_this_is_answered_with_its_name_and_kind(reader, passages) -> None:
    found = hits(passages, "wiki:Gecko")
    # "Geckos are small, mostly carnivorous lizards": an adjective by itself is no kind.
    assert ask(reader, "What is this?", found).text == "Gecko"
    polar_bear = ask(reader, "What is this?", hits(passages, "wiki:Polar bear"))
    assert polar_bear.text.startswith("Polar bear: ")
    assert not ask(reader, "What kind of animal is this?", found).text.startswith("Gecko")


def test_what_is_this_reads_of_the_best_passages_subject_alone(reader, passages) -> None:
    gecko, bear = hits(passages, "wiki:Gecko", "wiki:Polar bear")
    answer = ask(reader, "What is this?", [Hit(bear.passage, 21.0), Hit(gecko.passage, 20.9)])
    assert answer.text.startswith("Polar bear: ") and "Gecko" not in answer.text
    assert [citation.number for citation in answer.citations] == [1]


def test_what_is_this_is_the_bare_name_where_no_passage_defines_it(reader, passages) -> None:
    found = hits(passages, "factbook:KE:Currency")
    assert ask(reader, "What is this?", found).text == "Kenya"


def test_which_country_it_is_is_the_name_of_the_one_that_was_found(reader, passages) -> None:
    found = hits(passages, "factbook:KE:Location and borders", "factbook:KE:Flag")
    answer = ask(reader, "which country is this?", found)
    assert answer.text == "Kenya"
    [citation] = answer.citations
    assert found[0].passage.text[slice(*citation.spans[0])] == "Kenya"
    assert None not in (answer.evidence.lead, answer.evidence.answerable, answer.evidence.subject)
    # Of what is no country it is read as any other question.
    gecko = ask(reader, "which country is this?", hits(passages, "wiki:Gecko"))
    assert gecko.text != "Gecko"


@pytest.mark.parametrize(
    ("question", "begins"),
    [
        ("Does it border Uganda?", "Yes: Uganda 814 km"),
        ("Does it border Egypt?", "I cannot say; the passage has “Ethiopia"),
        ("Is its coast longer than 1,000 km?", "No: 536 km"),
        ("Does it have a nice coast?", "I cannot say; the passage has “"),
    ],
)
def test_a_question_for_yes_or_no_never_gets_a_bare_value(
    reader, passages, question: str, begins: str
) -> None:
    answer = ask(reader, question, hits(passages, "factbook:KE:Location and borders"))
    assert answer.text.startswith(begins)
    assert bool(answer.doubts) == begins.startswith("I cannot say")
    [citation] = answer.citations
    assert citation.spans


def test_what_decides_nothing_is_told_with_the_words_around_it(reader) -> None:
    text = "The garden is old. Dogs are not allowed in it, but for guide dogs. It opens at 9 am."
    answer = ask(reader, "Can I bring my dog?", [Hit(Passage("p", "Rules", text), 1.0)])
    said = "Dogs are not allowed in it, but for guide dogs"
    assert answer.text == f"I cannot say; the passage has “{said}”."
    [citation] = answer.citations
    assert [text[a:b] for a, b in citation.spans] == [said]


@pytest.mark.parametrize("question", ["What is this?", "What is this called?", "what bird is this"])
def test_however_it_is_put_what_is_shown_is_told_alike(reader, passages, question: str) -> None:
    found = hits(passages, "wiki:Gecko")
    first, asked = ask(reader, "What is this?", found), ask(reader, question, found)
    assert (asked.text, asked.evidence) == (first.text, first.evidence)


def test_a_number_keeps_its_sign(reader) -> None:
    text = "The seed bank keeps seeds of 1,150 plants at -20 °C."
    answer = ask(reader, "How cold is it there?", [Hit(Passage("p", "Seeds", text), 1.0)])
    assert answer.text == "-20 °C"


def test_words_that_are_not_about_the_question_decide_nothing(reader, passages) -> None:
    found = hits(passages, "factbook:KE:Climate and terrain")
    assert ask(reader, "Does it border Egypt?", found).text.startswith("I cannot say")


def test_what_was_recognised_answers_what_is_this(reader, passages) -> None:
    found = hits(passages, "wiki:Gecko", "wiki:Cheetah")
    query = Query("What is this?")

    def named(question: Query, *names: str) -> Answer:
        return wait(respond(reader, question, found, PLAN, recognised=names))

    assert named(query).text == "Gecko"
    cheetah = named(query, "cheetah", "leopard")
    assert cheetah.text.startswith("Cheetah: ") and cheetah.citations[0].number == 2
    # Where no passage is about it its name is the answer, and nothing proves it.
    alone = named(query, "daisy")
    assert (alone.text, alone.citations, alone.read) == ("daisy", (), ())
    assert alone.doubts == (SEEN_ALONE,)
    assert named(Query("What does it eat?"), "daisy").text != "daisy"


def test_strategies_of_the_others_are_refused_and_the_other_way_round(reader, passages) -> None:
    found = hits(passages, "wiki:Gecko")
    with pytest.raises(StrategyUnavailable, match="does not answer by 'concat'"):
        list(respond(reader, Query("?"), found, AnswerPlan(strategy="concat")))
    with pytest.raises(StrategyUnavailable, match="does not answer by 'extract'"):
        list(respond(ScriptedGenerator([]), Query("?"), found, PLAN))


def test_without_passages_it_says_what_to_do(reader) -> None:
    with pytest.raises(StrategyUnavailable, match="answers from passages alone"):
        list(respond(reader, Query("What is it?"), [], PLAN))


def test_the_mean_lies_between_what_was_trained(tmp_path: Path) -> None:
    paths = [tmp_path / "low.safetensors", tmp_path / "high.safetensors"]
    for path, change in zip(paths, (-0.01, 0.03), strict=True):
        model = base_model()
        with torch.no_grad():
            for parameter in (*model.bert.encoder.parameters(), *model.span_linear.parameters()):
                parameter += change
        save_trained(model, path, {})
    save_mean(paths, tmp_path / "mean.safetensors", {})
    state, base = load_trained(tmp_path / "mean.safetensors")[0].state_dict(), base_model()
    for name, parameter in (*base.bert.encoder.named_parameters(prefix="bert.encoder"),):
        torch.testing.assert_close(state[name], parameter + 0.01, atol=2e-4, rtol=0)
    torch.testing.assert_close(
        state["span_linear.weight"], base.span_linear.weight + 0.01, atol=1e-3, rtol=0
    )


@pytest.mark.parametrize(
    ("passage", "question", "words"),
    [
        ("factbook:SM:Location and borders", "total length of the littoral, in km", "0 km"),
    ],
)
def test_what_measures_something_else_is_passed_over(
    reader, passages, passage, question, words
) -> None:
    [reading] = reader.read(question, [passages[passage]])
    assert reading.text.startswith(words)


def test_nobody_is_a_place(reader, passages) -> None:
    [reading] = reader.read(
        "Where is the seat of government?", [passages["factbook:TR:Government"]]
    )
    assert "President" not in reading.text


def test_where_no_words_can_be_meant_some_are_said_and_are_worth_nothing(reader) -> None:
    [reading] = reader.read("When was it built?", ["A red tower."])
    assert reading.text
    assert reading.logprob <= NOTHING.logprob

"""Reading examples: from SQuAD, from gold passages, and from the demo corpus."""

import doctest
import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from corpus.demo import reading as demo_reading
from corpus.demo.data import demo_file, demo_passages_path, demo_questions
from corpus.demo.epochs import DemoReading
from corpus.demo.reading import factbook_facts, handwritten, split_of, spoken_questions, wordings
from corpus.errors import CorpusError, DatasetNotFound, InvalidRecord
from corpus.files.jsonl import read_records
from corpus.files.passages import read_passages
from corpus.reading import (
    ReadingExample,
    excerpt,
    find_words,
    from_gold,
    read_squad,
    without_answer,
)
from corpus.types import Example, Passage


def squad(tmp_path: Path, *qas: dict[str, object], context: str = "Paris is in France.") -> Path:
    path = tmp_path / "squad.json"
    paragraph = {"context": context, "qas": [{"question": "q", "id": "1", **qa} for qa in qas]}
    path.write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}))
    return path


def test_squad_with_and_without_answers(tmp_path: Path) -> None:
    path = squad(
        tmp_path,
        {"answers": [{"text": "France", "answer_start": 12}]},
        {"answers": [{"text": "Paris", "answer_start": 3}]},  # elsewhere than it says
        {"is_impossible": True, "answers": []},
        {"is_impossible": True},
        {"is_impossible": False, "answers": [{"text": "is", "answer_start": 6}]},
    )
    assert [(e.answer, e.kind) for e in read_squad(path)] == [
        ("France", "span"),
        ("Paris", "span"),
        ("", "none"),
        ("", "none"),
        ("is", "span"),
    ]


def test_of_the_answers_of_several_people_the_one_most_agreed_on_is_learnt(tmp_path: Path) -> None:
    text = "Paris is the capital of France."

    def learnt(*answers: str) -> str:
        rows = [{"text": answer, "answer_start": text.index(answer)} for answer in answers]
        [example] = read_squad(squad(tmp_path, {"answers": rows}, context=text))
        return example.answer

    assert learnt("the capital of France", "Paris", "capital of France") == "the capital of France"
    assert learnt("the capital of France", "Paris", "Paris") == "Paris"
    assert learnt("France", "Paris") == "France", "the first of equal ones"


@pytest.mark.parametrize(
    ("qa", "said"),
    [
        ({}, "missing"),
        ({"answer": [{"text": "Paris", "answer_start": 0}]}, "called 'answer'"),
        ({"answers": []}, "empty"),
        ({"answers": None}, "empty"),
        ({"is_impossible": False}, "missing"),
    ],
)
def test_a_question_without_answers_teaches_nothing_by_a_slip(
    tmp_path: Path, qa: dict[str, object], said: str
) -> None:
    path = squad(tmp_path, qa)
    with pytest.raises(InvalidRecord) as told:
        list(read_squad(path))
    assert str(told.value) == (
        f"{path}, paragraph 1, field 'answers': {said} at question '1': write \"answers\": "
        '[{"text": ..., "answer_start": ...}], or "is_impossible": true where it has no answer'
    )


def test_whether_it_is_impossible_is_true_or_false(tmp_path: Path) -> None:
    answers = [{"text": "Paris", "answer_start": 0}]
    with pytest.raises(InvalidRecord, match="'is_impossible': 'false' at question '1': write"):
        list(read_squad(squad(tmp_path, {"is_impossible": "false", "answers": answers})))


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_squad_file_with_a_byte_order_mark_or_compressed(
    tmp_path: Path, packed: Callable[[bytes], bytes], mark: bytes
) -> None:
    path = squad(tmp_path, {"answers": [{"text": "Paris", "answer_start": 0}]})
    path.write_bytes(packed(mark + path.read_bytes()))
    assert [example.answer for example in read_squad(path)] == ["Paris"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[]", 'It needs {"data": '),
        (b'{"version": "1"}', 'It needs {"data": '),
        (b'{"a": 1}\n{"b": 2}', r"not JSON \(Extra data at line 2, column 1\). It needs"),
        (b"", "not JSON"),
        (b"[" * 100_000, "JSON that cannot be read"),
        ('{"data": "é"}'.encode("latin-1"), "not UTF-8"),
        (b"\x1f\x8b\x08\x00", "other"),
    ],
)
def test_what_is_no_squad_file_is_told_in_words(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=said) as told:
        list(read_squad(path))
    assert str(path) in str(told.value)
    assert "line 0" not in str(told.value) and "Error" not in str(told.value)
    with pytest.raises(DatasetNotFound, match="does not exist"):
        list(read_squad(tmp_path / "none.json"))


def test_an_answer_that_is_not_in_its_context_is_named(tmp_path: Path) -> None:
    wrong = squad(tmp_path, {"answers": [{"text": "Rome", "answer_start": 0}]})
    with pytest.raises(InvalidRecord, match=r"'Rome' to question '1' is not in its context"):
        list(read_squad(wrong))


@pytest.mark.parametrize(
    ("qa", "said"),
    [
        ({"answers": {"text": ["Paris"], "answer_start": [0]}}, "SQuAD has"),
        ({"answers": ["Paris"]}, "not a paragraph"),
        ({"answers": [{"answer_start": 0}]}, "text"),
        ({"answers": [{"text": "Paris", "answer_start": None}]}, "NoneType"),
        ({"answers": [{"text": "Paris", "answer_start": "x"}]}, "'x'"),
        ({"question": 5, "is_impossible": True}, "question is 5, and no text"),
    ],
)
def test_a_damaged_squad_question_is_named(
    tmp_path: Path, qa: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidRecord, match=rf"squad\.json.*{said}"):
        list(read_squad(squad(tmp_path, qa)))


def test_a_squad_paragraph_without_a_text_is_named(tmp_path: Path) -> None:
    path = squad(tmp_path, {"is_impossible": True})
    path.write_text(path.read_text().replace('"Paris is in France."', "null"))
    with pytest.raises(InvalidRecord, match="context is None, and no text"):
        list(read_squad(path))
    path.write_text(json.dumps({"data": [{"paragraphs": ["Paris"]}]}))
    with pytest.raises(InvalidRecord, match="not a paragraph"):
        list(read_squad(path))


def test_gold_passages_are_read_where_they_have_an_answer() -> None:
    texts = {"a": "It flows into the North Sea.", "b": "Nothing."}
    asked = Example("1", "x.png", "Where to?", ("Baltic", "north sea"), ("a", "b", "gone"))
    [example] = from_gold([asked], texts)
    assert example == ReadingExample("Where to?", texts["a"], 18, 27, "span")
    assert find_words("", "x") is None and find_words("x", " ") is None


@pytest.mark.parametrize(
    ("text", "answer", "place"),
    [
        ("首都は東京です。", "東京", (3, 5)),
        ("高さは333mです", "333", None),
        ("高さは333 mです", "333", (3, 6)),
        ("東京Towerは", "tower", (2, 7)),
        ("เมืองหลวงคือกรุงเทพ", "กรุงเทพ", (12, 19)),
        ("ที่นี่", "ท", None),  # a consonant without the marks on it
        ("The Nile-Delta", "Nile", (4, 8)),
        ("10-5", "-5", None),
        ("cafe\u0301", "cafe", None),
    ],
)
def test_words_of_scripts_without_spaces_are_found(
    text: str, answer: str, place: tuple[int, int] | None
) -> None:
    assert find_words(text, answer) == place


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(demo_reading).failed == 0


def test_a_factbook_passage_is_taken_apart() -> None:
    text = (
        "Kenya - Country name and capital. Name etymology: named after Mount Kenya. "
        "Capital: Nairobi. Capital etymology: cool water."
    )
    passage = Passage("factbook:KE:x", "Kenya", text, section="Country name and capital")
    assert [(f.field, f.value) for f in factbook_facts(passage)] == [
        ("Name etymology", "named after Mount Kenya"),
        ("Capital", "Nairobi"),
        ("Capital etymology", "cool water"),
    ]


def test_the_facts_are_those_that_the_demo_asks_for() -> None:
    """Two roads to the same values: the questions' answers and the labels in the passages."""
    facts = {}
    for passage in read_passages(demo_passages_path()):
        if passage.id.startswith("factbook:"):
            facts.update({(passage.entity, f.field): f.value for f in factbook_facts(passage)})
    asked = [q for q in demo_questions() if not q.field.startswith("w_")]
    same = [q.answer.startswith(facts.get((q.entity, q.field), "?")[:20]) for q in asked]
    assert sum(same) > 0.99 * len(asked)


@pytest.fixture(scope="module")
def corpus() -> DemoReading:
    return DemoReading(facts=600)


def test_an_epoch_is_the_same_each_time_and_another_one_differs(corpus: DemoReading) -> None:
    assert corpus.epoch(1) == DemoReading(facts=600).epoch(1)
    assert corpus.epoch(1) != corpus.epoch(2)


def test_every_answer_stands_where_it_is_marked(corpus: DemoReading) -> None:
    examples = corpus.epoch(0)
    kinds = {example.kind for example in examples}
    assert kinds == {"none", "span", "list", "definition", "yes", "no"}
    for example in examples:
        if example.kind in ("span", "list", "definition"):
            assert example.answer and example.answer == example.answer.strip()
        if example.kind == "none":
            assert example.start == example.end == -1


def test_fewer_questions_to_leads_leave_those_in_everyday_words() -> None:
    corpus = DemoReading(facts=12, leads=3, noise=0.0, attacks=0.0)
    examples = corpus.epoch(0)

    def asked(rows: list[tuple[Passage, ReadingExample, str]]) -> int:
        pairs = {(example.question, example.passage) for _, example, _ in rows}
        return len(pairs & {(example.question, example.passage) for example in examples})

    spoken = spoken_questions("train", corpus.passages)
    assert asked(spoken) == len(spoken)
    longer = [row for row in handwritten("train", corpus.passages) if len(row[1].question) > 40]
    assert asked(longer) <= 3


def test_a_question_in_everyday_words_goes_to_a_section_without_the_answer_too() -> None:
    corpus = DemoReading(facts=12, leads=0, noise=0.0, attacks=0.0)
    rows = [row for row in spoken_questions("train", corpus.passages) if row[1].answer]
    answers = {(example.question, passage.id): example.answer for passage, example, _ in rows}
    own = {passage.text: passage for passage in corpus.passages.values()}
    asked = {question for question, _ in answers}
    wrong = [
        example for example in corpus.epoch(0)
        if example.kind == "none" and example.question in asked
        and example.passage in own and own[example.passage].entity.startswith("flag:")
    ]  # fmt: skip
    assert len(wrong) > 500
    for example in wrong:
        entity = own[example.passage].entity
        told = [a for (q, id_), a in answers.items()
                if q == example.question and corpus.passages[id_].entity == entity]  # fmt: skip
        assert all(answer not in example.passage for answer in told)


def test_of_the_questions_in_everyday_words_as_many_are_asked_as_wanted() -> None:
    corpus = DemoReading(facts=12, leads=0, spoken=50, noise=0.0, attacks=0.0)
    rows = [row for row in spoken_questions("train", corpus.passages) if len(row[1].question) > 40]
    asked = {example.question for example in corpus.epoch(0)}
    assert 10 < len(asked & {example.question for _, example, _ in rows}) <= 50


def test_a_passage_without_the_sentences_of_the_answer() -> None:
    text = "Ash. The ash is a tree. It grows to 20 m, or more. Its wood is hard."

    def without(answer: str) -> str | None:
        start = text.index(answer)
        return without_answer(ReadingExample("?", text, start, start + len(answer), "span"))

    assert without("20 m") == "Ash. The ash is a tree. Its wood is hard."
    assert without("tree. It grows") == "Ash. Its wood is hard."
    assert without("Ash") is None, "another sentence has it, in small letters"
    assert without_answer(ReadingExample("?", text)) is None


LONG = " ".join(f"Sentence {n} of many says little." for n in range(40))


def test_an_excerpt_has_the_answer_and_is_as_long_as_was_said() -> None:
    start = LONG.index("20 of many")
    whole = ReadingExample("?", LONG, start, start + 10, "span")
    found = {excerpt(whole, 30, random.Random(n)) for n in range(50)}
    assert len(found) > 10, "other ones with another draw"
    for example in found:
        assert example.answer == "20 of many" and example.kind == "span"
        assert example.passage in LONG and example.passage.startswith("Sentence")
        assert example.passage.rstrip().endswith(".")
        assert 12 <= len(example.passage.split()) <= 30


def test_an_excerpt_keeps_all_sentences_of_a_long_answer() -> None:
    start = LONG.index("Sentence 3 ")
    whole = ReadingExample("?", LONG, start, LONG.index("Sentence 30 "), "list")
    cut = excerpt(whole, 10, random.Random(0))
    assert cut.passage == cut.answer == whole.answer, "no more than these"


def test_an_excerpt_without_an_answer_is_of_any_sentences() -> None:
    found = {excerpt(ReadingExample("?", LONG), 20, random.Random(n)).passage for n in range(40)}
    assert len(found) > 10 and all(len(text.split()) <= 20 for text in found)
    unmarked = ReadingExample("Is it?", LONG, kind="yes")
    assert excerpt(unmarked, 20, random.Random(0)) == unmarked, "what decides may be anywhere"
    short = ReadingExample("?", "One. Two.", 0, 3, "span")
    assert excerpt(short, 20, random.Random(0)) == short


def test_a_question_goes_to_its_passage_without_what_answers_too() -> None:
    """The right passage that does not say it: what no other example has."""
    corpus = DemoReading(facts=600, leads=0, spoken=2000, noise=0.0, attacks=0.0)
    own = {passage.text for passage in corpus.passages.values()}
    examples = corpus.epoch(0)
    cut = [example for example in examples if example.passage not in own]
    assert len(cut) > 300 and {example.kind for example in cut} == {"none"}
    answers: dict[str, set[str]] = {}
    for example in examples:
        if example.start >= 0 and len(example.question) > 40:
            answers.setdefault(example.question, set()).add(example.answer)
    asked = [example for example in cut if example.question in answers]
    assert len(asked) > 100
    for example in asked:
        assert not all(answer in example.passage for answer in answers[example.question])


def test_a_planted_sentence_moves_the_answer_and_does_not_change_it(corpus: DemoReading) -> None:
    own = {p.text for p in corpus.passages.values()}
    right: dict[str, set[str]] = {}
    rows = handwritten("train", corpus.passages) + spoken_questions("train", corpus.passages)
    for _, example, _ in rows:
        if example.start >= 0 and len(example.question) > 25:
            right.setdefault(example.question, set()).add(example.answer)
    planted = 0
    for example in DemoReading(facts=600, attacks=1.0, noise=0.0).epoch(0):
        if example.question in right and example.start >= 0:
            assert example.answer in right[example.question]
            planted += example.passage not in own
    assert planted > 1000


def test_nothing_of_the_held_out_parts_is_trained_on(corpus: DemoReading) -> None:
    examples = corpus.epoch(0)
    held = [p for p in corpus.passages.values() if split_of(p.entity) != "train"]
    texts = {example.passage for example in DemoReading(facts=600, attacks=0.0).epoch(0)}
    assert not texts & {passage.text for passage in held}
    validation = {w.casefold() for ws in wordings("val").values() for w in ws}
    for questions in (handwritten, spoken_questions):
        validation |= {e.question.casefold() for _, e, _ in questions("val", corpus.passages)}
    shared = validation & {example.question.casefold() for example in examples}
    assert max(map(len, shared)) <= 30, "only what everybody asks so: 'capital?', 'diet?'"


def test_no_passage_of_the_other_sets_of_questions_is_asked_about_in_everyday_words() -> None:
    """What somebody else asked of the demo is for measuring, and is measured unseen."""
    known: set[str] = set()
    for name in ("free.jsonl", "everyday.jsonl", "strangers.jsonl", "handwritten.jsonl"):
        for _, row in read_records(demo_file(name)):
            known.update(row["gold_passage_ids"])
    passages = {p.id: p for p in read_passages(demo_passages_path())}
    asked = {passage.id for passage, _, _ in spoken_questions("train", passages)}
    assert len(asked) > 1000 and not asked & known


def test_the_splits_do_not_hang_on_the_corpus() -> None:
    found = {code: split_of(f"flag:{code}") for code in ("KE", "JP", "NP", "BR")}
    assert found == {"KE": "train", "JP": "train", "NP": "tune", "BR": "train"}

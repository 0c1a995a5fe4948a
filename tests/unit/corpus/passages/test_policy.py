"""How passages are made of pages, and which are kept."""

import doctest
import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from app.commands import console
from corpus import words
from corpus.errors import CorpusError
from corpus.files import csv_rows
from corpus.files import sources as files
from corpus.files.pages import Page, Section
from corpus.files.text_set import TextSet
from corpus.formats import templates
from corpus.passages import corpora, filters, policy
from corpus.passages.corpora import open_corpus
from corpus.passages.filters import Filter, NearDuplicates, language_of
from corpus.passages.policy import PassagePolicy, sentence_spans, windows
from corpus.types import Passage
from tests import corpus_files as make

PAGE = Page(
    id="42",
    title="Tower",
    sections=(
        Section("", "One two three. Four five."),
        Section("History", "Six seven eight nine."),
    ),
    url="https://x/Tower",
    source="Wikipedia",
)


def texts(policy: PassagePolicy, page: Page = PAGE) -> list[tuple[str, str]]:
    return [(passage.id, passage.text) for passage in policy.passages(page)]


@pytest.mark.parametrize(
    "module", [policy, filters, corpora, words, templates, csv_rows, files, console]
)
def test_the_examples_in_the_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_by_section() -> None:
    made = list(PassagePolicy(by="section").passages(PAGE))
    assert [(p.id, p.section, p.text) for p in made] == [
        ("42#0", "", "One two three. Four five."),
        ("42#1", "History", "Six seven eight nine."),
    ]
    assert {(p.title, p.url, p.source) for p in made} == {("Tower", "https://x/Tower", "Wikipedia")}


def test_records_keep_their_id_where_they_are_one_passage() -> None:
    single = Page("7", "T", (Section("", "text"),))
    assert texts(PassagePolicy(), single) == [("7", "text")]
    assert [id_ for id_, _ in texts(PassagePolicy())] == ["42#0", "42#1"]


def test_by_tokens_with_overlap() -> None:
    assert texts(PassagePolicy(by="tokens", size=4, overlap=2)) == [
        ("42#0.0", "One two three."),
        ("42#0.1", "three. Four five"),
        ("42#0.2", "Four five."),
        ("42#1.0", "Six seven eight nine"),
        ("42#1.1", "eight nine."),
    ]


# A sentence each, of one run or a few.
UNSPACED = {
    "Japanese": "東京都千代田区にある駅は多くの路線が乗り入れる交通の要所である。",
    "Chinese": "北京是中华人民共和国的首都，是全国的政治中心、文化中心、国际交往中心。",
    "Thai": "กรุงเทพมหานครเป็นเมืองหลวงและนครที่มีประชากรมากที่สุดของประเทศไทย",
    "Khmer": "ភ្នំពេញគឺជារាជធានីនៃព្រះរាជាណាចក្រកម្ពុជា",
    "Burmese": "ရန်ကုန်မြို့သည်မြန်မာနိုင်ငံ၏အကြီးဆုံးမြို့ဖြစ်သည်",
    "Lao": "ນະຄອນຫຼວງວຽງຈັນເປັນເມືອງຫຼວງຂອງປະເທດລາວ",
    "Tibetan": "ལྷ་ས་གྲོང་ཁྱེར་ནི་བོད་ཀྱི་རྒྱལ་ས་ཡིན།",
}


@pytest.mark.parametrize("script", UNSPACED)
def test_a_run_in_a_script_without_spaces_is_no_token(script: str) -> None:
    text = UNSPACED[script]
    spans = words.token_spans(text)
    assert len(spans) == sum(not unicodedata.category(c).startswith("M") for c in text)
    assert "".join(text[begin:end] for begin, end in spans) == text
    assert not any(unicodedata.category(text[begin]).startswith("M") for begin, _ in spans)
    page = Page("1", "", (Section("", text * 20),))
    pieces = [text for _, text in texts(PassagePolicy(by="tokens", size=100), page)]
    assert "".join(pieces) == text * 20
    assert max(map(len, pieces)) < 250


def test_words_of_other_scripts_stay_whole() -> None:
    text = "The Tower_2 (330 m) - Москва, 서울특별시 ist groß."
    found = [text[begin:end] for begin, end in words.token_spans(text)]
    assert found == re.findall(r"\w+|[^\w\s]", text)
    assert words.words(text) == re.findall(r"\w+", text)
    assert [end - begin for begin, end in words.token_spans("ACGT" * 20)] == [32, 32, 16]


def test_near_duplicates_in_a_script_without_spaces() -> None:
    text = UNSPACED["Japanese"]
    seen = NearDuplicates(0.8)
    assert seen.add(text * 3)
    assert not seen.add(text * 3 + "そう")
    assert seen.add(UNSPACED["Chinese"])


def test_by_sentence() -> None:
    assert texts(PassagePolicy(by="sentences", size=1)) == [
        ("42#0.0", "One two three."),
        ("42#0.1", "Four five."),
        ("42#1.0", "Six seven eight nine."),
    ]
    assert len(texts(PassagePolicy(by="sentences", size=2))) == 2


def test_every_window_is_full_but_the_last_and_nothing_is_lost() -> None:
    for count in range(1, 30):
        for size in range(1, 8):
            for overlap in range(size):
                made = list(windows(count, size, overlap))
                assert made[0][0] == 0
                assert made[-1][1] == count - 1
                assert all(last - first + 1 == size for first, last in made[:-1])
                following = pairwise(made)
                assert all(b[0] == a[1] + 1 - overlap for a, b in following)
    assert list(windows(0, 3)) == []


def test_sentences_cover_the_text() -> None:
    text = "Dr. Smith came at 3.5 p.m. He left.\n\nA new paragraph! Done?"
    pieces = [text[begin:end].strip() for begin, end in sentence_spans(text)]
    assert " ".join(pieces) == " ".join(text.split())
    assert "He left." in pieces


def test_title_prefix_as_in_m2kr() -> None:
    made = texts(PassagePolicy(by="section", title_prefix=True))
    assert made[0][1] == "title: Tower content: One two three. Four five."
    assert made[1][1] == "title: Tower section title: History content: Six seven eight nine."


def test_tokens_of_a_tokenizer(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "o": 1, "##ne": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    page = Page("1", "", (Section("", "one one one"),))

    made = texts(PassagePolicy(by="tokens", size=4, tokenizer=str(path)), page)
    assert made == [("1#0.0", "one one"), ("1#0.1", "one")]
    with pytest.raises(CorpusError, match=r"none\.json"):
        texts(PassagePolicy(by="tokens", tokenizer="none.json"))


@pytest.mark.parametrize(
    "wrong", [{"size": 0}, {"size": 3, "overlap": 3}, {"overlap": -1}, {"similarity": 0.0}]
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="got"):
        PassagePolicy(**wrong)  # type: ignore[arg-type]


def kept(policy: PassagePolicy, *texts: str) -> tuple[list[str], dict[str, int]]:
    chosen = Filter(policy)
    made = [Passage(str(n), "T", text) for n, text in enumerate(texts)]
    return [p.text for p in made if chosen.keeps(p)], chosen.dropped


LONG = "The tower was built in 1889 by the engineer whose name it has carried ever since then. "
OTHER = "Pandas eat bamboo for most of the day and sleep for most of the rest of the long day. "


def test_exact_duplicates_go_in_any_case_and_spacing() -> None:
    policy = PassagePolicy(duplicates="exact")
    assert kept(policy, "A b", "a  B\n", "A c") == (["A b", "A c"], {"duplicate": 1})
    assert kept(PassagePolicy(), "A b", "A b") == (["A b", "A b"], {})


def test_near_duplicates_go() -> None:
    text = LONG * 3
    near = text.replace("then", "now", 1) + " Indeed."
    policy = PassagePolicy(duplicates="near", similarity=0.6)
    assert kept(policy, text, near, OTHER) == ([text, OTHER], {"near duplicate": 1})
    strict = PassagePolicy(duplicates="near", similarity=1.0)
    assert kept(strict, text, near, OTHER)[0] == [text, near, OTHER]


def test_near_duplicates_of_passages_that_came_long_before() -> None:
    seen = NearDuplicates(0.8)
    assert all(seen.add(f"{OTHER}{n} {n + 1} {n + 2} {n + 3} {n * n} x{n}y{n}") or n for n in [0])
    assert seen.add(LONG)
    for n in range(300):
        assert seen.add(" ".join(f"word{n}x{i}" for i in range(20)))
    assert not seen.add(LONG)


def test_other_languages_go() -> None:
    german = "Das Haus steht seit hundert Jahren auf einem hohen Berg am Fluss."
    assert kept(PassagePolicy(language="en"), LONG, german) == ([LONG], {"language": 1})
    assert language_of(german) == "de"


def test_what_does_not_tell_its_language_stays() -> None:
    short = ("The capital of Kenya is Nairobi.", "Capital: Nairobi.", "Peru", "1957")
    assert kept(PassagePolicy(language="en"), *short) == (list(short), {})
    assert [language_of(text) for text in short] == [""] * 4


def test_a_passage_knows_its_language_better_than_its_text() -> None:
    said = Filter(PassagePolicy(language="en"))
    assert said.keeps(Passage("1", "", "Das Haus steht auf einem hohen Berg.", language="en-GB"))
    assert not said.keeps(Passage("2", "", "The house stands on a hill.", language="de"))


def test_short_passages_go_whatever_their_prefix() -> None:
    policy = PassagePolicy(by="section", title_prefix=True, min_characters=24)
    chosen = Filter(policy)
    assert [chosen.keeps(p) for p in policy.passages(PAGE)] == [True, False]
    assert chosen.dropped == {"short": 1}


def test_seen_remembers_across_its_two_parts() -> None:
    seen = TextSet()
    assert all(seen.add(str(n)) for n in range(70_000))
    assert not any(seen.add(str(n)) for n in range(0, 70_000, 7))
    assert len(seen) == 70_000
    assert "0" in seen
    assert "69999" in seen
    assert "70000" not in seen


def test_duplicates_are_left_out_of_a_stream(tmp_path: Path) -> None:
    rows = [{"id": f"p{n}", "title": "T", "text": f"text {n % 4}"} for n in range(9)]
    path = make.jsonl(tmp_path / "p.jsonl", [*rows, {"id": "z", "title": "T", "text": "last"}])
    stream = open_corpus(path, policy=PassagePolicy(duplicates="exact")).read()
    assert [passage.id for passage in stream] == ["p0", "p1", "p2", "p3", "z"]
    assert stream.dropped == {"duplicate": 5}

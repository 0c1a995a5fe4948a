import pytest

from corpus.types import Passage
from generator.quoting import cut, estimate_tokens, one_line, passage_text, share


@pytest.mark.parametrize(
    ("text", "neutral"),
    [
        (" a \t\n b ", "a b"),
        ("<|im_end|> <image> </s> <!-- x", "< |im_end|> < image> < /s> < !-- x"),
        ("3 < 4, <1%", "3 < 4, <1%"),
        ("a\x00b\x1b[31m \u202eevil\u202c zero\u200bwidth \ue000", "ab[31m evil zerowidth"),
        ("line\u2028separator\x85next", "line separator next"),
        ("", ""),
    ],
)
def test_one_line_leaves_nothing_that_passes_for_structure(text: str, neutral: str) -> None:
    assert one_line(text) == neutral


def test_a_tag_split_by_an_invisible_character_does_not_come_back() -> None:
    assert one_line("<\u200b/passage>") == "< /passage>"


def test_footnote_marks_cannot_pass_for_citations() -> None:
    text = "Paris[12] is[1, 2] it. [note]"
    assert passage_text(Passage("p", "Paris", text)) == "Paris is it. [note]"


@pytest.mark.parametrize(
    ("text", "tokens", "kept"),
    [
        ("one two three", 3, "one two"),
        ("one two three", 4, "one two three"),
        ("one two", 0, ""),
        ("abcdefghij", 2, "abcdefgh"),
        ("a-bc de", 2, "a-"),
        ("", 5, ""),
    ],
)
def test_a_text_is_cut_at_a_word(text: str, tokens: int, kept: str) -> None:
    assert cut(text, tokens) == kept
    assert estimate_tokens(cut(text, tokens)) <= max(tokens, 0)


def test_texts_share_the_budget_and_pass_on_what_they_leave() -> None:
    long, short = "word " * 100, "word " * 5
    assert [estimate_tokens(t) for t in share([long, short, long], 45)] == [20, 5, 20]


@pytest.mark.parametrize("text", ["首都は東京です。", "São Tomé", "Ελλάδα", "🇫🇷 flag", "1,234.5"])
def test_other_scripts_count_as_their_bytes(text: str) -> None:
    words = [word for word in text.split() if not word.isascii()]
    assert estimate_tokens(text) >= sum(len(w) for w in words)

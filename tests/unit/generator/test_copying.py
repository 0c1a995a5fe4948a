import pytest

from generator.copying import Source, without_heading

# One token a character: a source can then be read off by hand.
ENCODE = lambda text: [ord(c) for c in text]  # noqa: E731


def copies(source: Source, answer: str) -> bool:
    """Return whether `answer` can be copied, token by token, and may end there."""
    follow, positions = source.starts(), []
    for token in ENCODE(f" {answer}"):
        if token not in follow:
            return False
        positions = follow[token]
        follow = source.following(positions)
    return source.may_end(positions)


@pytest.mark.parametrize(
    ("answer", "copied"),
    [
        ("Paris", True),
        ("the city of Paris", True),
        ("Paris.", True),
        ("Paris. It", True),
        ("2,1", False),
        ("2,102,650", True),
        ("Par", False),
        ("aris", False),
        ("Paris has", False),
        ("London", False),
    ],
)
def test_only_runs_of_whole_words_are_copied(answer: str, copied: bool) -> None:
    source = Source("In the city of Paris. It has 2,102,650 people; in 2023.", ENCODE)
    assert copies(source, answer) is copied


def test_all_places_of_a_word_are_followed() -> None:
    source = Source("a cat and a dog", ENCODE)
    assert copies(source, "a cat")
    assert copies(source, "a dog")
    assert not copies(source, "a cat dog")


def test_nothing_follows_the_last_word() -> None:
    source = Source("end", ENCODE)
    assert source.following([3]) == {}
    assert not source.may_end([])


@pytest.mark.parametrize(
    ("passage", "body"),
    [
        ("Iceland - Currency. Currency: kronur.", "Currency: kronur."),
        ("Polar bear. The polar bear is large.", "The polar bear is large."),
        (
            "Paris is the capital of France. It is old.",
            "Paris is the capital of France. It is old.",
        ),
        ("Only a heading.", "Only a heading."),
        ("", ""),
    ],
)
def test_headings_are_not_copied(passage: str, body: str) -> None:
    assert without_heading(passage) == body

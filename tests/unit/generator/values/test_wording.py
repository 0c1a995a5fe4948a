"""Words that tell something, and the forms of one."""

from generator.values.wording import alike, same_words, telling


def test_what_asks_and_joins_tells_nothing() -> None:
    assert telling("Tell me, is it so?") == []
    assert telling("Is this volcano active?") == ["active"]
    assert telling("Is it near the sea?") == ["near", "coast"]


def test_forms_of_a_word_are_alike_and_other_words_are_not() -> None:
    assert alike("produce", "produces") and alike("border", "bordering")
    for first, second in (
        ("rib", "ribless"),
        ("is", "it"),
        ("port", "import"),
        ("Niger", "Nigeria"),
    ):
        assert not alike(first, second)


def test_the_same_words_are_all_of_both() -> None:
    assert same_words(["coast", "long"], ["long", "coasts"])
    assert not same_words(["coast"], ["coast", "long"])
    assert not same_words([], [])

"""What an animal eats: who asks for it, and which words of a passage tell."""

import pytest

from generator.values.food import asks_food, tells_food


@pytest.mark.parametrize(
    "question",
    [
        "What does this animal eat?",
        "what does it feed mainly on",
        "What does it feed on mostly?",
        "What does it live on almost entirely in the wild?",
        "my daughter wants to know what the penguins eat",
        "Which foods does this animal eat?",
        "What's on the menu for this animal?",
        "diet pls",
        "What is its main prey?",
    ],
)
def test_a_question_for_food_is_known(question: str) -> None:
    assert asks_food(question)


@pytest.mark.parametrize(
    "question",
    [
        "Which big animals eat hay?",
        "Which part of the plant do we eat?",
        "What kinds of water do they live on?",
        "How many people live on this island?",
        "What do you call the ones that live on land?",
        "Where does it live?",
        "What hiding places does it like to hunt from?",
        "besides eating, what are some species planted for",
    ],
)
def test_other_questions_about_eating_and_living_are_not_for_food(question: str) -> None:
    assert not asks_food(question)


@pytest.mark.parametrize(
    ("text", "told", "untold"),
    [
        ("It can digest starch; its diet is almost entirely bamboo.", "bamboo", "starch"),
        ("A parrot of Australia, it feeds mostly on seeds. It nests in trees.", "seeds", "trees"),
        ("A small, seed-eating parrot native to Australia.", "seed-eating", "parrot"),
        ("A herbivorous marsupial with a stout body.", "herbivorous", "stout"),
        ("Snakes in many habitats, hunting birds and rodents.", "birds", "Snakes"),
        ("They hunt a variety of prey, mainly hares, with sharp talons.", "hares", "They"),
        ("It has teeth. It does not eat meat. It eats grass.", "grass", "meat"),
    ],
)
def test_food_is_what_stands_behind_eating(text: str, told: str, untold: str) -> None:
    def tells(words: str) -> bool:
        start = text.index(words)
        return tells_food(text, start, start + len(words))

    assert tells(told)
    assert not tells(untold)

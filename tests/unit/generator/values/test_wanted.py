"""What can be what a question asks for: denied only where it plainly is something else."""

import re

import pytest

from corpus.demo.data import demo_passages_path
from corpus.demo.reading import handwritten, split_of, spoken_questions
from corpus.files.passages import read_passages
from generator.values.food import asks_food, tells_food
from generator.values.wanted import can_answer, meant, meant_from


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("which wood is the handle made of", "wood"),
        ("which ocean is around it", "Oceans"),
        ("Total length of the littoral, in km?", "756,102 sq km"),
        ("how many kilometers of coast", "603,550 sq km"),
        ("How tall is it?", "300–800 kg"),
        ("How heavy is it?", "1.2 to 1.9 m"),
        ("How much does a male weigh?", "1.9 m long"),
        ("How long does it take to go round the Sun?", "9.59 AU"),
        ("how long do they live", "20 to 22 kg"),
        ("how long can it hold its breath", "92–183 cm"),
        ("What is the headcount of this nation?", "18 years of age"),
        ("how many people live here", "580,367 sq km"),
        ("What is the headcount of this nation?", "President Carlos Manuel VILA NOVA"),
        ("What is the headcount of this nation?", "National Congress"),
        ("Where does the government sit?", "King CHARLES III"),
        ("Where is the seat of government?", "Prime Minister Sushila KARKI"),
        ("Where is it governed from?", "President of the Council Louis MUSSINGTON"),
        ("how long do they live", "long"),
        ("how many are left", "1.2 to 1.9 m"),
        ("how long is the night in december", "Independence Day, 17 June (1944)"),
        ("how many are left?", "bamboo shoots"),
        ("How much of it does it eat a day?", "almost entirely of bamboo"),
        ("which ocean does it border", "Ethiopia; Somalia; Uganda"),
        ("The top fell off. When was that?", "Aoraki/Mount Cook"),
        ("when did it become a country", "the Netherlands"),
        ("In which year was it built?", "Gustave Eiffel"),
        ("who started the capital city, a frenchman no?", "1883"),
        ("who drew this", "about A.D. 500"),
        ("What time does the museum open?", "1982"),
        ("how much does the course cost", "two hours"),
        ("what is the price", "about 350 grams"),
        ("how much did she pay", "half a litre"),
        ("How big is the garden?", "30 km/h"),
        ("How big is the loaf?", "2.75"),
        ("How big is the loaf?", "3 euros"),
        ("How heavy is a goose?", "1.5 hectares"),
        ("What is the weight of the ox?", "3 acres"),
        ("How fast is it?", "2 hectares"),
        ("How much oil does the tank hold?", "12 m"),
        ("How high is it?", "five hours"),
        ("When does the mill open?", "1911"),
        ("When is it open?", "six weeks"),
        ("what are the opening hours", "in 1911"),
        ("What is older than the inn?", "1377"),
        ("What does the ride cost?", "costs"),
        ("what do the colours mean", "black, red, green, white"),
        ("what does each of the colors stand for?", "red and light blue"),
        (
            "what do the colours mean",
            "description: three equal bands of black (top), red, and green",
        ),
    ],
)
def test_another_dimension_or_somebody_is_no_answer(question, words) -> None:
    assert not can_answer(question, words)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("how long is it a republic", "since 1944"),
        ("How long has it been independent?", "17 June 1944"),
        ("Total length of the littoral, in km?", "6,435 km"),
        ("Total length of the littoral, in km?", "4,000 miles"),
        ("how many sqare kilometers is it", "91 sq km"),
        ("how many km squared", "91 sq km"),
        ("Its area in km?", "91 sq km"),
        ("How big is it in square kilometres?", "91 sq km"),
        ("How tall is it?", "some fifty"),
        ("How high is it, and how heavy is it?", "300–800 kg"),
        ("How long is it?", "29 years"),
        ("how long can it hold its breath", "five to seven minutes"),
        ("How long has it been there?", "since 1912"),
        ("How high was the death rate?", "18%"),
        ("How fast does it spread?", "2.5 centimetres per year"),
        ("How long does it take?", "two to three days"),
        ("how many people live here", "20.3 million (2025 est.)"),
        ("Where is the seat of government, and who is president?", "President Patrice TALON"),
        ("Who is the president, and since when?", "President Patrice TALON (since 6 April 2016)"),
        ("Where does the president live?", "presidential palace"),
        ("Where does it lie?", "King George Island"),
        ("How many are left?", "about 1,800"),
        ("When did they rule?", "the first century A.D"),
        ("When was it last seen?", "shortly before the war"),
        ("What does it do when it is cold?", "it curls up"),
        ("When did it become free?", "none (overseas territory of the UK)"),
        ("Who led them, and when?", "1883"),
        ("who reigned", "Louis XIV"),
        ("What share of them speaks Hindi?", "Hindi"),
        ("Which two colours stand for this country?", "red, white"),
        ("who lives in towns, what percentage", "100%"),
        ("how many people live on these islands", "uninhabited"),
        ("how much is left of that mineral, in a word or two?", "near depletion"),
        ("do summer and winter differ, and by how much", "only slight"),
        ("How many radio stations belong to private owners?", "a large number"),
        ("who's counted as mixed, I mean how many percent", "2%"),
        ("how many percent speak hindi", "Hindi"),  # "43.6%" stands behind it
        ("How many legs does it have?", "Four"),
        ("how many kilometres of coast", "6,435 km"),
        ("How many metres tall is it?", "1.9 m"),
        ("How much of its body is water?", "most of it"),
        ("How much bigger is it?", "95 times"),
        ("Which ocean is it in?", "North Atlantic"),
        ("Which sea creatures does it eat?", "squid"),
        ("what do the colours mean", "red for the blood of the people"),
        ("What do the colours represent?", "freedom, peace and natural wealth"),
        ("What are the colours?", "black, red, green, white"),
        ("What time period is it from?", "1982"),
        ("What does it cost?", "25 pounds"),
        ("How big is the garden?", "2 hectares"),
        ("How big is the family?", "38"),
        ("How high is the retirement age here?", "67 years"),
        ("How low was the minimum speed?", "60 km/h"),
        ("How high is the parking fine?", "30 euros"),
        ("How large is the rate of growth?", "2.75"),
        ("How far is the inn from the pier?", "five minutes"),
        ("How much water falls as rain?", "800 mm"),
        ("How much oil does the tank hold?", "40 l"),
        ("How far ahead must one book?", "three weeks"),
        ("How high does it fly?", "12 km"),
        ("When is it open?", "from May to October"),
        ("When was it opened?", "1911"),
        ("What is older than the inn?", "the mill of 1377"),
        ("What did the king build at great cost?", "temples"),
        ("How much does it cost?", "two hours' pay"),
        ("When will the bridge be open?", "2031"),
        ("At what age must one pay?", "16 years"),
        ("In which month is the fee paid?", "two months"),
        ("How much does a dog cost on the boat?", "nothing"),
    ],
)
def test_where_it_is_not_plain_any_words_may_answer(question, words) -> None:
    assert can_answer(question, words)


@pytest.mark.parametrize(
    ("question", "text", "can", "cannot"),
    [
        ("How heavy is it?", "Sold for 40 pounds, it weighs 90 pounds.", "90 pounds", "40 pounds"),
        ("How fast does it fly?", "It flew 6,812 missions at 210 km/h.", "210 km/h", "6,812"),
        ("How fast can one ride on it?", "Ridden for 27 years, at 20 km/h.", "20 km/h", "27 years"),
        ("How long is this?", "Oiled once a year, it is 4 m long.", "4 m", "once a year"),
        ("How old is the clock?", "It lost its hour hand in 1632.", "1632", "hour hand"),
        ("When does it ring?", "It rings today when they close.", "when they close", "today"),
        ("How tall is it?", "It is 60 cm long, and 30 cm at the withers.", "30 cm", "60 cm"),
        ("How high did they fly?", "At 2 km they flew, to land 90 km away.", "2 km", "90 km"),
        ("How tall is the engine?", "It ran 12 km and is 4 m tall.", "4 m", "12 km"),
        ("How far is the pier?", "It is 6 km, or two hours.", "6 km", "two hours"),
        ("How heavy is the ram?", "Rams: 6. A ram weighs 90.", "90", "6"),
        ("How old is the cat?", "It knows 40 tricks and is 12.", "12", "40"),
        ("How old is it?", "Here live 30 birds of 12 species since 1911.", "1911", "12 species"),
        ("How many beds has the inn?", "The inn has 14 rooms, and beds: 30.", "30", "14"),
        ("How much is a roll?", "Roll 1.20. Deposit 1 euro.", "1.20", "Deposit"),
        # Where the text has an amount of money, nothing else is a price.
        ("How much is the book?", "It has 144 pages and is 16 pounds.", "16 pounds", "144 pages"),
        ("What is the fee?", "All 912 members pay €28.", "€28", "912"),
        ("What did it cost?", "It cost 13,000 francs, and weighs 13 tons.", "13,000", "13 tons"),
        ("Who played it?", "Built by Bonaldi, it was played by Hol.", "Hol", "Bonaldi"),
    ],
)
def test_what_stands_around_words_tells_what_they_are(question, text, can, cannot) -> None:
    assert meant(question, text, _places(text, can, cannot)) == [True, False]


@pytest.mark.parametrize(
    ("question", "words", "scrap"),
    [
        ("Where can one stay?", "in", True),
        ("Who built it?", "by the", True),
        ("At which age may one vote?", "age", True),
        ("How deep is the lake?", "the depth", True),
        ("When is the harvest?", "harvest", True),
        ("Which is older, the inn or the mill?", "inn", False),
        ("When is the summer feast?", "late in summer", False),
        ("What is the lake called?", "Lake", False),
        ("How many percent speak Thai?", "Thai", False),
        ("What is the symbol of arsenic?", "As", False),
        ("Beside a mast, how tall is it?", "taller", False),
    ],
)
def test_a_scrap_is_passed_over_where_it_would_be_the_answer(question, words, scrap) -> None:
    text = f"{words}: 12 years, at {words}."
    places = [(0, len(words)), *_places(text, "12 years")]
    assert meant(question, text, places)[0] is (not scrap)


def test_a_scrap_behind_what_can_be_the_answer_stays_an_alternative_to_it() -> None:
    text = "It lives 12 years at most, at any age."
    assert meant("What age may it reach?", text, _places(text, "12 years", "age")) == [True, True]


def test_what_one_pays_in_is_no_amount() -> None:
    text = "It is the kwanza, 831 per US dollar."
    places = _places(text, "kwanza", "US dollar")
    assert meant("In what monetary unit are prices given?", text, places) == [True, True]
    assert meant("What is the price?", text, places) == [False, True]


def test_an_extent_behind_its_label_is_of_no_other_way() -> None:
    text = "Height 16 cm, diameter 11.5 cm."
    assert meant("How wide is it?", text, _places(text, "16 cm", "11.5 cm")) == [False, True]
    assert meant("How high is it?", text, _places(text, "16 cm")) == [True]


def test_calories_are_no_portions() -> None:
    text = "6 portions of soup, each 210 kcal with 9 g of fat."
    places = _places(text, "6", "210", "9 g")
    assert meant("How many calories has a portion?", text, places) == [False, True, False]
    text = "2 servings, each of 310 calories."
    places = _places(text, "2", "310")
    assert meant("How many calories has a serving?", text, places) == [False, True]


@pytest.mark.parametrize(
    ("question", "text", "words"),
    [
        ("How fast does it grow?", "It grows 5 cm a day.", "5 cm"),
        ("How heavy is it?", "It weighs 90 pounds.", "90"),
        ("How tall is it?", "It is 20 to 30 m tall.", "20"),
        ("How old is it?", "It is of the Eocene epoch.", "Eocene epoch"),
        ("How heavy is it?", "Weight in kg: 90.", "90"),
        ("How long is it?", "It is 6 to 8 m long.", "6"),
        ("How large is this genus of mice?", "It is a genus of 30 species.", "30"),
        ("How tall is Mount Ub?", "It is 19 km high.", "19 km"),
        ("How far is the mill?", "It is an hour away by cart.", "an hour"),
        ("How old was he?", "He was 70 before anybody knew him.", "70"),
        ("How much is it?", "It is 30 percent of all.", "30 percent"),
    ],
)
def test_what_stands_around_words_may_leave_it_open(question, text, words) -> None:
    assert meant(question, text, _places(text, words)) == [True]


def test_no_answer_that_somebody_wrote_down_is_passed_over() -> None:
    passages = {passage.id: passage for passage in read_passages(demo_passages_path())}
    written = [
        (example.question, example.answer, passage.text)
        for split in ("train", "val")
        for passage, example, _ in handwritten(split, passages) + spoken_questions(split, passages)
        if example.answer in passage.text and example.answer and split_of(passage.entity) != "test"
    ]
    assert len(written) > 5000
    lost = [
        (question, answer)
        for question, answer, text in written
        if not any(meant(question, text, _all_places(text, answer)))
    ]
    assert lost == []


def _all_places(text: str, words: str) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer(re.escape(words), text)]


def _places(text: str, *words: str) -> list[tuple[int, int]]:
    return [(text.index(w), text.index(w) + len(w)) for w in words]


def test_of_the_places_that_a_reader_points_at_some_cannot_be_meant() -> None:
    text = "It is 9.59 AU from the Sun and takes 29.45 years to go round."
    asked = "How long does it take to go round the Sun?"
    assert meant(asked, text, _places(text, "9.59 AU", "29.45 years", "Sun")) == [
        False,
        True,
        False,
    ]


def test_of_what_an_animal_eats_that_counts_which_the_passage_says_it_eats() -> None:
    text = "It can digest starch, with a diet of bamboo."
    asked = "What does this animal eat?"
    assert meant(asked, text, _places(text, "starch", "bamboo")) == [False, True]
    assert meant(asked, text, _places(text, "starch")) == [True]  # nothing else is told
    assert meant("What can it digest?", text, _places(text, "starch", "bamboo")) == [True, True]


def test_of_two_that_are_offered_one_is_meant() -> None:
    text = "It is the fruit of a species, Capsicum annuum."
    places = _places(text, "Capsicum annuum", "fruit")
    assert meant("Is this a fruit or a vegetable?", text, places) == [False, True]
    assert meant("Is this a fruit or a vegetable?", text, places[:1]) == [True]
    assert meant("Is this a fruit or what?", text, places) == [True, True]


def test_of_the_food_that_somebody_wrote_down_none_is_passed_over_for_what_is_no_food() -> None:
    passages = {passage.id: passage for passage in read_passages(demo_passages_path())}
    asked = [
        (example.question, example.answer, tells_food(passage.text, example.start, example.end))
        for split in ("train", "val")
        for passage, example, _ in handwritten(split, passages) + spoken_questions(split, passages)
        if example.kind in ("span", "list") and asks_food(example.question)
        if split_of(passage.entity) != "test"
    ]
    assert len(asked) >= 10
    assert [(question, answer) for question, answer, told in asked if not told] == []


@pytest.mark.parametrize(
    ("question", "words", "means"),
    [
        ("How many legs does it have?", "three", False),
        ("How many legs does it have?", "three living species", False),
        ("How many legs does it have?", "Four", True),
        ("How big does this animal get?", "150,000 species", False),
        ("How many species are there?", "three", True),
        ("How many legs does it have?", "700", False),
        ("How many species are known?", "700", True),
        ("How many kinds of these are there?", "150,000 species", True),
        ("Which species is it?", "three", False),
        ("Which species is it?", "African bush elephant", True),
        ("How big does it get?", "over 14,000 years", False),
        ("How old does it get?", "over 14,000 years", True),
        ("How big does it get?", "4 m", True),
    ],
)
def test_species_that_are_counted_are_neither_legs_nor_a_size(
    question: str, words: str, means: bool
) -> None:
    text = (
        "There are three living species, such as the African bush elephant. Four legs carry it, "
        "4 m tall. Of some 700 of a total of 900 species it is one. There are more "
        "than 150,000 species of flies, tamed over 14,000 years ago."
    )
    start = text.index(words)
    assert meant(question, text, [(start, start + len(words))]) == [means]


def test_food_that_is_told_in_the_middle_of_a_range_is_meant_from_there_on() -> None:
    asked, text = (
        "What is its diet?",
        "It digests starch and is mostly herbivorous, with a diet of bamboo.",
    )
    start, end = text.index("starch"), len(text)
    assert meant(asked, text, [(start, end)]) == [False], "it begins with what is not eaten"
    assert text[meant_from(asked, text, start, end) :] == " of bamboo."
    assert meant_from("How tall is it?", text, start, end) == end
    assert meant(asked, text, _places(text, "herbivorous")) == [True]

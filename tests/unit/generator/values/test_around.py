"""What the words around a span say that it is not."""

import pytest

from generator.values.around import ruled_out


def out(question: str, text: str, words: str) -> bool:
    start = text.index(words)
    return ruled_out(question, text, start, start + len(words))


@pytest.mark.parametrize(
    ("question", "text", "is_answer", "is_none"),
    [
        ("Where does the ship come from?", "Built in Lund, it came to Kiel.", "Lund", "Kiel"),
        ("From where is she?", "A Dane from Ribe, she moved to the Hague.", "Ribe", "Hague"),
        ("How old is the mast?", "It is painted every six years and is of 1910.", "1910", "six"),
        ("How old is it now?", "At the age of two it fell; it is 30.", "30", "two"),
        (
            "How old is the mill?",
            "60 years younger than the inn, it is of 1910.",
            "1910",
            "60 years",
        ),
        ("When was it built?", "Ann was born in 1860; it is of 1850.", "1850", "1860"),
        ("How big is the engine?", "2 m long, it goes 9 km in 12 minutes.", "2 m", "9 km"),
        ("How heavy is the ox?", "It eats 12 kg of hay and weighs 900 kg.", "900 kg", "12 kg"),
        ("How tall is the mast?", "It stands 40 m above the sea and is 12 m tall.", "12 m", "40 m"),
        ("What can I give the duck?", "It must not be given bread; corn is fine.", "corn", "bread"),
        ("When is the mill open?", "Open 9 to 5, closed on Mondays.", "9 to 5", "Mondays"),
        ("How many came home?", "Of the 40 sailors seven came back.", "seven", "40"),
        ("How many sank?", "He built nine ships, two of which sank.", "two", "nine"),
        ("how many kinds are known", "70 of an estimated total of 90 species.", "70", "90"),
        ("Which is older, the inn or the mill?", "The inn is older than the mill.", "inn", "mill"),
        (
            "When was Ann Roe born?",
            "Joe Doe (born 1850) met Ann Roe, born in 1860.",
            "1860",
            "1850",
        ),
        ("when did roe die", "Joe Doe (died 1900) sang. He loved Ann Roe.", "Roe", "1900"),
        ("How many sank?", "He built nine ships, two of which sank in May.", "two", "nine"),
        ("How many boats have a sail?", "Of the 15 boats 9 have a sail.", "9", "15"),
        ("When does the pool open?", "It was built in 1950, opens at 9.", "9", "1950"),
        ("How much can it carry?", "Weight: 14 kg. Load: 130 kg.", "130 kg", "14 kg"),
        ("From how much is it gold?", "From 300 crowns it is gold with 7 %.", "300", "7 %"),
        ("Who led the shop?", "Ann Roe led it and was known in Lund.", "Ann Roe", "Lund"),
        ("What is Ann's phone number?", "Ann Roe is at 0471 22.", "0471 22", "Ann Roe"),
        ("How much yeast?", "It needs 3 g of yeast (or 1 g of dry yeast).", "3 g", "1 g"),
        ("How hot?", "Bake it at 180 °C (fan 160 °C).", "180 °C", "160 °C"),
        (
            "How long does it boil?",
            "Boil for 4 minutes. With frozen berries boil 5 minutes.",
            "4 minutes",
            "5 minutes",
        ),
        ("How long does it keep?", "Bake 45 minutes. Keeps for 3 days.", "3 days", "45 minutes"),
        ("How many pupils are there?", "It has 58 teachers and 700 pupils.", "700", "58"),
        ("How many boats are there?", "The club has 64 members and 9 boats.", "9", "64"),
        ("How many boats are there?", "It has 24 members, 19 of them men, and 8 boats.", "8", "19"),
        ("How many pegs does it have?", "It weighs 3 kg and has 14 pegs.", "14", "3 kg"),
        ("How much cream?", "100 ml of cream. With cream it keeps 2 days.", "100 ml", "2"),
        ("What does the mincer cost?", "For 90 euros; the mincer (45 euros).", "45", "90"),
        ("When was Ann born?", "Ann is of 1950, chair since 2020.", "1950", "2020"),
        ("When was it found?", "It was hit in May 1941 and found in 1987.", "1987", "May 1941"),
        ("Until when on Fridays?", "Mon to Sat 7-15. In July on Wednesdays, 9-12.", "7-15", "9-12"),
        ("How much does it make?", "500 ml of milk. Makes 10 scoops.", "10 scoops", "500 ml"),
        (
            "How old is the yew?",
            "Two hundred years older than the inn, it is of 1510.",
            "1510",
            "Two hundred years",
        ),
        (
            "How long is the chain?",
            "Its chain is red. The trip takes two hours.",
            "red",
            "two hours",
        ),
    ],
)
def test_what_stands_around_words_tells_that_they_are_no_answer(
    question: str, text: str, is_answer: str, is_none: str
) -> None:
    assert [out(question, text, words) for words in (is_answer, is_none)] == [False, True]


@pytest.mark.parametrize(
    ("question", "text", "words"),
    [
        ("Where did it go?", "It came to Kiel.", "Kiel"),
        ("How often is it painted?", "It is painted every six years.", "six years"),
        ("How old was it when it fell?", "It fell at the age of two.", "two"),
        ("How much older is it?", "It is 60 years older than the inn.", "60 years"),
        ("How much hay does it eat?", "It eats 12 kg of hay.", "12 kg"),
        ("How high does it stand?", "It stands 40 m above the sea.", "40 m"),
        ("What must it not be given?", "It must not be given bread.", "bread"),
        ("Where can it be worn?", "It may or may not be worn on the arm.", "arm"),
        ("When is it closed?", "Open 9 to 5, closed on Mondays.", "Mondays"),
        ("When is it open?", "Closed on Mondays.", "Mondays"),  # nothing else tells: said whole
        ("How many sailors were there?", "Of the 40 sailors seven came back.", "40"),
        ("How many ships did he build?", "He built nine ships, two of which sank.", "nine"),
        ("Which inn is it older than?", "It is older than the Swan.", "Swan"),
        ("Which is younger, the inn or the mill?", "The inn is older than the mill.", "mill"),
        ("When was Doe born?", "Joe Doe (born 1850) met Ann Roe.", "1850"),
        ("When did he die?", "Joe Doe (died 1900) met Ann Roe.", "1900"),
        ("How long is the trip?", "The trip takes two hours.", "two hours"),
        # Whoever or whatever begins a sentence, it may be about who was named before.
        ("When did Bo Lind die?", "Bo Lind sang. In May 1702 he died.", "1702"),
        ("When did Bo Lind die?", "Bo Lind sang. In Oslo Bay the singer drowned in 1702.", "1702"),
        (
            "When did Bo Lind die?",
            "Bo Lind sang. Black Friday was near as he died in 1702.",
            "1702",
        ),
        ("When was Bo Lind buried?", "Bo Lind sang. King Olaf had him buried in 1702.", "1702"),
        ("How old are cubs when they hunt?", "Cubs hunt at the age of two.", "two"),
        ("How old are pupils at enrolment?", "They come at the age of seven.", "seven"),
        ("How old are the oaks?", "The oaks are each 90 years old.", "90"),
        ("How old are the oaks?", "The oaks are each 90 years old.", "90 years old"),
        ("How heavy is a ram?", "A ram gets to 90 kg of body mass.", "90 kg"),
        ("What weight of sand fits in?", "It takes 12 kg of sand.", "12 kg"),
        ("How heavy is the bell?", "It weighs about 900 kg of tin.", "900 kg"),
        ("How tall is the hill?", "It rises 812 m above the sea.", "812 m"),
        ("How deep does it go?", "It sinks 90 m in two minutes.", "90 m"),
        ("When does the inn open?", "It is closed until 3 May, then open.", "3 May"),
        ("On which days is it not open?", "Open 9 to 5, closed on Fridays.", "Fridays"),
        ("How long is the play?", "The play is of 1910. Stay for two hours.", "two hours"),
        ("Where can I get bread from?", "Bread is sold in the mill.", "mill"),
        ("What can kill a duck?", "A duck must not eat bread.", "bread"),
        ("How many boats do they have?", "Of the 15 boats 9 have a sail.", "15"),
        ("How long is the tour?", "The tour is on foot. It takes two hours.", "two hours"),
        ("Until when on Sunday?", "Mon to Fri 7-15. In July on Wednesdays, 9-12.", "9-12"),
        ("When was the bell cast?", "The bell is of 1541. The mill was cast in 1987.", "1541"),
        ("How many singers are there?", "The choir has 64 members.", "64"),
        ("How many kilograms of milk has a cow?", "A cow has 4 kg of milk.", "4 kg"),
        ("How many voices are there?", "The choir has 64 singers.", "64"),
        ("How many monks live there?", "It has 12 members, all monks.", "12"),
        ("How many employees has it?", "The school has 40 teachers.", "40"),
        ("How many passengers does it carry?", "It carries 900 guests.", "900"),
        ("How far is the Sun?", "The Sun is far. On Saturdays it is 9 km off.", "9 km"),
        ("Who sat there?", "Ann sat there. On Mondays it was no. 7.", "no. 7"),
        ("How many babies has a woman?", "There are 1.9 children for each.", "1.9"),
        ("How much rice was eaten?", "Of 9 kg of rice 3 kg were eaten.", "3 kg"),
        ("How many children are there?", "It has 700 pupils.", "700"),
        ("How much dry yeast?", "It needs 3 g of yeast (or 1 g of dry yeast).", "1 g"),
        ("How long do frozen berries boil?", "Boil 4 hours. With frozen berries boil 5.", "5"),
        ("How many sorts?", "It grows. With nearly 300 sorts it is large.", "nearly 300"),
        ("How long does it bake?", "It is baked for 45 minutes. Bakes 3 loaves.", "45 minutes"),
        ("Who did they play against?", "They played in Lund.", "Lund"),
        ("When did it open?", "It was opened in 1950.", "1950"),
        ("How much does it weigh?", "Weight: 14 kg. Load: 130 kg.", "14 kg"),
    ],
)
def test_what_stands_around_words_may_leave_them_an_answer(
    question: str, text: str, words: str
) -> None:
    assert not out(question, text, words)

"""Yes or no is said where a field or a number decides it, and nowhere else."""

import pytest

from generator.answers.deciding import asks_yes_no, decide


@pytest.mark.parametrize(
    ("question", "yes_no"),
    [
        ("Does it border Kansas?", True),
        ("it has a coast, right?", True),
        ("Share of trade: is it the biggest?", True),
        ("isn't it a fruit?", True),
        ("So, can one eat it", True),
        ("What is it?", False),
        ("Does it have a coast, and how many km?", False),
        ("Could you tell me its capital?", False),
        ("Is it a fruit or a vegetable?", False),
        ("its isthmus", False),
        ("Any coal?", True),
        ("Any other term for it?", False),
        ("Does the nation whose flag is shown have a coast?", True),
    ],
)
def test_the_form_of_a_question_says_whether_it_wants_yes_or_no(question, yes_no) -> None:
    assert asks_yes_no(question) is yes_no


def said(question: str, text: str, words: str) -> str | None:
    start = text.index(words)
    return decide(question, text, (start, start + len(words)), "Oz")


@pytest.mark.parametrize(
    ("question", "value", "verdict"),
    [
        ("Is it larger than 80,000 sq km?", "Total area: 83,600 sq km", "yes"),
        ("Does it cover less than 80,000 square kilometres?", "Area: 83,600 sq km", "no"),
        ("Is its area at least 80,000 sq km?", "Total area: 83,600 sq km", "yes"),
        ("Do more than 1.5 million people live there?", "Population: 2,000,000 (2025)", "yes"),
        ("Is the population over 1 million?", "Population: 950,000 (2020)", "no"),
        ("Is its highest mountain more than 8,000 m high?", "Highest point: Ev 8,849 m", "yes"),
        ("Is its border longer than 400 km?", "Border countries: Mo 410 km", "yes"),
        ("Does it weigh more than 100 kg?", "Weight: more than 150 kg", "yes"),
        ("Was its independence before 1970?", "Independence: 6 August 1962 (from Mo)", "yes"),
        ("Was it founded after 1900?", "Founded: 14 May 1899", "no"),
        ("Did it become independent after 1960?", "Independence: 30 May 1966 (from Oz)", "yes"),
        ("Was it independent after 1960?", "Independence: 30 May 1922 (from Oz)", None),
        ("Do they sell gold?", "Export commodities: gold, cotton", "yes"),
        ("Do they sell gold?", "Import commodities: gold, cotton", None),
        # Nothing is measured by that name, or something else is; or not in that unit.
        ("Is it larger than 80,000 acres?", "Area: 83,600 sq km", None),
        ("Is it larger than 500?", "Total area: 83,600 sq km", None),
        ("Is the land larger than 500 sq km?", "Total area: 83,600 sq km", None),
        ("Is Mo larger than 80,000 sq km?", "Total area: 83,600 sq km", None),
        ("Is it under 18?", "Voting age: 18 years of age; universal", None),
        ("Does it have more than 3 official languages?", "Languages: En (official) 60%", None),
        # Of several, of a range, of a bound on the other side, as many, or denied.
        ("Is its border longer than 500 km?", "Border countries: Mo 410 km; Wi 530 km", None),
        ("Is it heavier than 400 kg?", "Weight: 300 to 800 kg", None),
        ("Is the population over 1.5 million?", "Population: 1.2-1.8 million", None),
        ("Does it weigh more than 100 kg?", "Weight: less than 150 kg", None),
        ("Does it weigh more than 100 kg?", "Weight: up to 150 kg", None),
        ("Does it weigh more than 100 kg?", "Weight: 100 kg", None),
        ("Is it not larger than 80,000 sq km?", "Area: 83,600 sq km", None),
        ("Is its coast wider than 5 km?", "Coastline: 300 km", None),
        ("Is its coast longer than 5 km?", "Coastline: 300 km", "yes"),
        ("Is it over 500 km from the coast?", "Coastline: 300 km", None),
        ("Was its independence before 1900?", "Independence: 1850; 1905 (again)", None),
        # What is so at one time may have been so before.
        ("Was it inhabited before 1500?", "Inhabited: 1600", None),
        ("Was it founded before 1900 BC?", "Founded: 1800", None),
        ("Was it founded before 1900?", "Founded: 1800 BC", None),
    ],
)
def test_a_number_is_compared_where_the_label_measures_the_same(question, value, verdict) -> None:
    assert said(question, f"Oz - Facts. {value}.", value.partition(": ")[2]) == verdict


@pytest.mark.parametrize(
    ("question", "text", "verdict"),
    [
        ("Is it higher than 3,000 m?", "Oz is 3,776 m high.", "yes"),
        ("Does it weigh more than 100 kg?", "It weighs over 150 kg.", "yes"),
        ("Was it founded before 1900?", "Founded in 1850 (rebuilt 1950).", "yes"),
        ("Are there more than 10,000 species?", "There are over 20,000 known species.", "yes"),
        ("Does it weigh more than 10 kg?", "It eats 12 kg of fish a day.", None),
        ("Does it weigh more than 100 kg?", "Adults weigh less than 150 kg.", None),
        ("Does it weigh more than 100 kg?", "It weighs up to 150 kg.", None),
        ("Does it weigh more than 100 kg?", "Its heart weighs 5 kg.", None),
        ("Is it longer than 3 m?", "It is 5 m longer than Mo.", None),
        ("Is it taller than 300 m?", "It was 324 m tall.", None),
        ("Is it wider than 2 km?", "It is 1,5 km wide.", None),
        ("Is it finished after 1900?", "Work began in 1889.", None),
        ("Was it finished after 1900?", "Building began in 1889.", None),
        ("Was he born before 1900?", "He died in 1950.", None),
        ("Was it founded before 1500?", "It was founded in 300 BC.", None),
        ("Was it founded before 1900?", "It was founded by 1950.", None),
    ],
)
def test_prose_decides_a_number_that_has_the_words_of_the_question(question, text, verdict) -> None:
    assert said(question, text, text) == verdict


FACTS = (
    "Oz - Facts. Languages: Dutch (official) 60%, French (official) 40%, Swahili (not official), "
    "German less than 1%, Frisian. Border countries: South Sudan 410 km; Guinea-Bissau 5 km; "
    "Nigeria 530 km; Cote d'Ivoire 20 km. Currency: euros (EUR) per US dollar -. Religions: Roman "
    "Catholic 51%, Protestant 8.2%. Independence: 6 August 1962 (from the UK)."
)


@pytest.mark.parametrize(
    ("question", "words", "verdict"),
    [
        ("Is French spoken?", "Dutch", "yes"),
        ("do they speak german", "Dutch", "yes"),
        ("Is French an official language?", "Dutch", "yes"),
        ("Does Oz border Nigeria?", "South", "yes"),
        ("Is South Sudan a neighbour?", "South", "yes"),
        ("Do they pay with euros?", "euros", "yes"),
        ("Do most people speak Dutch?", "Dutch", "yes"),
        ("Are most of them Roman Catholic?", "Roman", "yes"),
        # What is not in a list may be there by another name.
        ("do they speak english?", "Dutch", None),
        ("Does it border the Ivory Coast?", "South", None),
        ("Does it border Sudan?", "South", None),
        ("Does it border Guinea?", "South", None),
        ("Does it border Niger?", "South", None),
        ("Do they use the US dollar?", "euros", None),
        ("Do they pay with US dollars?", "euros", None),
        # Another's note, a note that denies, a field that is about something else.
        ("Is Frisian an official language?", "Dutch", None),
        ("Is Swahili an official language?", "Dutch", None),
        ("Is this country in NATO?", "South", None),
        ("Is it in Nigeria?", "South", None),
        ("Do they speak Gaelic?", "Roman", None),
        ("Was it a British colony?", "6 August", None),
        ("Does its neighbour border Nigeria?", "South", None),
        # More is asked than that it is there.
        ("Is French the only language spoken?", "Dutch", None),
        ("Do all speak French?", "Dutch", None),
        ("Is French not spoken?", "Dutch", None),
        ("Was French spoken?", "Dutch", None),
        ("Do most people speak German?", "Dutch", None),
        ("Do most people speak French?", "Dutch", None),
        ("Are most of them Protestant?", "Roman", None),
        ("Does the king speak French?", "Dutch", None),
    ],
)
def test_a_list_has_what_is_named_and_denies_nothing(question, words, verdict) -> None:
    assert said(question, FACTS, words) == verdict


@pytest.mark.parametrize(
    ("question", "value", "verdict"),
    [
        ("Does it have a coast?", "Coastline: 0 km", "no"),
        ("Does it have a coast?", "Coastline: none", "no"),
        ("Does it have a coast?", "Coastline: 0.5 km", "yes"),
        ("Does it have access to the sea?", "Coastline: 3,025 km", "yes"),
        ("Is it landlocked?", "Coastline: 3,025 km", "no"),
        ("Is it landlocked?", "Coastline: 0 km (landlocked)", "yes"),
        ("Does it have a long coast?", "Coastline: 3,025 km", None),
        ("Is there conscription?", "Conscription: abolished in 2011", None),
        ("Does it have nuclear energy?", "Nuclear energy: phased out", None),
        ("Does it have railways?", "Railways: total: 0 km", None),
        ("Does it have railways?", "Railways: 500 km (all closed)", None),
        ("Does it have railways?", "Railways: 0 km; 5 km of tramways", None),
        ("Does it have dependent areas?", "Dependent areas: not applicable", None),
        ("Does it have natural hazards?", "Natural hazards: NA", None),
        ("Does it have exports?", "Coal exports: 0", None),
        ("Did it have a coast?", "Coastline: 3,025 km", None),
    ],
)
def test_a_field_says_whether_there_is_any_of_what_it_is_called(question, value, verdict) -> None:
    assert said(question, f"Oz - Facts. {value}.", value.partition(": ")[2]) == verdict


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Is it venomous?", "It mimics venomous coral snakes."),
        ("Can it fly?", "It is descended from ancestors that could fly."),
        ("Is it poisonous?", "It was long believed to be poisonous."),
        ("Is it extinct?", "Declared extinct in 1950, it was rediscovered in 1990."),
        ("Is it in Spain?", "It lies near the border with Spain."),
        ("Do sharks eat it?", "Orcas eat great white sharks."),
        ("Are the males larger than the females?", "The females are larger than the males."),
        ("Is it a mammal?", "Unlike fish, the whale is a mammal."),
        ("Is it dormant?", "No eruption since 1707; it is dormant."),
        ("Is it flammable?", "It is highly inflammable."),
        ("Is it valuable?", "It is invaluable."),
        ("Is it famous?", "It is infamous."),
        ("Is it a port?", "It imports oil."),
        ("Is it covered by jungle?", "It was discovered by Cabral; jungle."),
        ("Is the sky blue?", "Some say the sky is blue."),
        ("Do all birds fly?", "Some birds fly."),
        ("Does it lack ribs?", "It has no ribs."),
        ("Do they speak Farsi?", "Languages: Afghan Persian or Dari (official) 78%."),
        ("Is it in the Balkans?", "Location: Southern Europe, bordering the Aegean Sea."),
        ("Is it a monarchy?", "Government type: federal republic."),
    ],
)
def test_the_same_words_in_prose_decide_nothing(question, text) -> None:
    assert said(question, text, text.partition(": ")[2] or text) is None

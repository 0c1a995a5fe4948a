"""Yes or no is said where a field or a number decides it, and nowhere else."""

import pytest

from generator.answers.deciding.asking import asks_yes_no
from generator.answers.deciding.rules import decide


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
        ("Is it larger than 80,000 morgens?", "Area: 83,600 sq km", None),
        ("Is it larger than 80,000 acres?", "Area: 83,600 sq km", "yes"),
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


@pytest.mark.parametrize(
    ("question", "value", "verdict"),
    [
        # A point may stand for thousands.
        ("Is it higher than 3.000 m?", "Height: 2,962 m", None),
        ("Is it higher than 3,000 m?", "Height: 3.776 m", None),
        ("Is GDP over 1.500 million?", "GDP: 1,200 million", None),
        ("Is the area under 1.500.000 sq km?", "Area: 83,600 sq km", None),
        ("Is it higher than 3 000 m?", "Height: 2,962 m", None),
        ("Is it heavier than 1,5 kg?", "Weight: 1.2 kg", None),
        ("Is it higher than 0.500 m?", "Height: 0.7 m", "yes"),
        ("Is it higher than 3.5 m?", "Height: 3.7 m", "yes"),
        ("Is it higher than 1,250.125 m?", "Height: 1,300 m", "yes"),
        # A minus, and the words for it.
        ("Is the budget below 0?", "Budget: -3 billion", "yes"),
        ("Is the budget over 0?", "Budget: -3 billion", "no"),
        ("Is the budget below 0?", "Budget: - 3 billion", None),
        ("Is the budget below 0?", "Budget: −3 billion", None),
        ("Is the budget below 0?", "Budget: (3 billion)", None),
        ("Is the budget below 0?", "Budget: deficit 3 billion", None),
        ("Is the budget below 0?", "Budget: Deficit 3 billion", None),
        ("Is the budget below 0?", "Budget: minus 3 billion", None),
        ("Is the lowest point below 0 m?", "Lowest point: Dead Sea -431 m", "yes"),
        ("Is the lowest point below 0 m?", "Lowest point: Dead Sea – 431 m", None),
        ("Is the temperature above 5 °C?", "Temperature: -12 °C", "no"),
        ("Does it have a budget surplus?", "Budget surplus: -3 billion", None),
        # Another date or number beside it.
        ("Was she born after 1900?", "Born: 5 May 1899 (or 1901)", None),
        ("Was she born after 1900?", "Born: 5 May 1899 (1901)", None),
        ("Was she born after 1900?", "Born: 5 May 1899 [disputed]", None),
        ("Was she born after 1900?", "Born: 1899 (baptised 1901)", None),
        ("Was she born after 1900?", "Born: 1899 (est.)", None),
        ("Was she born after 1900?", "Born: 1899 (?)", None),
        ("Was it founded after 1900?", "Founded: 1899 (rebuilt 1950)", "no"),
        ("Was its independence after 1960?", "Independence: 1962 (from Mo or 1959)", None),
        ("Was its independence after 1960?", "Independence: 1962 (from the UK)", "yes"),
        ("Was its independence after 1960?", "Independence: 1962 (from Mo; declared 1950)", None),
        ("Is it higher than 310 m?", "Height: 300 m (984 ft)", "no"),
        ("Is it higher than 310 m?", "Height: 300 m (324 m)", None),
        ("Is it higher than 310 m?", "Height: 300 m (with its antenna 324 m)", None),
        ("Is the population over 1 million?", "Population: 950,000 (2020 est.)", "no"),
        ("Is the population over 1 million?", "Population: 950,000 (town alone)", None),
        # Two units of one measure.
        ("Is it deeper than 2 m?", "Depth: 180 cm", "no"),
        ("Is Oz deeper than 2 m?", "Depth: 180 cm", "no"),
        ("Is the warranty longer than 12 months?", "Warranty: 2 years", "yes"),
        ("Is the warranty longer than 12 months?", "Warranty: 1 year", None),
        ("Is it heavier than 1 kg?", "Weight: 900 g", "no"),
        ("Is it heavier than 2,000 kg?", "Weight: 3 t", "yes"),
        ("Is it heavier than 2,000 kg?", "Weight: 3 tons", None),
        ("Is it heavier than 2 lb?", "Weight: 2 kg", "yes"),
        ("Is it taller than 6,000 ft?", "Height: 3 km", "yes"),
        ("Is it taller than 6,000 ft?", "Height: 1,829 m", None),
        ("Is it wider than 20 inches?", "Width: 60 cm", "yes"),
        ("Is its coast longer than 100 miles?", "Coastline: 120 km", "no"),
        ("Is the volume over 1 litre?", "Volume: 750 ml", "no"),
        ("Is the volume over 1 pint?", "Volume: 750 ml", None),
        ("Is the volume over 1 litre?", "Volume: 750 g", None),
        ("Is it longer than 90 minutes?", "Duration: 2 hours", "yes"),
        ("Is the battery life longer than 1 day?", "Battery life: 10 hours", "no"),
        ("Is the warranty longer than 700 days?", "Warranty: 2 years", None),
        ("Is it higher than 2 hours?", "Height: 300 m", None),
        ("Is the speed above 100 km/h?", "Speed: 80 mph", "yes"),
    ],
)
def test_one_number_in_one_reading_is_compared(question, value, verdict) -> None:
    assert said(question, f"Oz - Facts. {value}.", value.partition(": ")[2]) == verdict


@pytest.mark.parametrize(
    ("question", "value", "verdict"),
    [
        ("Is Alice a member?", "Members: Alice (expelled 1990), Bob", None),
        ("Is Alice a member?", "Members: Alice (suspended), Bob", None),
        ("Is Alice a member?", "Members: Alice (observer), Bob", None),
        ("Is Alice a member?", "Members: Alice [observer], Bob", None),
        ("Is Alice a member?", "Members: Alice (1990-1995), Bob", None),
        ("Is Alice a member?", "Members: Alice (to 1995), Bob", None),
        ("Is Alice a member?", "Members: Alice (1990, suspended), Bob", None),
        ("Is Alice a member?", "Members: Alice (RIP), Bob", None),
        ("Is Alice a member?", "Members: Alice (0), Bob", None),
        ("Is Alice a member?", "Members: Alice?, Bob", None),
        ("Is Alice a member?", "Members: Alice*, Bob", None),
        ("Is Bob a member?", "Members: Alice (expelled 1990), Bob", "yes"),
        ("Is Alice a member?", "Members: Alice (since 1990), Bob", "yes"),
        ("Is Alice a member?", "Members: Alice (1990), Bob", "yes"),
        ("Is Alice a member?", "Members: Alice (ALC), Bob", "yes"),
        ("Is Alice a suspended member?", "Members: Alice (suspended), Bob", "yes"),
        ("Is French an official language?", "Languages: French (official in the north)", None),
        ("Is French spoken?", "Languages: French (official in the north)", None),
        ("Is French spoken?", "Languages: French (second language)", None),
        ("Is French spoken?", "Languages: French (official, 2020 est.)", "yes"),
        ("Is French spoken?", "Languages: French (20%), Wolof", "yes"),
        ("Are most people Muslim?", "Religions: Muslim 51% (of the north)", None),
        ("Are most people Muslim?", "Religions: Muslim 51% (2020 est.)", "yes"),
        ("Are most people Muslim?", "Religions: Muslim 51% (of those asked)", None),
        ("Are most people Muslim?", "Religions: Muslim (men) 51%", None),
        ("Do most people speak French?", "Languages: French 51% (second language)", None),
        ("Do most people speak French?", "Languages: French 51% (official)", "yes"),
        ("Are most people German?", "Tourists: German 60%", None),
        ("Are most people German?", "Languages of the north: German 60%", None),
        ("Does it contain sugar?", "Contains: sugar and gluten free oats", None),
        ("Does it contain sugar?", "Contains: sugar and gluten-free", None),
        ("Does it contain sugar?", "Contains: sugar and saltless", None),
        ("Does it contain sugar?", "Contains: sugar free oats", None),
        ("Does it contain sugar?", "Contains: Sugar 0 g", None),
        ("Does it contain sugar?", "Contains: may contain sugar", None),
        ("Does it contain sugar and honey?", "Contains: sugar or honey", None),
        ("Does it contain salt?", "Contains: salt and vinegar crisps", None),
        ("Does it contain sugar?", "Contains: sugar and oats", "yes"),
        ("Does it contain sugar?", "Contains: Sugar 10 g, oats", "yes"),
    ],
)
def test_a_note_that_is_not_understood_leaves_it_open(question, value, verdict) -> None:
    assert said(question, f"Oz - Facts. {value}.", value.partition(": ")[2]) == verdict


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
        ("Does it have nuclear reactors?", "Nuclear reactors: 0 (3 planned)", None),
        ("Does it have nuclear reactors?", "Nuclear reactors: 0 [3 planned]", None),
        ("Does it have nuclear reactors?", "Nuclear reactors: 4 (in one plant; 2025)", None),
        ("Does it have nuclear reactors?", "Nuclear reactors: 4 (2025 est.)", "yes"),
        # A value that is yes or no.
        ("Does it have a headphone jack?", "Headphone jack: no", "no"),
        ("Is there a headphone jack?", "Headphone jack: none", "no"),
        ("Does it have an eSIM?", "eSIM: yes", "yes"),
        ("Does it have Wi-Fi?", "Wi-Fi: Yes", "yes"),
        ("Is it waterproof?", "Waterproof: no", "no"),
        ("Is the battery removable?", "Removable battery: no", "no"),
        ("Does it have a jack?", "Headphone jack: no", None),
        ("Does it have a headphone jack?", "Headphone jack: yes (adapter)", None),
        ("Does it have a headphone jack?", "Headphone jack: no; adapter", None),
        ("Does it have two headphone jacks?", "Headphone jack: yes", None),
        ("Does it need a headphone jack?", "Headphone jack: no", None),
        ("Did it have a headphone jack?", "Headphone jack: no", None),
        ("Does it have added sugar?", "No added sugar: yes", None),
        ("Is it toxic?", "Non-toxic: yes", None),
        ("Is it landlocked?", "Landlocked: no", "no"),
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


@pytest.mark.parametrize(
    ("question", "text", "verdict"),
    [
        ("Does Gasland have nuclear reactors?", "Gasland - Energy. Nuclear reactors: 0.", "no"),
        ("Does New Mo have a coast?", "New Mo - Geography. Coastline: 5 km.", "yes"),
        ("Is the pool deeper than 2 m?", "Pool - Facts. Depth: 180 cm.", "no"),
        ("Did Mo become independent after 1960?", "Mo - Facts. Independence: 5 July 1962.", "yes"),
        ("Does Wi have nuclear reactors?", "Gasland - Energy. Nuclear reactors: 0.", None),
        ("Does Mo have reactors?", "Mo built some. Gasland - Energy. Reactors: 0.", None),
        ("Does energy have reactors?", "Gasland - Energy. Reactors: 0.", None),
        ("Does Mo have reactors?", "Reactors: 0. Mo - Energy.", None),
        ("Does Mo have reactors?", "Wi: Mo - Energy. Reactors: 0.", None),
    ],
)
def test_the_words_that_a_passage_begins_with_are_its_name(question, text, verdict) -> None:
    start = text.index(": ", text.index("s: ") if "s: " in text else 0) + 2
    assert decide(question, text, (start, start + 1), "World atlas") == verdict

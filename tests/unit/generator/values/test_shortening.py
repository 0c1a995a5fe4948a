"""Which part of a value a question wants; where in doubt, all of it."""

import pytest

from generator.values.shortening import shortened

LANGUAGES = "Dutch (official) 60%, French (official) 40%, German (minority) less than 1% (2020)"
BORDERS = "Egypt 208 km; Jordan 327 km (20 km in the Dead Sea); Syria 83 km"
CHIEF = "President Isaac HERZOG (since 7 July 2021)"
HEAD = "King CHARLES III (since 8 September 2022); represented by Cyril CHARLES (since 2021)"
PEAK = "Mount Everest (highest on earth) 8,849 m"
FREED = "18 February 1965 (from the UK)"


def said(question: str, value: str, label: str = "Field") -> list[str]:
    text = f"Oz. {label}: {value}. More: no."
    start = text.index(value)
    return [text[a:b] for a, b in shortened(question, text, (start, start + len(value)))]


@pytest.mark.parametrize(
    ("question", "value", "expected"),
    [
        ("How many people live there?", "20,324,160 (2025 est.)", ["20,324,160"]),
        ("What do they pay with?", "euros (EUR)", ["euros"]),
        ("What is the code of the currency?", "euros (EUR)", ["EUR"]),
        ("Who is the president?", CHIEF, ["Isaac HERZOG"]),
        ("whos the president", CHIEF, ["Isaac HERZOG"]),
        ("president?", CHIEF, ["Isaac HERZOG"]),
        ("When did the president take office?", CHIEF, ["7 July 2021"]),
        ("Who is the monarch?", HEAD, ["King CHARLES III"]),
        ("What is the parliament called?", "Parliament (Knesset)", ["Knesset"]),
        ("When did it become free?", FREED, ["18 February 1965"]),
        ("From whom did it become free?", FREED, ["the UK"]),
        ("Which is the highest mountain?", PEAK, ["Mount Everest"]),
        ("How high is its top?", PEAK, ["8,849 m"]),
        ("How many are in it?", "3 lemons", ["3"]),
        ("How many were there?", "12 volunteers", ["12"]),
        ("How many are in it?", "4 barrels", ["4"]),
        ("How many keys has it?", "88 black and white keys", ["88"]),
        ("How much does it cost?", "27 euros", ["27 euros"]),
        ("how much did she pay for it", "62 marks", ["62 marks"]),
        ("how many legs did they have", "four thick", ["four"]),
        ("max elevation", PEAK, [PEAK]),
        ("Do they have dollars or euros?", "euros (EUR)", ["euros"]),
        ("Chief city?", "Washington, D.C", ["Washington, D.C"]),
        ("At what age may they vote?", "18 years of age; universal", ["18 years of age"]),
        ("What can fill it?", "meat, cheese, or a combination", ["meat, cheese"]),
        ("What was it made of?", "lenses or a combination of both", ["lenses"]),
        ("What did it attract?", "iron, steel, etc", ["iron, steel"]),
        ("What is it?", "a combination of wood and steel", ["a combination of wood and steel"]),
        ("When did it arrive?", "during the 1930s", ["1930s"]),
        ("When is it celebrated?", "on 4 July", ["4 July"]),
        ("How much do they share?", "from 96 to 99%", ["96 to 99%"]),
        ("What colours has it?", "from purple to green", ["purple to green"]),
        ("Since when?", "from 1990", ["from 1990"]),
        ("Who can build it?", "both governments and companies", ["governments and companies"]),
        ("Who plays it?", "both", ["both"]),
        ("Whose hostage was he?", "daimyo Imagawa Yoshimoto", ["Imagawa Yoshimoto"]),
        ("What is the daimyo's name?", "daimyo Imagawa Yoshimoto", ["daimyo Imagawa Yoshimoto"]),
        ("Who eats it?", "black Bears", ["black Bears"]),
        ("What is it named after?", "Okhotsk, itself named for a river", ["Okhotsk"]),
        ("Since when is it called so?", "1986, at the country's request", ["1986"]),
        ("Explain the name", "name, which means tusk", ["name, which means tusk"]),
    ],
)
def test_one_value_is_said_without_what_is_added(question, value, expected) -> None:
    assert said(question, value) == expected


@pytest.mark.parametrize(
    ("question", "value", "expected"),
    [
        ("What do they speak?", LANGUAGES, ["Dutch", "French", "German"]),
        ("Which languages are official?", LANGUAGES, ["Dutch", "French"]),
        ("What is the main language?", LANGUAGES, ["Dutch"]),
        ("What are the main languages?", LANGUAGES, ["Dutch", "French", "German"]),
        ("Main languages spoken?", LANGUAGES, ["Dutch", "French", "German"]),
        ("How many percent speak French?", LANGUAGES, ["40%"]),
        ("Which languages, and how many speak each?", LANGUAGES, [LANGUAGES]),
        ("Languages with percentages", LANGUAGES, [LANGUAGES]),
        ("What is spoken?", "Turkish (official), Kurdish", ["Turkish", "Kurdish"]),
        ("What is spoken?", "Thai, some Lao, Malay (south)", ["Thai", "some Lao", "Malay"]),
        ("What are its neighbours?", BORDERS, ["Egypt", "Jordan", "Syria"]),
        ("With which one is the border longest?", BORDERS, ["Jordan"]),
        ("With which one is the border shortest?", BORDERS, ["Syria"]),
        ("How long is the border with Syria?", BORDERS, ["83 km"]),
        ("How long are the borders?", BORDERS, [BORDERS]),
        ("What is its main export?", "oil, gas, cars", ["oil"]),
        ("whats the no. 1 thing they sell", "oil, gas, cars", ["oil"]),
        ("Their leading export?", "oil, gas, cars", ["oil"]),
        ("How many percent have no religion?", "Hindu 40%, none 60% (2021 est.)", ["60%"]),
        ("When was it?", "14 July 1998, 3 May 1999", ["14 July 1998, 3 May 1999"]),
        ("Which languages are official?", "Thai (official), Lao (formerly official)", ["Thai"]),
        ("When was it built?", "Tower (destroyed 1944, built 1200)", ["1200"]),
        (
            "When is the rainy season?",
            "hot; rainy season (June to November); cool",
            ["June to November"],
        ),
    ],
)
def test_of_a_list_what_is_asked_for_is_said(question, value, expected) -> None:
    assert said(question, value, "Languages") == expected


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("How big is it?", "637,657 sq km"),
        ("How many do they eat?", "two of five apples"),
        ("how many does it weigh", "100 to 115 kg"),
        ("Name the top, with its height.", "Mount Everest 8,849 m"),
        ("how high is it, which is the top?", "Mount Everest 8,849 m"),
        ("How old do they get?", "67.7 years"),
        ("What is it made of?", "metal, wood, porcelain or plastic"),
        (
            "What is its climate?",
            "desert; monsoon (May to October), torrid in the north, dry in the south",
        ),
        ("What is it?", "vernacular (non-academic) architecture"),
        ("When was that?", "the first millennium A.D."),
        # A unit is no thing that is counted.
        *(
            ("How much of it?", f"500 {unit} milk")
            for unit in (
                *(
                    "ml",
                    "l",
                    "cl",
                    "dl",
                    "tbsp",
                    "tsp",
                    "cup",
                    "cups",
                    "oz",
                    "lb",
                    "pint",
                    "gallon",
                ),
                *("g", "mg", "kcal", "kJ", "W", "kW", "V", "Hz", "px", "MB", "GB", "rpm", "mph"),
                *("km/h", "knots", "bar", "hPa", "dB", "lm", "mAh", "tablespoons", "litres", "°C"),
                *("fl oz", "inches", "seconds", "watts", "min", "µg"),
            )
        ),
        ("What is the temperature?", "-5 °C"),
        # What would go says "not", "except", "vice", "dozen", or something in another unit.
        ("Where is it found?", "Africa; except Egypt and Libya"),
        ("Where does it live?", "Mountains; not found below 500 m"),
        ("What does it eat?", "fish (not salmon)"),
        ("Which languages are official?", "English, Swahili (not official), Luo"),
        ("How many people live there?", "5 million (not counting 2 million refugees)"),
        ("How many eggs does it lay?", "3 dozen eggs"),
        ("How many eggs does it lay?", "one hundred eggs"),
        ("How many did it kill?", "12 fewer victims"),
        ("Who runs it?", "Vice President Jo DOE"),
        ("Which border is the longest?", "Libya 989 km; Mali 900 mi"),
    ],
)
def test_else_it_is_said_as_it_is(question, value) -> None:
    assert said(question, value) == [value]


def test_the_amount_behind_a_name_that_was_taken_alone_is_found() -> None:
    text = "Languages: Nepali (official) 44.9%, Maithali 11.1%."
    [(a, b)] = shortened("What share speaks Nepali?", text, (11, 17))
    assert text[a:b] == "44.9%"


def test_of_two_ends_neither_is_left_out_unless_the_question_has_it() -> None:
    text = "Storms are most common between March and August."
    span = text.index("August"), text.index(".")
    [(a, b)] = shortened("which months have storms", text, span)
    assert text[a:b] == "March and August"
    assert shortened("From March until when do they have storms?", text, span) == (span,)


def test_prose_has_no_first_that_is_the_most() -> None:
    text = "Llamas are kept for meat, wool and hides by most herders."
    span = text.index("meat"), text.index(" by")
    assert shortened("What are llamas mainly kept for?", text, span) == (span,)
    assert shortened("For what is it mainly kept?", text, span) == (span,)


def test_a_long_row_of_digits_or_letters_is_read_once() -> None:
    for value in ("9" * 50_000 + " x", "3 " + "a" * 50_000 + "!", "5" + " " * 50_000 + "x"):
        assert said("What is it?", value) == [value]

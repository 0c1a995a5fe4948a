"""Values as labelled fields write them: names, quantities, notes."""

import pytest

from generator.values.items import items


def parts(text: str) -> list[tuple[str, str, list[str]]]:
    return [
        (
            text[slice(*item.name)],
            text[slice(*item.quantity)] if item.quantity else "",
            [text[slice(*note)] for note in item.notes],
        )
        for item in items(text, 0, len(text))
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Libya 989 km; Mali 1,359 km", [("Libya", "989 km", []), ("Mali", "1,359 km", [])]),
        (
            "Dutch (official) 60%, German (official) less than 1%",
            [("Dutch", "60%", ["official"]), ("German", "less than 1%", ["official"])],
        ),
        (
            "Sunni (mostly Hanafi (90%), other) 99.8%",
            [("Sunni", "99.8%", ["mostly Hanafi (90%), other"])],
        ),
        ("Everest (highest) 8,849 m", [("Everest", "8,849 m", ["highest"])]),
        ("Dead Sea -431 m", [("Dead Sea", "-431 m", [])]),
        ("2.610 million MOGADISHU (capital)", [("MOGADISHU", "2.610 million", ["capital"])]),
        ("euros (EUR)", [("euros", "", ["EUR"])]),
    ],
)
def test_a_list_has_names_with_quantities_and_notes(text, expected) -> None:
    assert parts(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Apollo 11",  # a number without a unit is part of a name
        "100 to 115 kg",
        "at least 200 km/h",
        "rises to 3,776 m",
        "14 May 1948",
        "637,657 sq km",
        "vernacular (non-academic) architecture",
        "(see below)",
        "a (b",
    ],
)
def test_what_is_no_name_with_something_added_is_one_whole(text) -> None:
    assert parts(text) == [(text, "", [])]


def test_a_range_may_begin_and_end_anywhere() -> None:
    text = "Religions: Muslim 99%; other."
    assert [text[slice(*item.whole)] for item in items(text, 11, len(text))] == [
        "Muslim 99%",
        "other",
    ]
    assert items(text, 3, 3) == []

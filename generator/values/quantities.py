"""Numbers with their scale and unit, as questions and passages write them. Pure functions."""

import re
from dataclasses import dataclass

SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_UNITS = {
    **dict.fromkeys(("m", "metre", "metres", "meter", "meters"), "m"),
    **dict.fromkeys(("km", "kilometre", "kilometres", "kilometer", "kilometers"), "km"),
    **dict.fromkeys(("cm", "centimetre", "centimetres", "centimeter", "centimeters"), "cm"),
    **dict.fromkeys(("mm", "millimetre", "millimetres", "millimeter", "millimeters"), "mm"),
    **dict.fromkeys(("kg", "kilo", "kilos", "kilogram", "kilograms"), "kg"),
    **dict.fromkeys(("g", "gram", "grams"), "g"),
    **dict.fromkeys(("lb", "lbs", "pound", "pounds"), "lb"),
    **dict.fromkeys(("ft", "foot", "feet"), "ft"),
    **dict.fromkeys(("mi", "mile", "miles"), "mi"),
    **dict.fromkeys(("t", "tonne", "tonnes", "ton", "tons"), "t"),
    **dict.fromkeys(("%", "percent", "per cent"), "%"),
    **dict.fromkeys(("AU", "astronomical unit", "astronomical units"), "AU"),
    **dict.fromkeys(("year", "years"), "year"),
    **dict.fromkeys(("month", "months"), "month"),
    **dict.fromkeys(("week", "weeks"), "week"),
    **dict.fromkeys(("day", "days"), "day"),
    **dict.fromkeys(("hour", "hours"), "hour"),
    **dict.fromkeys(("minute", "minutes"), "minute"),
    **dict.fromkeys(("km/h", "kph"), "km/h"),
    **dict.fromkeys(("sq km", "km²", "km2", "square kilometres", "square kilometers"), "sq km"),
    **dict.fromkeys(("sq mi", "square miles"), "sq mi"),
}
_SHORT = {name.casefold(): short for name, short in _UNITS.items()}
MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
# From its first digit on and all of it, so that a long row of digits is read once.
NUMBER = r"(?<!\d)(?<!\d[.,])-?(?:\d{1,3}(?:,\d{3})++(?!\d)|\d++)(?:\.\d++)?+"
UNIT = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
# Three groups: number, scale, unit.
QUANTITY = rf"({NUMBER})(?:\s*+({'|'.join(SCALES)}))?+(?:\s*+({UNIT})(?![\w/²]))?"
_QUANTITY = re.compile(QUANTITY, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Quantity:
    """How much of which unit; "" for a bare number.

    Attributes:
        size: in that unit.
        unit: its short form.
    """

    size: float
    unit: str


def quantity(number: str, scale: str | None, unit: str | None) -> Quantity:
    """Return the quantity of QUANTITY's three groups.

    >>> quantity("1,250.5", "thousand", "metres")
    Quantity(size=1250500.0, unit='m')
    """
    size = float(number.replace(",", "")) * SCALES.get((scale or "").lower(), 1.0)
    return Quantity(size, unit_of(unit or ""))


def unit_of(name: str) -> str:
    """Return the short form of a unit, however cased; "" for what is none.

    >>> unit_of("Kilometres"), unit_of("au"), unit_of("keys")
    ('km', 'AU', '')
    """
    return _SHORT.get(name.casefold(), "")


def quantities(text: str) -> list[Quantity]:
    """Return all quantities of a text, in order.

    >>> quantities("83,600 sq km, of which 5% water")
    [Quantity(size=83600.0, unit='sq km'), Quantity(size=5.0, unit='%')]
    """
    return [quantity(*found.groups()) for found in _QUANTITY.finditer(text)]

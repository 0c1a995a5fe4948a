"""Numbers with their scale and unit, as questions and passages write them. Pure functions."""

import math
import re
from dataclasses import dataclass

SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
# Short form, then the other spellings. None that is a word ("in", "a"), nor "s": "1990s".
_SPELLINGS = {
    "m": "metre metres meter meters",
    "km": "kilometre kilometres kilometer kilometers",
    "cm": "centimetre centimetres centimeter centimeters",
    "mm": "millimetre millimetres millimeter millimeters",
    "ft": "foot feet",
    "mi": "mile miles",
    "yd": "yard yards",
    "inch": "inches",
    "kg": "kilo kilos kilogram kilograms",
    "g": "gram grams gramme grammes",
    "mg": "milligram milligrams",
    "µg": "μg mcg microgram micrograms",
    "lb": "lbs pound pounds",
    "oz": "ounce ounces",
    "t": "tonne tonnes",
    "ton": "tons",
    "l": "litre litres liter liters",
    "dl": "decilitre decilitres deciliter deciliters",
    "cl": "centilitre centilitres centiliter centiliters",
    "ml": "millilitre millilitres milliliter milliliters",
    "tsp": "teaspoon teaspoons",
    "tbsp": "tablespoon tablespoons",
    "cup": "cups",
    "pint": "pints",
    "quart": "quarts",
    "gallon": "gallons gal",
    "%": "percent",
    "AU": "",
    "year": "years",
    "month": "months",
    "week": "weeks",
    "day": "days",
    "hour": "hours h hr hrs",
    "minute": "minutes min mins",
    "second": "seconds sec secs",
    "km/h": "kph kmh",
    "mph": "",
    "knot": "knots",
    "kcal": "",
    "kJ": "",
    "W": "watt watts",
    "kW": "kilowatt kilowatts",
    "kWh": "",
    "V": "volt volts",
    "Hz": "hertz",
    "kHz": "",
    "MHz": "",
    "GHz": "",
    "px": "pixel pixels",
    "kB": "kilobyte kilobytes",
    "MB": "megabyte megabytes",
    "GB": "gigabyte gigabytes",
    "TB": "terabyte terabytes",
    "rpm": "",
    "bar": "",
    "mbar": "millibar millibars",
    "hPa": "",
    "kPa": "",
    "dB": "decibel decibels",
    "lm": "lumen lumens",
    "mAh": "",
    "°C": "",
    "°F": "",
    "sq km": "km² km2",
    "sq mi": "",
    "sq m": "m² m2",
    "ha": "hectare hectares",
    "acre": "acres",
}
_UNITS = {
    **{name: short for short, names in _SPELLINGS.items() for name in (short, *names.split())},
    "per cent": "%",
    **dict.fromkeys(("astronomical unit", "astronomical units"), "AU"),
    **dict.fromkeys(("fl oz", "fluid ounce", "fluid ounces"), "fl oz"),
    **dict.fromkeys(("square kilometres", "square kilometers"), "sq km"),
    **dict.fromkeys(("square metres", "square meters"), "sq m"),
    "square miles": "sq mi",
}
# How much of the first one of the others is, where that is the same everywhere: there are two
# kinds of pints and of tons, an ounce may be a volume, and a month has no number of days.
_OTHERS: dict[str, dict[str, float]] = {
    "m": {"km": 1e3, "cm": 0.01, "mm": 1e-3, "ft": 0.3048, "mi": 1609.344, "inch": 0.0254},
    "kg": {"t": 1e3, "g": 1e-3, "mg": 1e-6, "µg": 1e-9, "lb": 0.45359237},
    "l": {"dl": 0.1, "cl": 0.01, "ml": 1e-3},
    "minute": {"week": 10080, "day": 1440, "hour": 60, "second": 1 / 60},
    "month": {"year": 12},
    "sq km": {"sq mi": 2.589988, "ha": 0.01, "acre": 0.00404686, "sq m": 1e-6},
    "km/h": {"mph": 1.609344, "knot": 1.852},
    "W": {"kW": 1e3},
    "Hz": {"kHz": 1e3, "MHz": 1e6, "GHz": 1e9},
    "hPa": {"bar": 1e3, "mbar": 1, "kPa": 10},
}
_ONE_IS = {name: (n, base) for base, others in _OTHERS.items() for name, n in others.items()}
# Nearer than this they may be one quantity, rounded in one of the units.
_ROUNDED = 0.01
_SHORT = {name.casefold(): short for name, short in _UNITS.items()}
# A number as a pattern, in figures or in a word up to twelve.
CARDINAL = r"(?:\d[\d.,]*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
# Words that say how much or how many there is of something.
AMOUNT_WORDS = (
    *("no", "none", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty"),
    *("ninety", "hundred", "thousand", "million", "billion", "trillion", "dozen", "pair", "couple"),
    *("single", "double", "triple", "once", "twice", "half", "halves", "third", "quarter", "both"),
    *("few", "several", "many", "most", "all", "every", "some", "any", "little", "majority"),
    *("numerous", "multiple", "number", "countless", "various", "unlimited", "infinite"),
    *("uninhabited", "weightless", "massless", "part", "portion", "area", "collection", "series"),
    *("duo", "trio", "quartet", "trilogy", "tetralogy", "first", "second"),
    *("fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "octave", "semitone"),
)
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


def comparable(first: Quantity, second: Quantity) -> tuple[Quantity, Quantity]:
    """Return two quantities in one unit, where both measure the same; else as they are.

    In two units they are equal where rounding may be all that is between them.

    >>> comparable(Quantity(2, "m"), Quantity(180, "cm"))
    (Quantity(size=2.0, unit='m'), Quantity(size=1.8, unit='m'))
    """
    if first.unit == second.unit:
        return first, second
    one, other = _in_base(first), _in_base(second)
    if one.unit != other.unit:
        return first, second
    if math.isclose(one.size, other.size, rel_tol=_ROUNDED):
        return one, one
    return one, other


def _in_base(of: Quantity) -> Quantity:
    times, unit = _ONE_IS.get(of.unit, (1.0, of.unit))
    return Quantity(of.size * times, unit)


def quantities(text: str) -> list[Quantity]:
    """Return all quantities of a text, in order.

    >>> quantities("83,600 sq km, of which 5% water")
    [Quantity(size=83600.0, unit='sq km'), Quantity(size=5.0, unit='%')]
    """
    return [quantity(*found.groups()) for found in _QUANTITY.finditer(text)]

"""What templates of English Wikipedia show, as far as they stand inside sentences.

    {{convert|5|ft|11|in|cm}}  5 ft 11 in      {{nihongo|Tokyo|東京|Tōkyō}}  Tokyo (東京, Tōkyō)
    {{formatnum:1234567}}      1,234,567       {{circa|1500}}               c. 1500

A measure is shown as it was given, without what it is converted to. Templates that are not known
here show nothing: boxes, notes, sources, pronunciations.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mwparserfromhell.nodes import Template

Values = Sequence[str]
Named = Mapping[str, str]
Shown = Callable[[Values, Named], str]

# Stands before a fraction, which belongs to the digit before it if there is one: 5{{frac|1|2}}.
INVISIBLE_PLUS = "\u2064"
_NUMBER = re.compile(
    r"[-+−–±]?[.\u2064]?[\d½¼¾⅓⅔⅛⅜⅝⅞][\d.,/ +⁄\u2064½¼¾⅓⅔⅛⅜⅝⅞]*(?:e[-+]?\d+)?", re.I
)
_SUPERSCRIPT = str.maketrans("0123456789-−+", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻⁺")
_LANGUAGE_TEMPLATE = re.compile(r"lang-[a-z-]+")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)

# What stands between two numbers of a measure, and how it shows.
_RANGES = {
    **{word: f" {word} " for word in ("to", "and", "or", "by", "x", "×", "to about", "and about")},
    **{f"{word}(-)": f" {word} " for word in ("to", "and", "or", "by", "x")},
    "-": "–", "–": "–", "—": "–", "/": "/", "//": "/", "&": " & ", "+": " + ", ",": ", ",
    ", and": ", and ", ", or": ", or ", "*": " × ", "xx": " × ", "±": " ± ", "+/-": " ± ",
    "to-": " to ", "-to": " to ", "+-": " ± ", "minus": " minus ", "plus": " plus ",
    "&minus;": "−", "−": "−", "\N{NON-BREAKING HYPHEN}": "–", "till": " till ",
}  # fmt: skip
# Units of which a measure has several: "5 ft 11 in"
_SMALLER = {
    "mi": ("yd", "ft", "ch", "chain", "fur", "furlong"),
    "yd": ("ft", "in"), "ft": ("in",), "foot": ("in",), "nmi": ("yd", "ft"), "fur": ("ch",),
    "st": ("lb",), "stone": ("lb",), "lb": ("oz", "ozt"), "hand": ("in",), "chain": ("link",),
    "long ton": ("cwt", "qtr", "st", "lb"), "LT": ("cwt", "qtr", "st", "lb"),
    "cwt": ("qtr", "st", "lb"), "long cwt": ("qtr", "st", "lb"), "qtr": ("st", "lb"),
    "h": ("min",), "hr": ("min",), "min": ("s", "sec"), "km": ("m",), "m": ("cm",),
}  # fmt: skip
_UNITS = {
    "sqmi": "sq mi", "sqft": "sq ft", "sqin": "sq in", "sqyd": "sq yd", "sqkm": "km2",
    "sqm": "m2", "cuft": "cu ft", "cuyd": "cu yd", "cuin": "cu in", "cumi": "cu mi",
    "impgal": "imp gal", "USgal": "US gal", "usgal": "US gal", "kph": "km/h", "knot": "knots",
    "C": "°C", "F": "°F", "C-change": "°C", "F-change": "°F", "LT": "long tons",
    "ST": "short tons", "MT": "t", "ftin": "ft", "impmi": "mi",
}  # fmt: skip
_POWERS = {"e3": "thousand", "e6": "million", "e9": "billion", "e12": "trillion"}
_SYMBOLS = {
    **dict.fromkeys(("snd", "spaced ndash", "spnd", "sndash", "spaced en dash"), " – "),
    "ndash": "–", "–": "–", "en dash": "–", "mdash": "—", "—": "—", "em dash": "—",
    "mdashb": "—", "spaced mdash": " — ", "'s": "'s", "'": "'", "'\"": "'\"", "' \"": "'\"",
    **dict.fromkeys(("nbsp", "space", "spaces", "thinsp", "hairsp", "nnbsp", "sp"), " "),
    **dict.fromkeys(("dot", "·", "middot", "•", "bull"), " · "),
    "!": "|", "=": "=", "pi": "π", "degree": "°", "deg": "°", "co2": "CO2", "h2o": "H2O",
    '-"': '"', "times": "×", "minus": "−", "plus": "+", "±": "±", "plusminus": "±",
}  # fmt: skip
_MONEY = {
    **dict.fromkeys(("usd", "us$", "usdollar"), "US$"),
    **dict.fromkeys(("gbp", "£", "pound sterling"), "£"),
    **dict.fromkeys(("eur", "euro", "€"), "€"),
    **dict.fromkeys(("inr", "₹", "indian rupee"), "₹"),
    **dict.fromkeys(("jpy", "¥", "jpy¥"), "¥"),
    "aud": "A$", "a$": "A$", "cad": "C$", "ca$": "C$", "cny": "CN¥", "nzd": "NZ$", "krw": "₩",
}  # fmt: skip
_VALUES = 100  # a template has no more; its author may have miscounted
_NOTES = {"flat": "♭", "sharp": "♯", "natural": "♮"}


def template_text(template: Template, plain: Callable[[Any], str]) -> str:
    """Return what a template shows inside a sentence; "" for all that are not known.

    Args:
        template: with its arguments.
        plain: returns the text of an argument's wikitext.
    """
    written = plain(template.name).strip()
    name = written.casefold().replace("_", " ").removeprefix("template:").strip()
    function, _, operand = written.partition(":")
    formatted = _FUNCTIONS.get(function.strip().casefold()) if ":" in written else None
    shown = _SHOWN.get(name) or (_first if _LANGUAGE_TEMPLATE.fullmatch(name) else None)
    if name in _SYMBOLS:
        return _SYMBOLS[name]
    if formatted is None and shown is None:  # most of them, and those with the most arguments
        return ""
    given = {str(p.name).strip(): plain(p.value).strip() for p in template.params}
    count = max((int(key) for key in given if key.isdecimal()), default=0)
    values = [given.get(str(number), "") for number in range(1, min(count, _VALUES) + 1)]
    if formatted is not None:
        return formatted(operand.strip(), values)
    return shown(values, given) if shown is not None else ""


def _convert(values: Values, named: Named) -> str:
    """Return the measure that is converted: numbers with what joins them, and their units.

    >>> _convert(["60", "to", "75", "kg", "lb"], {}), _convert(["5", "ft", "11", "in", "cm"], {})
    ('60 to 75 kg', '5 ft 11 in')
    """
    values = [value for value in values if value] if values and values[0] else []
    if not values or not _is_number(values[0]):
        return ""
    shown, at = _amount(values[0]), 1
    while at + 1 < len(values) and values[at] in _RANGES and _is_number(values[at + 1]):
        shown += _RANGES[values[at]] + _amount(values[at + 1])
        at += 2
    if at == len(values):
        return ""
    while at < len(values) and not _is_number(values[at]):
        unit = values[at]
        shown += f" {_unit(unit)}"
        smaller = values[at + 1 : at + 3]
        if (
            len(smaller) < 2
            or not _is_number(smaller[0])
            or smaller[1] not in _SMALLER.get(unit, ())
        ):
            break
        shown += f" {_amount(smaller[0])}"
        at += 2
    return shown


def _is_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text))


def _amount(text: str) -> str:
    """Return a number as it shows: "1+1/2" and "1//2" are 1 1/2 and 1/2."""
    text = mended_fractions(text.replace("//", "/"))
    return re.sub(r"(?<=\d)\+(?=\d+/)", " ", text).strip()


def _unit(code: str) -> str:
    """Return a unit as it shows.

    >>> _unit("sqmi"), _unit("e6km2")
    ('sq mi', 'million km2')
    """
    power = next((p for p in ("e12", *_POWERS) if code.startswith(p) and code != p), "")
    rest = code.removeprefix(power)
    return f"{_POWERS[power]} {_UNITS.get(rest, rest)}" if power else _UNITS.get(code, code)


def _grouped(number: str) -> str:
    """Return a number with commas between thousands.

    >>> _grouped("1234567.8901"), _grouped("-1234")
    ('1,234,567.8901', '-1,234')
    """
    whole, point, rest = number.partition(".")
    return re.sub(r"(?<=\d)(?=(?:\d{3})+$)", ",", whole) + point + rest


def _formatnum(number: str, options: Values) -> str:
    if "R" in options:
        return number.replace(",", "")
    return number if "NOSEP" in options or "," in number else _grouped(number)


_FUNCTIONS: dict[str, Callable[[str, Values], str]] = {
    "formatnum": _formatnum,
    "lc": lambda text, _: text.lower(),
    "uc": lambda text, _: text.upper(),
    "lcfirst": lambda text, _: text[:1].lower() + text[1:],
    "ucfirst": lambda text, _: text[:1].upper() + text[1:],
}


def _val(values: Values, named: Named) -> str:
    """Return a measured value: its number, uncertainty, power of ten and unit."""
    shown = _grouped(values[0]) if values else ""
    if len(values) == 2 and values[1]:
        shown += values[1] if values[1].startswith("(") else f"±{values[1]}"
    elif len(values) > 2:
        shown += f"+{values[1].lstrip('+')}−{values[2].lstrip('-−')}"
    if power := named.get("e"):
        shown = f"({shown})" if len(values) > 1 else shown
        shown += f"×10^{power}" if shown else f"10^{power}"
    unit = named.get("u") or named.get("ul") or ""
    if per := named.get("up") or named.get("upl"):
        unit += f"/{per}"
    shown = f"{named.get('p', '')}{shown}{named.get('s', '')}"
    return f"{shown}{'' if unit[:1] in '%°' else ' '}{unit}".strip()


def _fraction(values: Values, named: Named) -> str:
    """Return "1/2", or "1/8" of {{frac|8}}, or "3 1/2" of three values."""
    if len(values) < 2:
        return f"{INVISIBLE_PLUS}1/{values[0]}" if values else ""
    fraction = f"{values[-2]}/{values[-1]}"
    return " ".join([*values[:-2], fraction]) if len(values) > 2 else INVISIBLE_PLUS + fraction


def superscript(text: str) -> str:
    """Return what is set above the line: a number keeps its place, as in 10⁶ and km².

    >>> superscript("-6"), superscript("st")
    ('⁻⁶', 'st')
    """
    return text.translate(_SUPERSCRIPT) if re.fullmatch(r"[-−+]?\d+", text.strip()) else text


def mended_fractions(text: str) -> str:
    """Return a text in which fractions stand apart from the digits before them: "5 1/2"."""
    return re.sub(rf"(?<=\d){INVISIBLE_PLUS}", " ", text).replace(INVISIBLE_PLUS, "")


def _dated(mark: str, *, each: bool = False) -> Shown:
    """Return what shows a mark before one time or two: "c. 1500", "r. 1558–1603"."""

    def shown(values: Values, named: Named) -> str:
        times = [value for value in values if value]
        if each and len(times) > 1:
            return " – ".join(f"{mark} {time}" for time in times[:2])
        return " ".join([mark, "–".join(times[:2])]).strip()

    return shown


def _as_of(values: Values, named: Named) -> str:
    if alt := named.get("alt"):
        return alt
    begin = "since" if named.get("since") else "as of"
    begin = begin if named.get("lc") else begin.capitalize()
    return f"{begin} {_date(values, day_first=named.get('df', '').casefold() != 'us')}".strip()


def _dated_event(values: Values, named: Named) -> str:
    return _date(values, day_first=named.get("df", "").casefold() in ("y", "yes", "1", "true"))


def _date(values: Values, *, day_first: bool) -> str:
    """Return a date of (year, month, day), of which the last may be missing.

    >>> _date(["1969", "7", "20"], day_first=False), _date(["1969", "July"], day_first=True)
    ('July 20, 1969', 'July 1969')
    """
    year, month, day = (*values[:3], "", "", "")[:3]
    if month.isdecimal() and 1 <= int(month) <= len(_MONTHS):
        month = _MONTHS[int(month) - 1]
    day = day.lstrip("0")
    if day and not day_first:
        return f"{month} {day}, {year}"
    return " ".join(part for part in (day, month, year) if part)


def _bracketed(first: str, *others: str) -> str:
    """Return "first (other, other)" of those that are there; the first of them stands before.

    >>> _bracketed("Tokyo", "東京", ""), _bracketed("", "東京", "Tōkyō")
    ('Tokyo (東京)', '東京 (Tōkyō)')
    """
    lead, *rest = [text for text in (first, *others) if text] or [""]
    return f"{lead} ({', '.join(rest)})" if rest else lead


def _nihongo(values: Values, named: Named) -> str:
    english, kanji, romaji, extra, behind = (*values[:5], "", "", "", "", "")[:5]
    shown = _bracketed(english, kanji, romaji, extra or named.get("extra", ""))
    return f"{shown} {behind or named.get('extra2', '')}".strip()


def _nihongo3(values: Values, named: Named) -> str:
    english, kanji, romaji, extra = (*values[:4], "", "", "", "")[:4]
    return _bracketed(romaji, kanji, english, extra)


def _chinese(values: Values, named: Named) -> str:
    labels = {
        "c": "Chinese", "t": "traditional Chinese", "s": "simplified Chinese",
        "p": "pinyin", "w": "Wade–Giles", "j": "Jyutping", "l": "lit.",
    }  # fmt: skip
    return "; ".join(f"{label}: {named[key]}" for key, label in labels.items() if named.get(key))


def _height(values: Values, named: Named) -> str:
    units = ("m", "cm", "ft", "in")
    return " ".join(f"{named[unit]} {unit}" for unit in units if named.get(unit))


def _nth(number: int) -> Shown:
    """Return what shows one value, by number from 1 or, below 0, from the last."""
    at = number - 1 if number > 0 else number

    def shown(values: Values, named: Named) -> str:
        return values[at] if -len(values) <= at < len(values) else ""

    return shown


def _joined(separator: str) -> Shown:
    return lambda values, named: separator.join(value for value in values if value)


def _chemical(values: Values, named: Named) -> str:
    """Return a formula; a charge at its end is set above the line: "O2²⁻"."""
    charge = re.fullmatch(r"\d*[-−+]", values[-1]) if values else None
    return "".join([*values[:-1], values[-1].translate(_SUPERSCRIPT)] if charge else values)


def _old_style(values: Values, named: Named) -> str:
    new, year, old = (*values[:3], "", "", "")[:3]
    return " ".join(part for part in (new, f"[O.S. {old}]" * bool(old), year) if part)


def _gauge(values: Values, named: Named) -> str:
    return re.sub(r"(?<=\d)(?=[a-z])", " ", _first(values, named))


def _money(sign: str) -> Shown:
    return lambda values, named: sign + _first(values, named)


def _first(values: Values, named: Named) -> str:
    return values[0] if values else named.get("text", named.get("content", ""))


def _ship(prefix: str) -> Shown:
    return lambda values, named: f"{prefix} {values[0]}" if values else ""


_SHOWN: dict[str, Shown] = {
    **dict.fromkeys(("convert", "cvt"), _convert),
    "val": _val,
    **dict.fromkeys(("frac", "fraction", "sfrac"), _fraction),
    **dict.fromkeys(("circa", "c.", "ca.", "ca"), _dated("c.", each=True)),
    **dict.fromkeys(("floruit", "fl.", "fl"), _dated("fl.")),
    **dict.fromkeys(("reign", "r."), _dated("r.")),
    "as of": _as_of,
    **dict.fromkeys(("start date", "end date", "birth date", "death date", "date"), _dated_event),
    **dict.fromkeys(
        ("start date and age", "birth date and age", "death date and age"), _dated_event
    ),
    **dict.fromkeys(("nihongo", "nihongo krt", "nihongo foot", "nihongo core"), _nihongo),
    "nihongo3": _nihongo3,
    "zh": _chinese,
    "height": _height,
    "chem": _chemical,
    "oldstyledate": _old_style,
    **dict.fromkeys(("railgauge", "track gauge"), _gauge),
    **{name: _money(sign) for name, sign in _MONEY.items()},
    "linktext": _joined(""),
    **dict.fromkeys(("gaps", "ship", "bibleref", "bibleverse"), _joined(" ")),
    **dict.fromkeys(("hlist", "ubl", "unbulleted list", "bulleted list"), _joined(", ")),
    **{prefix.casefold(): _ship(prefix) for prefix in ("USS", "HMS", "SS", "RMS", "HMAS", "HMCS")},
    **{prefix.casefold(): _ship(prefix) for prefix in ("MS", "MV", "USNS", "USCGC", "SMS")},
    **dict.fromkeys(("lang", "langx", "rtl-lang", "script", "wikt-lang", "native name"), _nth(2)),
    **dict.fromkeys(("color", "font color", "fontcolor", "background color"), _nth(2)),
    **dict.fromkeys(("hover title", "h:title"), _nth(2)),
    **dict.fromkeys(("transl", "transliteration", "resize", "size", "align", "sort"), _nth(-1)),
    "sup": lambda values, named: superscript(_first(values, named)),
    "e": lambda values, named: f"×10^{_first(values, named)}",
    "x10^": lambda values, named: f"×10^{_first(values, named)}",
    "10^": lambda values, named: f"10^{_first(values, named)}",
    "angbr": lambda values, named: f"⟨{_first(values, named)}⟩",
    "music": lambda values, named: _NOTES.get(_first(values, named), _first(values, named)),
    **dict.fromkeys(
        ("ill", "interlanguage link"),
        lambda values, named: named.get("lt") or _first(values, named),
    ),
    **dict.fromkeys(("nowrap", "nobr", "no wrap", "small", "smaller", "big", "larger"), _first),
    **dict.fromkeys(("sc", "smallcaps", "sub", "em", "strong", "bold", "italic"), _first),
    **dict.fromkeys(("abbr", "tooltip", "abbrlink", "code", "mono", "kbd", "var"), _first),
    **dict.fromkeys(("mvar", "math", "chem2", "vanchor", "visible anchor", "midsize"), _first),
    **dict.fromkeys(("sic", "not a typo", "as written", "proper name", "nobold"), _first),
    **dict.fromkeys(("noitalic", "underline", "u", "center", "highlight", "nihongo2"), _first),
    **dict.fromkeys(("flag", "flagcountry", "flagu", "nts"), _first),
    **dict.fromkeys(("quote", "blockquote", "cquote", "poemquote", "gloss", "ruby"), _first),
    **dict.fromkeys(("citation needed span", "cn span", "clarify span"), _first),
    **dict.fromkeys(("plainlist", "flatlist", "columns-list"), _first),
}

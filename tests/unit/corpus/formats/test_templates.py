"""Templates inside sentences keep what English Wikipedia shows of them: no number is lost."""

import bz2
import re
from xml.etree import ElementTree

import mwparserfromhell
import pytest

from corpus.formats.wikipedia import parse_wikitext
from tests import corpus_files as make


def shown(wikitext: str) -> str:
    text = " ".join(section.text for section in parse_wikitext(f"So {wikitext}."))
    return text.removeprefix("So ")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("330|m|ft", "330 m"),
        ("1278|km|0|abbr=on", "1278 km"),
        ("60|to|75|kg|lb", "60 to 75 kg"),
        ("5|ft|11|in|cm", "5 ft 11 in"),
        ("3|x|4|m|ft", "3 x 4 m"),
        ("3|x|4|x|5|m|ft|1", "3 x 4 x 5 m"),
        ("193.3|by|69.5|mi|km", "193.3 by 69.5 mi"),
        ("20|-|25|cm|in", "20–25 cm"),
        ("60|and(-)|80|kg", "60 and 80 kg"),
        ("10|+/-|2|mm", "10 ± 2 mm"),
        ("-19|to|22|C|F", "-19 to 22 °C"),
        ("6|st|2|lb|kg|abbr=on", "6 st 2 lb"),
        ("3|mi|10|yd|2|ft|km", "3 mi 10 yd 2 ft"),
        ("5|mi|0|adj=on", "5 mi"),
        ("2|e6sqmi", "2 million sq mi"),
        ("5+1/2|in", "5 1/2 in"),
        ("5{{frac|1|2}}|in|cm", "5 1/2 in"),
        ("{{frac|1|2}}|to|1|in", "1/2 to 1 in"),
        ("1,234.5|USgal|L", "1,234.5 US gal"),
        ("14|m||1", "14 m"),
        ("1=5|2=ft|3=3|4=in", "5 ft 3 in"),
        ("abbr=on|60|–|75|kg", "60–75 kg"),
        ("10|,|20|, and|30|km", "10, 20, and 30 km"),
    ],
)
@pytest.mark.parametrize("name", ["convert", "cvt", "Convert"])
def test_measures(name: str, arguments: str, text: str) -> None:
    assert shown(f"{{{{{name}|{arguments}}}}}") == f"{text}."


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("{{formatnum:1234567}}", "1,234,567"),
        ("{{formatnum: 34.62}}", "34.62"),
        ("{{formatnum:1,234,567|R}}", "1234567"),
        ("{{val|123456|u=km}}", "123,456 km"),
        ("{{val|6.241|e=18}}", "6.241×10^18"),
        ("{{val|1.00794|(7)}}", "1.00794(7)"),
        ("{{val|1.5|0.2|e=3|ul=m|up=s}}", "(1.5±0.2)×10^3 m/s"),
        ("{{val|5|+2|-1|u=%}}", "5+2−1%"),
        ("{{frac|3}}", "1/3"),
        ("{{frac|1|2}}", "1/2"),
        ("{{frac|3|1|2}}", "3 1/2"),
        ("5{{frac|1|2}}", "5 1/2"),
        ("{{sfrac|1|4}}", "1/4"),
        ("{{circa|1500}}", "c. 1500"),
        ("{{c.|1500|1520}}", "c. 1500 – c. 1520"),
        ("{{circa}} 1500", "c. 1500"),
        ("{{floruit|1500|1520}}", "fl. 1500–1520"),
        ("{{reign|1558|1603}}", "r. 1558–1603"),
        ("{{as of|2014|lc=y}}", "as of 2014"),
        ("{{As of|2015|6|30}}", "As of 30 June 2015"),
        ("{{As of|2015|6|30|df=US}}", "As of June 30, 2015"),
        ("{{birth date|1879|3|14|df=y}}", "14 March 1879"),
        ("{{start date|1969|07|20}}", "July 20, 1969"),
        ("{{OldStyleDate|February 2|1905|January 20}}", "February 2 [O.S. January 20] 1905"),
        ("{{nihongo|Tokyo|東京|Tōkyō}}", "Tokyo (東京, Tōkyō)"),
        ("{{nihongo|'''Aikido'''|合気道|Aikidō|lead=yes}}", "Aikido (合気道, Aikidō)"),
        ("{{nihongo|Tokyo|東京}}", "Tokyo (東京)"),
        ('{{nihongo||東京|Tōkyō|"Eastern capital"}}', '東京 (Tōkyō, "Eastern capital")'),
        ("{{nihongo3|capital|東京|Tōkyō}}", "Tōkyō (東京, capital)"),
        ("{{lang|grc|ἀναρχία}}", "ἀναρχία"),
        ("{{lang-sq|Shqipëri}}", "Shqipëri"),
        ("{{transl|ar|al-Jazā'ir}}", "al-Jazā'ir"),
        ("{{transliteration|ja|hepburn|budō}}", "budō"),
        ("{{zh|s=北京|p=Běijīng}}", "simplified Chinese: 北京; pinyin: Běijīng"),
        ("{{height|ft=5|in=11}}", "5 ft 11 in"),
        ("{{chem|H|2|O}}", "H2O"),
        ("{{chem|O|2|2-}}", "O2²⁻"),
        ("{{USD|12 million}}", "US$12 million"),
        ("{{HMS|Ajax|22|6}}", "HMS Ajax"),
        ("{{RailGauge|1435mm}}", "1435 mm"),
        ("{{nowrap|1=''Q'' = ''It''}}", "Q = It"),
        ("{{ill|Max Maier|de}}", "Max Maier"),
        ("a{{snd}}b", "a – b"),
        ("Jones{{'s}} house", "Jones's house"),
        ("10<sup>6</sup> km<sup>2</sup>, the 1<sup>st</sup>", "10⁶ km², the 1st"),
        ("{{nowrap|{{convert|3|x|4|m|ft}}}}", "3 x 4 m"),
        ("x{{cite book|title=T|year=1900}}{{sfn|A|1900|p=9}}{{IPA|/a/}}{{unknown|5}}", "x"),
        ("x{{convert}}{{val}}{{frac}}{{nihongo}}{{lang|fr}}{{convert|a|m}}", "x"),
        ("x {{convert|99999999999999999999=1|5|m}}", "x 5 m"),
    ],
)
def test_what_stands_inside_sentences(wikitext: str, text: str) -> None:
    assert shown(wikitext) == f"{text}."


def test_no_measure_of_the_real_dump_loses_a_number() -> None:
    xml = bz2.decompress(make.ENGLISH_DUMP.read_bytes()).decode()
    count = 0
    for page in re.findall(r"<page>.*?</page>", xml, re.DOTALL):
        wikitext = ElementTree.fromstring(page).findtext("revision/text") or ""
        for template in mwparserfromhell.parse(wikitext).filter_templates():
            if str(template.name).strip().casefold() not in ("convert", "cvt"):
                continue
            count += 1
            values = [str(p.value).strip() for p in template.params if not p.showkey]
            # Numbers stand first, third and so on, with a word or unit behind each.
            pairs = zip(values[::2], values[1::2], strict=False)
            numbers = [n for n, behind in pairs if re.fullmatch(r"[-\d.,]+", n) and behind]
            text = re.sub(r"\D", "", shown(str(template)))
            assert re.sub(r"\D", "", "".join(numbers)) in text, template
    assert count > 400

"""Wikipedia dumps: a real one, and wikitext whose plain text is known."""

import bz2
from pathlib import Path

import pytest

from corpus.files.pages import Page
from corpus.formats.wikipedia import PAGES_PER_TASK, Site, WikipediaDump, parse_page, parse_wikitext
from corpus.passages.corpora import open_corpus
from corpus.passages.policy import PassagePolicy
from tests import corpus_files as make


def plain(wikitext: str) -> dict[str, str]:
    return {section.title: section.text for section in parse_wikitext(wikitext)}


@pytest.fixture(scope="module")
def pages() -> dict[str, Page]:
    entries = WikipediaDump(make.ENGLISH_DUMP).entries()
    return {entry.page.title: entry.page for entry in entries if isinstance(entry.page, Page)}


def test_the_real_dump_gives_its_articles(pages: dict[str, Page]) -> None:
    # The file has 206 pages: 100 redirects and 8 disambiguation pages are no articles.
    assert len(pages) == 98
    assert "AccessibleComputing" not in pages  # a redirect
    anarchism = pages["Anarchism"]
    assert (anarchism.id, anarchism.language) == ("12", "en")
    assert anarchism.url == "https://en.wikipedia.org/wiki/Anarchism"
    assert anarchism.sections[0].text.startswith(
        "Anarchism is a political philosophy that advocates self-governed societies"
    )
    assert anarchism.sections[1].title == "Etymology and terminology"


def test_no_markup_is_left_in_the_real_articles(pages: dict[str, Page]) -> None:
    texts = [section.text for page in pages.values() for section in page.sections]
    assert sum(map(len, texts)) > 2_000_000
    for mark in ("[[", "{{", "{|", "|-", "<ref", "</", "'''", "==", "&nbsp;", "[http", "Category:"):
        holding = [text for text in texts if mark in text]
        assert len(holding) <= 3, (mark, holding[0][:200])
    titles = {section.title for page in pages.values() for section in page.sections}
    assert not titles & {"References", "External links", "See also"}


def test_facts_that_a_reader_would_look_for(pages: dict[str, Page]) -> None:
    text = " ".join(section.text for section in pages["Autism"].sections)
    assert "impaired social interaction" in text


def test_two_processes_give_what_one_gives() -> None:
    alone = open_corpus(make.ENGLISH_DUMP).read()
    with open_corpus(make.ENGLISH_DUMP, workers=2).read() as together:
        assert all(a == b for a, b in zip(alone, together, strict=True))
    assert together.bytes_done == together.bytes_total


def test_a_multistream_dump_is_read_through(tmp_path: Path) -> None:
    many = [(f"Page {n}", f"Text of page {n}.") for n in range(PAGES_PER_TASK * 3)]
    xml = make.dump(many)
    cut = xml.index(b"  <page>", len(xml) // 2)
    path = tmp_path / "w-multistream.xml.bz2"
    path.write_bytes(bz2.compress(xml[:cut]) + bz2.compress(xml[cut:] + b"</mediawiki>\n"))
    stream = open_corpus(path, policy=PassagePolicy(by="section")).read()
    assert [passage.title for passage in stream] == [title for title, _ in many]


def test_a_dump_in_parts_is_one_corpus(tmp_path: Path) -> None:
    folder = tmp_path / "enwiki"
    folder.mkdir()
    for part, title in (("1.xml-p1p41242", "A"), ("2.xml-p41243p151573", "B")):
        xml = make.dump([(title, "text")]).replace(b"<id>1<", f"<id>{title}<".encode())
        (folder / f"enwiki-pages-articles{part}.bz2").write_bytes(bz2.compress(xml))
    (folder / "enwiki-pages-articles-multistream-index.txt.bz2").write_bytes(bz2.compress(b"1:2"))
    corpus = open_corpus(folder, policy=PassagePolicy(by="section"))

    assert corpus.name == "enwiki"
    assert [passage.title for passage in corpus.read()] == ["A", "B"]


def test_pages_that_are_no_articles_are_left_out() -> None:
    site = Site("https://en.wikipedia.org", "en")

    def page(title: str, text: str, ns: str = "0") -> Page | None:
        xml = make.dump_page(1, title, text).replace(b"<ns>0</ns>", f"<ns>{ns}</ns>".encode())
        return parse_page(xml, site)

    assert page("A", "text") is not None
    assert page("Talk:A", "text", ns="1") is None
    assert page("A", "#REDIRECT [[B]]") is None
    assert page("A", " #redirect: [[B]]") is None
    assert page("Mercury", "Mercury may be:\n* [[A]]\n{{disambiguation}}") is None
    assert page("Mercury", "may be:\n{{Disambig|geo}}") is None
    assert page("Smith", "people:\n{{hndis|Smith}}") is None
    assert page("Mercury (disambiguation)", "may be") is None
    assert page("A", "see {{disambiguation needed|x}}") is not None
    assert (
        page("Gérard d'Aubigné?", "x").url == f"{site.address}/wiki/G%C3%A9rard_d%27Aubign%C3%A9%3F"
    )  # type: ignore[union-attr]


def test_plain_text() -> None:
    assert plain("'''Bold''' and ''italic'' [[Paris|the capital]] of [[France]].") == {
        "": "Bold and italic the capital of France."
    }
    assert plain("A{{infobox\n| x = 1}} b<ref name=x>note</ref> c<!-- no --> d &amp; e&nbsp;f") == {
        "": "A b c d & e f"
    }
    assert plain("x\n{| class=wikitable\n|-\n| cell\n|}\ny") == {"": "x\n\ny"}
    assert plain("[[File:A.jpg|thumb|a [[caption]]]]Text.[[Category:C]][[de:Haus]]") == {
        "": "Text."
    }
    assert plain("[http://x.org a site] and [http://x.org]") == {"": "a site and"}
    assert plain("A ({{IPA|x}}; {{lang|fr|mot}}) b ({{IPA|x}}) c") == {"": "A (; mot) b c"}


def test_numbers_in_templates_within_sentences_stay() -> None:
    assert plain("It is {{convert|330|m|ft|abbr=on}} high.") == {"": "It is 330 m high."}
    assert plain("{{convert|330}} x") == {"": "x"}


def test_sections() -> None:
    wikitext = "Lead.\n== One ==\ntext\n=== Two ===\nmore\n== Empty ==\n== References ==\nx"
    assert plain(wikitext) == {"": "Lead.", "One": "text", "Two": "more"}


def test_lists_lose_their_marks() -> None:
    assert plain("Items:\n* one\n** two\n# three\n: four") == {"": "Items:\none\ntwo\nthree\nfour"}


def test_a_dump_with_a_page_on_a_line_is_one_too(tmp_path: Path) -> None:
    with bz2.open(make.ENGLISH_DUMP, "rt", encoding="utf-8") as file:
        text = file.read()
    anew = text.replace("<page>\n    ", "<page>").replace("\n  </page>\n  <page>", "</page><page>")
    path = tmp_path / "enwiki-pages-articles.xml"
    path.write_text(anew, encoding="utf-8")
    assert anew != text
    titles = [[e.page.title for e in WikipediaDump(p).entries() if isinstance(e.page, Page)]
              for p in (path, make.ENGLISH_DUMP)]  # fmt: skip
    assert titles[0] == titles[1]

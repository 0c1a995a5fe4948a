"""What the page writes: answers, cards, marked words; nothing from outside becomes markup."""

import re
from dataclasses import replace

import pytest

from app.flow.events import Retrieval
from app.web.shown import cards, markup
from app.web.shown.marked import highlight
from corpus.types import Citation, Hit, Passage
from generator.answers.answer import SEEN_ALONE, UNDECIDED, Answer, Confidence, PromptRecord
from generator.rewriting import Turn
from retriever.pictures.neighbours import SimilarPicture

EVIL = Passage(
    id="x",
    title="<script>alert(1)</script>",
    text='An <img src=x onerror="alert(1)"> & "Paris" ${alert(1)} {{value}}',
    url="javascript:alert(1)",
    source="<b>source</b>",
    section="'quoted'",
)


def retrieval(*passages: Passage, seen: str = "", unsure: bool = False) -> Retrieval:
    hits = tuple(Hit(passage, 20.0 - n) for n, passage in enumerate(passages))
    return Retrieval(hits, unsure, 21.5, seen, {})


GIVEN = Confidence(0.9, "given")


def paris(
    *citations: Citation, strategy="ra-vqa", saw_picture: bool = True, confidence=GIVEN
) -> Answer:
    return Answer("Paris", citations, strategy, confidence, saw_picture=saw_picture)


def answered(answer: Answer, found: Retrieval = Retrieval(), notes=()) -> str:  # noqa: B008
    return markup.answered(answer, found, notes)


# What is shown


def test_text_from_outside_never_becomes_markup() -> None:
    found = retrieval(EVIL, seen=" It shows <u>paris</u>.")
    answer = replace(paris(Citation("x", 1, "match")), text="<i>Paris</i>")
    html = cards.passages(found, answer) + answered(answer)
    for tag in ("<script", "<img", "<b>", "<u>", "<i>", "javascript:"):
        assert tag not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<mark>Paris</mark>" in html


def test_text_from_outside_never_becomes_a_template_of_gradio() -> None:
    html = cards.passages(retrieval(EVIL))
    assert "${" not in html
    assert "{{" not in html


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        " JavaScript:alert(1)",
        "data:text/html,x",
        "//host/x",
        "http:",
        "",
        "http://[::1",
    ],
)
def test_only_http_links_can_be_followed(url: str) -> None:
    assert cards.web_link(url) is None
    assert "<a " not in cards.passages(retrieval(replace(EVIL, url=url)))


def test_a_link_opens_in_a_new_tab_that_knows_nothing_of_this_one() -> None:
    html = cards.passages(retrieval(replace(EVIL, url='https://host/a?b="c"&d')))
    assert 'href="https://host/a?b=&quot;c&quot;&amp;d" target="_blank" rel="noopener' in html


@pytest.mark.parametrize(
    ("text", "phrase", "expected"),
    [
        ("Capital: Paris.", "paris", "Capital: <mark>Paris</mark>."),
        ("São Tomé, Sao Tome", "sao tome", "<mark>São Tomé</mark>, <mark>Sao Tome</mark>"),
        ("Sa\u0303o", "são", "<mark>São</mark>"),
        ("a < b", "b", "a &lt; <mark>b</mark>"),
        # Not in sequence: the telling words, not the small ones.
        ("bamboo of 1707", "bamboo in 1707", "<mark>bamboo</mark> of <mark>1707</mark>"),
        ("Parisian", "Paris", "Parisian"),
        ("nothing", "", "nothing"),
        # A digit is not its number.
        ("26.1 % of 1,389 km", "1,389 km", "26.1 % of <mark>1,389 km</mark>"),
        ("26.1 % of 1389", "1,389 km", "26.1 % of <mark>1389</mark>"),
        ("1 of 12", "in 1", "<mark>1</mark> of 12"),
    ],
)  # fmt: skip
def test_the_answers_words_are_marked(text: str, phrase: str, expected: str) -> None:
    assert highlight(text, phrase) == expected


def test_a_citation_leads_to_its_card() -> None:
    first, second = replace(EVIL, title="One"), replace(EVIL, title="Two")
    answer = paris(Citation("x", 2, "generator"))
    found = retrieval(first, second)
    assert 'href="#passage-2"' in answered(answer)
    html = cards.passages(found, answer)
    assert 'class="kb-card kb-cited" id="passage-2"' in html
    assert 'class="kb-card" id="passage-1"' in html


def test_an_unsure_answer_says_why() -> None:
    doubt = Confidence(0.31, "unsure", ("the passages <b>do not</b> agree on it", "more"))
    html = answered(paris(confidence=doubt))
    assert (
        "<strong>Not sure</strong> The passages &lt;b&gt;do not&lt;/b&gt; agree on it; more."
        in html
    )
    assert "confidence 31 %" in html
    assert "Not sure" not in answered(paris())


def test_an_earlier_answer_keeps_its_doubt() -> None:
    turns = [Turn("Who?", "Ann"), Turn("When?", "1907", unsure=True), Turn("Where?", unsure=True)]
    said = re.findall(r"<li>(.*?)</li>", markup.earlier(turns))
    assert said == [
        "Who? <b>Ann</b>",
        "When? <b>1907</b> (not sure)",
        "Where? <b>(no answer)</b>",
    ]


def test_a_withheld_answer_is_not_shown() -> None:
    doubt = Confidence(0.05, "withheld", ("the passages do not agree on it",))
    html = answered(paris(Citation("x", 1, "selection")).judged(doubt))
    assert "I do not know" in html
    assert "Withheld" in html
    assert "Paris" not in html


def test_the_page_says_what_was_read_and_whether_the_picture_was_seen() -> None:
    blind = answered(paris(saw_picture=False))
    assert "passages read one by one" in blind
    assert "the generator saw no picture, only the passages found with it" in blind
    assert "saw no picture" not in answered(paris())
    alone = answered(paris(strategy="no-retrieval", saw_picture=False))
    assert "No passage was read for this answer" in alone
    assert "only the question" in alone
    foreign = answered(paris(confidence=Confidence(0.96, "given", foreign=True)))
    assert "confidence 96 %, fitted on another corpus" in foreign
    assert "confidence" not in answered(paris(confidence=Confidence(None, "unsure", (UNDECIDED,))))
    unknown = answered(paris(confidence=Confidence(None, "given")))
    assert "confidence not calibrated for these models" in unknown


def test_the_page_says_what_did_not_fit() -> None:
    whole = paris()
    prompts = (PromptRecord("p", "0", ("x",), 700), PromptRecord("p", "0", ("y",), 500))
    said = answered(replace(whole, prompts=prompts))
    assert "about 1,200 tokens of passages and question did not fit" in said
    assert "did not fit" not in answered(whole)


@pytest.mark.parametrize("completion", [" Paris", " Paris [", " Paris [1", " Paris [1]"])
def test_a_growing_answer_shows_no_half_citation(completion: str) -> None:
    assert ">Paris</p>" in markup.streaming(retrieval(EVIL), completion)


@pytest.mark.parametrize(
    "text",
    [
        "title: Nile section title: Course content: It flows <north>.",
        "title: Nile hierarchical section title: Course content: It flows <north>.",
        "Nile - Course. It flows <north>.",
        "It flows <north>.",
    ],
)
def test_what_the_head_of_a_card_says_is_not_said_twice(text: str) -> None:
    found = retrieval(Passage("n", "Nile", text, section="Course"))
    html = cards.passages(found)
    assert "<p>It flows &lt;north&gt;.</p>" in html and "content:" not in html
    assert html.count("Nile") == html.count("Course") == 1
    # Without title and section beside the text, the template's are the head.
    if text.startswith("title:"):
        assert cards.passages(retrieval(Passage("n", "", text))) == html


def test_words_behind_a_template_are_marked_where_they_stand() -> None:
    text = "title: Nile content: It flows north."
    at = text.index("north")
    answer = replace(paris(Citation("n", 1, "span", ((at, at + 5),))), text="north")
    html = cards.passages(retrieval(Passage("n", "Nile", text)), answer)
    assert "<p>It flows <mark>north</mark>.</p>" in html


def test_a_source_without_a_link_does_not_look_like_one() -> None:
    html = cards.passages(retrieval(Passage("n", "Nile", "It flows.")))
    assert "Source" not in html
    assert "Source<" in cards.passages(retrieval(Passage("n", "Nile", "It flows.", "https://x/")))


def test_the_cards_say_what_was_read_and_what_is_cited() -> None:
    found = retrieval(*(replace(EVIL, title=f"T{n}") for n in range(4)))
    answer = replace(paris(Citation("x", 2, "selection")), read=(1, 2, 3))
    html = cards.passages(found, answer)
    assert "Passages: 4 shown, 3 read, 1 cited" in html
    badges = [re.findall(r"kb-badge.>(\w+)<", card) for card in html.split("<article")[1:]]
    assert badges == [["read"], ["cited"], ["read"], []]
    assert "read" not in cards.passages(found)
    # What is withheld was read all the same.
    withheld = answer.judged(Confidence(0.1, "withheld"))
    assert "3 read, 0 cited" in cards.passages(found, withheld)


def test_the_answer_says_what_was_recognised_and_looked_at_and_what_to_know() -> None:
    found = replace(retrieval(EVIL, seen="It shows tiger, tiger cat."), boxes=((1, 2, 30, 40),))
    html = answered(paris(), found, ("A <note>.",))
    assert "<span>Recognised</span>tiger, tiger cat" in html
    assert "<span>Looked at</span>the part from 1,2 to 30,40" in html
    assert "chosen by the program" not in html
    assert "(chosen by the program)" in answered(paris(), replace(found, chosen=True))
    assert "A &lt;note&gt;." in html
    assert html.index("Recognised") < html.index("Paris") < html.index("A &lt;note")
    perhaps = answered(paris(), retrieval(EVIL, seen="It may show mask."))
    assert "<span>In the picture, perhaps</span>mask" in perhaps
    withheld = answered(
        paris().judged(Confidence(0.1, "withheld")), retrieval(EVIL, seen="It may show mask.")
    )
    assert "<span>In the picture, perhaps</span>mask" in withheld
    assert "Recognised" not in answered(paris())


def test_the_answer_says_which_pictures_are_like_the_asked_one() -> None:
    alike = (
        SimilarPicture("<mx>.png", "flag:MX", 0.891),
        SimilarPicture("it.png", "flag:IT", 0.5, "Italy"),
    )
    html = answered(paris(), replace(retrieval(EVIL), similar=alike))
    assert "<span>Similar pictures</span>&lt;mx&gt;.png (0.89), Italy (0.50)" in html
    assert "Similar pictures" not in answered(paris(), retrieval(EVIL))


def test_pictures_that_are_hardly_alike_are_not_shown_and_others_by_a_title() -> None:
    bagel = replace(EVIL, title="Bagel", entity="b")
    pictures = (SimilarPicture("1.jpg", "b", 0.36), SimilarPicture("2.jpg", "k", 0.34, "Kaaba"))
    found = replace(retrieval(bagel), similar=pictures)
    assert "<span>Similar pictures</span>Bagel (0.36)</p>" in answered(paris(), found)
    noise = answered(paris(), replace(found, similar=pictures[1:]))
    assert "Similar pictures" not in noise


@pytest.mark.parametrize(
    ("best", "entity", "similarity", "said"),
    [
        ("Potpie", "b", 0.8, False),
        ("Potpie", "b", 0.79, True),
        ("Potpie", "p", 0.99, True),
        # Where the best passage is about the same less is enough.
        ("Bagel", "b", 0.5, False),
        ("Bagel", "b", 0.49, True),
    ],
)
def test_the_classifier_does_not_gainsay_a_picture_that_is_alike_enough(
    best: str, entity: str, similarity: float, said: bool
) -> None:
    titles = sorted(("Bagel", "Potpie"), key=lambda title: title != best)
    both = [replace(EVIL, title=title, entity=title[0].lower()) for title in titles]
    found = retrieval(*both, seen="It shows potpie.")
    found = replace(found, similar=(SimilarPicture("1.jpg", entity, similarity),))
    assert ("<span>Recognised</span>potpie" in answered(paris(), found)) == said


def test_citations_stand_apart_and_in_order() -> None:
    citations = (Citation("c", 3, "span"), Citation("a", 1, "match"))
    html = answered(paris(*citations))
    assert re.search(r">\[1\]</a> <a [^>]*>\[3\]</a>", html)


# One question, step by step


def test_exactly_the_words_that_were_taken_are_marked() -> None:
    """Not those that look alike: here "Paris" in the same passage and in another one."""
    text = "France - Capital. Paris is large. Capital: Paris. Rivers: Seine."
    at = text.rindex("Paris")
    first = Passage("a", "France", text, section="Capital")
    other = Passage("b", "Texas", "Texas. Paris is in Lamar County.")
    answer = paris(Citation("a", 1, "span", ((at, at + 5),)), strategy="extract")
    html = cards.passages(retrieval(first, other), answer)
    assert html.count("<mark>") == 1
    assert "Paris is large. Capital: <mark>Paris</mark>. Rivers" in html
    assert "the marked words" in answered(answer)


def test_a_picture_is_not_missed_where_nothing_is_written() -> None:
    shown = answered(paris(strategy="extract", saw_picture=False))
    assert "words taken out of a passage" in shown and "saw no picture" not in shown


def test_a_name_that_was_seen_alone_is_not_said_to_be_out_of_a_passage() -> None:
    doubt = Confidence(None, "unsure", (SEEN_ALONE,))
    html = answered(paris(strategy="extract", confidence=doubt))
    assert "what the classifier sees in the picture; no passage about it was found" in html
    for other in ("words taken out", "not calibrated", "is cited for"):
        assert other not in html


def test_no_words_were_taken_where_the_answer_is_withheld() -> None:
    html = answered(paris(strategy="extract").judged(Confidence(0.01, "withheld", ("why",))))
    assert "words taken out" not in html and "confidence" not in html


def test_similar_pictures_are_below_the_answer() -> None:
    alike = (SimilarPicture("it.png", "flag:IT", 0.5, "Italy"),)
    html = answered(paris(), replace(retrieval(EVIL), similar=alike))
    assert html.index("Paris") < html.index("Similar pictures")


def test_passages_that_prove_nothing_can_be_folded_where_the_page_is_narrow() -> None:
    found, cited = retrieval(EVIL), paris(Citation("x", 1, "match"))
    assert "kb-folds" in cards.passages(found, paris())
    assert "kb-folds" not in cards.passages(found, cited) + cards.passages(found)


def test_a_sentence_is_shown_as_text_and_not_as_a_headline() -> None:
    assert '<p class="kb-text">' in answered(paris())
    said = (
        "I cannot say; the passage has “All glasshouses but one can be reached with a wheelchair”."
    )
    assert '<p class="kb-text kb-long">' in answered(replace(paris(), text=said))

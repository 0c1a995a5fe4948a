"""Markdown as text: nothing that is meant for a renderer is in a passage."""

import gzip
import time
import zipfile
from pathlib import Path

import pytest

from corpus.formats.markdown import Part, front_matter, parts
from corpus.passages.corpora import open_corpus
from corpus.passages.policy import PassagePolicy

PAGE = """\
---
title: "Mount Fuji"
tags: [mountain, japan]
layout: page
---
# Fuji-san

![A snow-capped peak](img/fuji.jpg "Fuji") Fuji is a [volcano](../volcano.md) in
[Japan][jp]; see <img src="x.png" alt="its crater"><!-- its dates -->.

| Name | Height | |
|:-----|-------:|---|
| **Fuji** | 3,776 m | [map](m.png) |
| Kita | a \\| b |

## Code

```md
# not a heading ![x](y)
| a | b |
|---|---|
```

`![kept](as-it-is)` and a[1][2].

[jp]: https://example.org/japan "Japan"
"""


def test_a_page_reads_as_text(tmp_path: Path) -> None:
    (tmp_path / "fuji.md").write_text(PAGE, encoding="utf-8")
    first, code = open_corpus(tmp_path).read()
    assert first.title == code.title == "Mount Fuji"
    assert first.text == (
        "title: Mount Fuji section title: Fuji-san content: tags: mountain, japan\n\nA snow-capped "
        "peak Fuji is a volcano in\nJapan; see its crater.\n\nName: Fuji; Height: 3,776 m; map\n"
        "Name: Kita; Height: a | b"
    )
    assert code.text == (
        "title: Mount Fuji section title: Fuji-san - Code content: # not a heading ![x](y)\n"
        "| a | b |\n|---|---|\n\n![kept](as-it-is) and a[1][2]."
    )


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        (
            "# East\n## Kenya\n### Climate\nWarm.\n### Food\nMaize.\n## Uganda\n### Climate\nWet.",
            ["Kenya - Climate", "Kenya - Food", "Uganda - Climate"],
        ),
        ("# East\nLands.\n## Kenya\nWarm.\n## Food\nMaize.", ["", "Kenya", "Food"]),
        (
            "## Food\n#### Breakfast\nEggs.\n### Lunch\nRice.\n## Drink\nTea.",
            ["Food - Breakfast", "Food - Lunch", "Drink"],
        ),
        ("# Kenya\n## Food\nMaize.\n# Uganda\n## Food\nRice.", ["Food", "Uganda - Food"]),
        ("<h2>Kenya</h2>\n\n### Food\nMaize.\n\n##\nAll.", ["Kenya - Food", ""]),
    ],
)
def test_a_section_has_the_names_of_the_headings_above_it(
    text: str, sections: list[str], tmp_path: Path
) -> None:
    (tmp_path / "a.md").write_text(text, encoding="utf-8")
    passages = list(open_corpus(tmp_path, policy=PassagePolicy(by="tokens")).read())
    assert [passage.section for passage in passages] == sections
    # A heading without text counts as no section.
    assert [passage.id for passage in passages] == [f"a.md#{n}.0" for n in range(len(sections))]


@pytest.mark.parametrize(
    ("text", "title", "rest"),
    [
        ("---\ntitle: 'A: b'\n---\nx", "A: b", "x"),
        ("---\r\ntitle: A\r\n...\r\nx", "A", "x"),
        ("---\ntitle: Yes\ndraft: no\n---\nx", "Yes", "x"),
        ("---\ntitle: null\n---\nx", "", "x"),
        ('+++\ntitle = "A"\n+++\nx', "A", "x"),
        ("---\ndate: 2024\n---\nx", "", "x"),
        ("---\n\nA text between rules.\n\n---\nx", "", "---\n\nA text between rules.\n\n---\nx"),
        ("x\n---\ntitle: A\n---\n", "", "x\n---\ntitle: A\n---\n"),
        ("---\ntitle: never closed\n", "", "---\ntitle: never closed\n"),
    ],
)
def test_front_matter(text: str, title: str, rest: str) -> None:
    front, behind = front_matter(text)
    assert (front.title, behind) == (title, rest)


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("url: https://example.org/a", "https://example.org/a"),
        ("url: 'http://example.org/a:b'", "http://example.org/a:b"),
        ("url: /about/", ""),  # Hugo's: a path
        ("date: 2024", ""),
    ],
)
def test_the_url_of_front_matter(line: str, url: str) -> None:
    assert front_matter(f"---\ntitle: A\n{line}\n---\nx")[0].url == url


FIELDS = """\
Title: Fuji
date: 2024-05-01
author: [Jane Doe, "Max: M"]
description: >
  A mountain
  in Japan.
Height: 3776 m
lang: en-GB
draft: false
layout: page
hero: /img/fuji.jpg
nested: {a: b}
empty:
"""


def test_what_front_matter_says_of_a_page_is_read(tmp_path: Path) -> None:
    said = (
        "date: 2024-05-01\nauthor: Jane Doe, Max: M\ndescription: A mountain in Japan.\n"
        "Height: 3776 m"
    )
    (tmp_path / "a.md").write_text(f"---\n{FIELDS}---\n## High\nA peak.", encoding="utf-8")
    (tmp_path / "b.md").write_text(f"---\n{FIELDS}---\n", encoding="utf-8")
    behind, alone = open_corpus(tmp_path).read()
    assert behind.text == f"title: Fuji section title: High content: {said}\n\nA peak."
    assert alone.text.endswith(said)
    assert behind.language == "en-GB"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '+++\ntitle = "A"\ndate = 2024-05-01\ntags = ["b", "c"]\n+++\n',
            "date: 2024-05-01\ntags: b, c",
        ),
        ("---\ntitle: A: b\ndate: 2024\n---\n", "date: 2024"),  # no YAML
        ("---\nsource: https://example.org\nimg: a-b.png\nkeywords:\n- x\n---\n", "keywords: x"),
    ],
)
def test_fields_of_front_matter(text: str, said: str) -> None:
    assert front_matter(text)[0].said == said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![](a.png)", ""),
        ("[![build](b.svg)](https://ci)", "build"),
        ("[a](<x y> 'T') [b](u_(c)) [c]", "a b [c]"),
        ("[open](x", "[open](x"),
        ("``a `[x](y)` b`` [t](u)", "a `[x](y)` b t"),
        ("1 [2] (3)", "1 [2] (3)"),
        ("[[Japan|Nippon]] and [[Kofu]]", "Nippon and Kofu"),
        ("**b** *i* _j_ ~~s~~ 5 * 3 * 2 snake_case_name", "b i j s 5 * 3 * 2 snake_case_name"),
        ("AT&amp;T 3&nbsp;m \\*", "AT&T 3\xa0m *"),
        ("a<br>b<br/>c H<sub>2</sub>O <!-- x --> <a href='y'>z</a>", "a\nb\nc H2O  z"),
        (
            "`vector<int>` and vector<int>, <https://a.org>",
            "vector<int> and vector<int>, https://a.org",
        ),
        ("a[^1]\n\n[^1]: Born in Rome.", "a[^1]\n\n[^1]: Born in Rome."),
        ("1986\\. A great year\n- a\n- b\n  1. c", "1986. A great year\n- a\n- b\n  1. c"),
    ],
)
def test_words_without_marks(text: str, shown: str) -> None:
    [part] = list(parts(text)) or [Part(0, "", "")]
    assert part.text == shown


def test_headings_of_all_kinds() -> None:
    text = "<h1 align='center'>A <b>b</b></h1>\n\nc\n\nD *d*\n===\ne\n\nF\n--\ng\n\n### H ###\ni"
    assert list(parts(text)) == [
        Part(1, "A b", "c"),
        Part(1, "D d", "e"),
        Part(2, "F", "g"),
        Part(3, "H", "i"),
    ]


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<p>A <b>b</b>\nc &amp; d</p><p>e</p>", "A b c & d\ne"),
        ("<ul><li>a</li>\n<li>b</ul>", "- a\n- b"),
        ("<table><tr><th>N</th><th>H</th></tr><tr><td>a</td><td>1</td></tr></table>", "N: a; H: 1"),
        ("<table><tr><th>Born<td>1950<tr><th>Died<td>2000</table>", "Born: 1950\nDied: 2000"),
        ("<table><tr><td>a</td><td></td><td>b</td></tr></table>", "a; b"),
        ("<script>x()</script>\n<style>y</style>", ""),
        ("<!-- x\n\ny -->", ""),
        ("<!-- never closed", "<!-- never closed"),
        ("<details><summary>a</summary>\n\nb\n\n</details>", "a\n\nb"),
        ("<PLACE>", "<PLACE>"),
    ],
)
def test_html_as_text(html: str, shown: str) -> None:
    assert "".join(part.text for part in parts(html)) == shown


def test_what_looks_like_a_table_and_is_none() -> None:
    for text in ("a | b\nc | d", "| a |\n|---|---|"):
        assert list(parts(text)) == [Part(0, "", text)]
    assert list(parts("| a | b |\n|---|---|")) == [Part(0, "", "a; b")]


def test_code_is_text_as_it_is() -> None:
    text = "````\n```\n# no\n````\n# Yes\nx"
    assert list(parts(text)) == [Part(0, "", "```\n# no"), Part(1, "Yes", "x")]
    assert list(parts("```\n# never closed")) == [Part(0, "", "# never closed")]


def test_hostile_text_takes_no_time() -> None:
    started = time.process_time()
    for text in (
        "[" * 10_000,
        "![" * 10_000,
        "`" * 10_000,
        "[a](" * 10_000,
        "<!--" * 10_000,
        "<b>" * 10_000,
    ):
        list(parts(text))
    assert time.process_time() - started < 5


@pytest.mark.parametrize("name", ["tea.md.gz", "notes.zip", "TEA.MD.ZIP"])
def test_a_page_that_is_packed_is_a_page(tmp_path: Path, name: str) -> None:
    path, text = tmp_path / name, b"---\ndate: 2024\n---\nA drink that is made of leaves and water."
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("notes/tea.md", text)
            archive.writestr("__MACOSX/._tea.md", b"x")
    [passage] = open_corpus(path).read()
    assert (passage.title, passage.id) == ("tea", f"{name}#0.0")
    assert passage.text.endswith("date: 2024\n\nA drink that is made of leaves and water.")

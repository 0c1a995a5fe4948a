"""Markdown as text: nothing that is meant for a renderer is in a passage."""

import time
from pathlib import Path

import pytest

from corpus.formats.markdown import Part, front_matter, inline, parts
from corpus.passages.corpora import open_corpus

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
        "title: Mount Fuji section title: Fuji-san content: A snow-capped peak Fuji is a volcano "
        "in\nJapan; see its crater.\n\nName: **Fuji**; Height: 3,776 m; map\nName: Kita; Height: "
        "a | b"
    )
    assert code.text == (
        "title: Mount Fuji section title: Code content: ```md\n# not a heading ![x](y)\n"
        "| a | b |\n|---|---|\n```\n\n`![kept](as-it-is)` and a[1][2]."
    )


@pytest.mark.parametrize(
    ("text", "title", "rest"),
    [
        ("---\ntitle: 'A: b'\n---\nx", "A: b", "x"),
        ("---\r\ntitle: A\r\n...\r\nx", "A", "x"),
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
    assert front_matter(f"---\ntitle: A\n{line}\n---\nx")[0] == ("A", url)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![](a.png)", ""),
        ("[![build](b.svg)](https://ci)", "build"),
        ("[a](<x y> 'T') [b](u_(c)) [c]", "a b [c]"),
        ("[open](x", "[open](x"),
        ("``a `[x](y)` b`` [t](u)", "``a `[x](y)` b`` t"),
        ("1 [2] (3)", "1 [2] (3)"),
    ],
)
def test_links_and_pictures(text: str, shown: str) -> None:
    assert inline(text) == shown


def test_what_looks_like_a_table_and_is_none() -> None:
    for text in ("a | b\nc | d", "a | b\n---\nc | d", "| a |\n|---|---|"):
        assert list(parts(text)) == [Part(0, "", text)]


def test_a_fence_is_closed_by_one_of_its_kind_and_length() -> None:
    text = "````\n```\n# no\n````\n# Yes\nx"
    assert list(parts(text)) == [Part(0, "", "````\n```\n# no\n````"), Part(1, "Yes", "x")]
    assert list(parts("```\n# never closed")) == [Part(0, "", "```\n# never closed")]


def test_hostile_text_takes_no_time() -> None:
    started = time.process_time()
    for text in ("[" * 20_000, "![" * 20_000, "`" * 20_000, "[a](" * 10_000, "<!--" * 10_000):
        list(parts(text))
        inline(text)
    assert time.process_time() - started < 5

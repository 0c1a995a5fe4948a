"""Tiny corpus files in the true formats, made on the spot."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

DATA = Path(__file__).parent / "data" / "wikipedia"
ENGLISH_DUMP = DATA / "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
UTF16_DUMP = DATA / "bgwiki-latest-pages-articles-shortened.xml.bz2"

WIKI_PAGES = [
    {
        "id": str(10 + n),
        "url": f"https://en.wikipedia.org/wiki/Page_{n}",
        "title": f"Page {n}",
        "text": f"Page {n} is about the number {n}. It comes after {n - 1}.\n\nHistory\n\nNone.",
    }
    for n in range(7)
]


def jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def parquet(path: Path, rows: Sequence[dict[str, Any]], *, row_group: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=row_group)
    return path


def google_search(path: Path, kids: Sequence[int]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["kid", "text"])
        writer.writerows([kid, f'snippet {kid}, with "quotes",\nand a second line'] for kid in kids)
    return path


def evqa_kb(path: Path, pages: int = 4) -> Path:
    value = {
        f"https://en.wikipedia.org/wiki/Page_{n}": {
            "title": f"Page {n}",
            "section_titles": [f"Page {n}", "Empty", "Habitat"],
            "section_texts": [f"Page {n} is a bird.", "", f"It lives in zone {n}."],
            "image_urls": ["https://upload.wikimedia.org/x.jpg"],
            "image_reference_descriptions": ["x"],
            "image_section_indices": [0],
            "url": f"https://en.wikipedia.org/wiki/Page_{n}",
        }
        for n in range(pages)
    }
    path.write_text(json.dumps(value), "utf-8")
    return path


def wiki6m(path: Path, pages: int = 5) -> Path:
    return jsonl(
        path,
        [
            {
                "wikidata_id": f"Q{n}",
                "wikipedia_title": f"Thing {n}",
                "wikipedia_content": f"Thing {n} is a thing.\nIt has {n} parts." if n != 2 else "",
                "wikipedia_summary": f"Thing {n} is a thing.",
                "wikipedia_image_url": None,
            }
            for n in range(pages)
        ],
    )


def wit(path: Path, rows: int = 4) -> Path:
    """Two pictures a page, of which the second is its main one; the last row has no text."""
    values = [
        {
            "language": "en",
            "page_url": f"https://en.wikipedia.org/wiki/Page_{n // 2}",
            "image_url": f"https://x.org/{n}.jpg",
            "page_title": f"Page {n // 2}",
            "section_title": "Habitat",
            "caption_reference_description": "The zone." if n == 0 else "",
            "is_main_image": "true" if n % 2 else "false",
            "context_section_description": f"It lives in zone {n}." if n < rows - 1 else "",
        }
        for n in range(rows)
    ]
    with path.open("w", encoding="utf-8") as file:
        table = csv.DictWriter(file, values[0], delimiter="\t")
        table.writeheader()
        table.writerows(values)
    return path


def m2kr_passages(folder: Path, split: str = "test", count: int = 8, title: bool = False) -> Path:
    rows = [
        {
            "language": "en",
            "passage_id": f"WikiWeb_{n}",
            "passage_content": f"title: Thing {n} content: Thing {n} is the {n}th thing.",
        }
        | ({"title": f"Thing {n}"} if title else {})
        for n in range(count)
    ]
    return parquet(folder / f"{split}_passages-00000-of-00001.parquet", rows)


def dump(pages: Sequence[tuple[str, str]], header: bool = True) -> bytes:
    """Return an XML dump of (title, wikitext) as MediaWiki writes it."""
    head = (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" xml:lang="en">\n'
        "  <siteinfo>\n    <base>https://en.wikipedia.org/wiki/Main_Page</base>\n  </siteinfo>\n"
    )
    return (head if header else "").encode() + b"".join(
        dump_page(number, title, text) for number, (title, text) in enumerate(pages, start=1)
    )


def dump_page(number: int, title: str, text: str) -> bytes:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return (
        f"  <page>\n    <title>{title}</title>\n    <ns>0</ns>\n    <id>{number}</id>\n"
        f'    <revision>\n      <id>9</id>\n      <text xml:space="preserve">{escaped}</text>\n'
        "    </revision>\n  </page>\n"
    ).encode()

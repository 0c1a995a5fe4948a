"""Wikipedia-based Image Text (WIT, arXiv 2103.01913): wit_v1.train.all-00000-of-00010.tsv.gz.

A row is a picture on a page of Wikipedia: its URL, its caption, and the beginnings of the page and
of the section that it stands in. Pages of other corpora are the same entities: their URLs are.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from corpus.files.pages import Page, Section
from corpus.formats.tables import TableReader

COLUMNS = ("page_url", "image_url")
_OPTIONAL = (
    *("page_title", "section_title", "hierarchical_section_title", "caption_reference_description"),
    *("context_section_description", "context_page_description", "is_main_image", "language"),
)


class WikipediaImageText(TableReader):
    """Reads a file of it: a row is a page of one section, what is said of its picture there.

    Only a page's main picture is taken for one of what the page is about.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, (*COLUMNS, *_OPTIONAL), _OPTIONAL)

    def page(self, line: int, values: Sequence[str]) -> Page:
        """Return the page of a row."""
        return _page(*(value.strip() for value in values))


def _page(
    url: str,
    picture: str,
    title: str,
    heading: str,
    headings: str,
    caption: str,
    section: str,
    lead: str,
    main: str,
    language: str,
) -> Page:
    text = "\n".join(dict.fromkeys(filter(None, (caption, section or lead))))
    # A section may show a picture twice, with another caption.
    where = hashlib.sha256(f"{picture}\n{headings or heading}\n{caption}".encode()).hexdigest()
    return Page(
        id=f"{url}#{where[:12]}",
        title=title,
        sections=(Section(heading, text),) if text else (),
        url=url,
        source="WIT",
        entity=url,
        language=language,
        pictures=(picture,),
        shown=main.lower() == "true",
    )

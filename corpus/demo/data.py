"""The demo corpus: data/demo of the repository, and in a wheel corpus/demo_data.

passages.jsonl.gz          what is searched
images.jsonl, images/      pictures with the entity each shows: "train" and "val"; not in a wheel
questions.jsonl.gz         questions about those entities
handwritten.jsonl          a benchmark: questions written by hand; never fitted to
everyday.jsonl             questions that passages may not answer, for development
free.jsonl                 the same, by somebody who knew the passages alone, for development
strangers.jsonl            the same, by yet another; never fitted to
follow-ups.jsonl           dialogues of two questions, for development
examples/                  a small gallery of pictures with a question each
"""

from dataclasses import dataclass
from pathlib import Path

import corpus
from corpus.errors import DatasetNotFound
from corpus.examples import read_examples
from corpus.files.jsonl import list_field, read_records, text_field
from corpus.files.passages import read_passages
from corpus.pictures.entities import EntityPicture
from corpus.types import Example

_PACKAGE = Path(corpus.__file__).resolve().parent
IN_WHEEL = _PACKAGE / "demo_data"
DEMO_DIR = IN_WHEEL if IN_WHEEL.is_dir() else _PACKAGE.parent / "data" / "demo"


@dataclass(frozen=True, slots=True)
class DemoImage:
    """A picture of one entity.

    Attributes:
        image: its path relative to the demo directory.
        source: the collection it comes from, for example "flag-icons".
        split: "train", or "val" for the collections that are never trained on.
        entity: what it shows, for example "flag:FR" or "wiki:Tiger".
        kind: "flag" or "emoji".
        licence: its licence, as an SPDX identifier.
    """

    image: str
    source: str
    split: str
    entity: str
    kind: str
    licence: str


@dataclass(frozen=True, slots=True)
class DemoQuestion:
    """Ways to ask for one fact about an entity.

    Attributes:
        entity: what a picture must show for the question to be asked.
        passage: id of the passage that proves the answer.
        field: the kind of fact, for example "Currency".
        questions: paraphrases.
        answer: the answer as it stands in the passage.
    """

    entity: str
    passage: str
    field: str
    questions: tuple[str, ...]
    answer: str


def demo_dir() -> Path:
    """Return the directory of the demo corpus.

    Raises:
        DatasetNotFound: the packages were copied without it.
    """
    if not DEMO_DIR.is_dir():
        raise DatasetNotFound(
            f"{DEMO_DIR} does not exist: the demo corpus comes with the repository and its wheel; "
            "clone it and install it from there with `pip install -e .`"
        )
    return DEMO_DIR


def demo_passages_path() -> Path:
    """Return the passage file. Raises DatasetNotFound when it is not there."""
    return demo_file("passages.jsonl.gz")


def demo_images() -> list[DemoImage]:
    """Return the training and validation pictures in the order of the file.

    Raises:
        DatasetNotFound, InvalidRecord: the list is missing or broken.
    """
    path = demo_file("images.jsonl")
    return [
        DemoImage(
            *(
                text_field(path, line, record, name)
                for name in ("image", "source", "split", "entity", "kind", "licence")
            )
        )
        for line, record in read_records(path)
    ]


def demo_entity_pictures() -> list[EntityPicture]:
    """Return the training pictures as pictures of their entities, named as passages are titled.

    Raises:
        DatasetNotFound, InvalidRecord: the list, or the passages, are missing or broken.
    """
    titles: dict[str, str] = {}
    for passage in read_passages(demo_passages_path()):
        titles.setdefault(passage.entity, passage.title)
    return [
        EntityPicture(
            image.image,
            demo_dir() / image.image,
            image.entity,
            name=titles.get(image.entity, ""),
        )
        for image in demo_images()
        if image.split == "train"
    ]


def demo_questions() -> list[DemoQuestion]:
    """Return the questions in the order of the file.

    Raises:
        DatasetNotFound, InvalidRecord: the file is missing or broken.
    """
    path = demo_file("questions.jsonl.gz")
    return [
        DemoQuestion(
            entity=text_field(path, line, record, "entity"),
            passage=text_field(path, line, record, "passage"),
            field=text_field(path, line, record, "field"),
            questions=list_field(path, line, record, "questions"),
            answer=text_field(path, line, record, "answer"),
        )
        for line, record in read_records(path)
    ]


def example_gallery() -> list[Example]:
    """Return the gallery's examples; open their pictures with example_image_path.

    Raises:
        DatasetNotFound, InvalidRecord: the gallery is missing or broken.
    """
    return read_examples(demo_file("examples/examples.jsonl"))


def example_image_path(example: Example) -> Path:
    """Return the path of a gallery picture. Raises DatasetNotFound when it is not there."""
    return demo_file(f"examples/{example.image}")


def demo_file(name: str) -> Path:
    """Return the path of a file of the demo corpus. Raises DatasetNotFound when it is not there."""
    path = demo_dir() / name
    if not path.is_file():
        raise DatasetNotFound(
            f"{path} does not exist; restore it with `git checkout -- data/demo` or rebuild it "
            "with `python -m corpus.demo.rebuild --out data/demo`"
        )
    return path

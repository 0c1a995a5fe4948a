"""Tables of pictures and the entities that they show: one JSON object a line.

    {"image": "flags/fr.png", "entity": "flag:FR"}

An entity is what passages have in their field "entity". Other keys are left alone.
"""

from dataclasses import dataclass
from pathlib import Path

from corpus.files.jsonl import id_field, read_records, text_field


@dataclass(frozen=True, slots=True)
class EntityPicture:
    """A picture of an entity.

    Attributes:
        image: its name in the table.
        path: where it lies.
        entity: what it shows, for example "flag:FR".
    """

    image: str
    path: Path
    entity: str


def read_entity_pictures(table: Path, images: Path) -> list[EntityPicture]:
    """Return the pictures of a .jsonl or .jsonl.gz table, in its order.

    Args:
        table: the file.
        images: the directory that picture names are relative to.

    Raises:
        DatasetNotFound: there is no such file.
        InvalidRecord: a line lacks its image or entity, or the file holds none.
    """
    pictures = []
    for line, record in read_records(table):
        image = text_field(table, line, record, "image")
        pictures.append(
            EntityPicture(image, images / image, id_field(table, line, record, "entity"))
        )
    return pictures

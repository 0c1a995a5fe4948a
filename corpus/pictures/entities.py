"""Tables of pictures and the entities that they show: one JSON object a line.

    {"image": "flags/fr.png", "entity": "flag:FR", "name": "France"}

An entity is what passages have in their field "entity". A "name" of the
entity is what people are shown. Other keys are left alone.
"""

from dataclasses import dataclass
from pathlib import Path

from corpus.errors import InvalidRecord
from corpus.files.jsonl import id_field, read_records, text_field
from corpus.pictures.store import spellings


@dataclass(frozen=True, slots=True)
class EntityPicture:
    """A picture of an entity.

    Attributes:
        image: its name in the table.
        path: where it lies.
        entity: what it shows, for example "flag:FR".
        line: of the table, from 1; 0 where it is of none.
        name: of the entity, for people; "" where the table has none.
    """

    image: str
    path: Path
    entity: str
    line: int = 0
    name: str = ""


def read_entity_pictures(
    table: Path, images: Path, *, skip_missing: bool = False
) -> list[EntityPicture]:
    """Return the pictures of a .jsonl or .jsonl.gz table, in its order. None is opened yet.

    Args:
        table: the file.
        images: the directory that picture names are relative to.
        skip_missing: leave out pictures that are not there, but not all of them.

    Raises:
        DatasetNotFound: there is no such file.
        InvalidRecord: a line lacks its image or entity, the file of its picture is not there, or
            the table holds none. The first such picture is named, and how many more there are.
    """
    pictures: list[EntityPicture] = []
    for line, record in read_records(table):
        image = text_field(table, line, record, "image")
        entity = id_field(table, line, record, "entity")
        name = text_field(table, line, record, "name", required=False)
        paths = (images / spelled for spelled in spellings(image))
        path = next((path for path in paths if path.is_file()), images / image)
        pictures.append(EntityPicture(image, path, entity, line, name))
    missing = [picture for picture in pictures if not picture.path.is_file()]
    if missing and not (skip_missing and len(missing) < len(pictures)):
        first, others = missing[0], len(missing) - 1
        more = f", nor are {others:,} others" if others else ""
        raise InvalidRecord(
            table,
            first.line,
            "image",
            f"{first.path} is not there{more}; put the pictures there, or name the folder that "
            "they are in",
        )
    gone = {picture.line for picture in missing}
    return [picture for picture in pictures if picture.line not in gone]

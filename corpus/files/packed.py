"""A dataset's file as it was fetched: as it is, or compressed."""

from pathlib import Path

from corpus.errors import DatasetNotFound

# What `corpus.files.sources` unpacks, in the order of preference.
ENDINGS = ("", ".gz", ".bz2", ".zst", ".zip")


def packed_file(folder: Path, name: str) -> Path | None:
    """Return a file of a folder, None where it is not there, compressed or not.

    A zip may have the file's name without its ending: questions.zip for questions.json.
    """
    names = [f"{name}{ending}" for ending in ENDINGS] + [f"{Path(name).stem}.zip"]
    return next((path for found in names if (path := folder / found).is_file()), None)


def find_file(folder: Path, name: str, dataset: str) -> Path:
    """Return a file of a dataset in a folder, compressed or not. Raises DatasetNotFound."""
    if path := packed_file(folder, name):
        return path
    raise DatasetNotFound(
        f"{folder / name} does not exist, compressed or not; `kbvqa data status {dataset}` says "
        "where to get it"
    )

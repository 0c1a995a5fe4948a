"""The datasets of the paper: what they consist of, where they come from, and what is on disk.

Everything lies under one data directory, a folder for each dataset. Sizes are those that the
sources state; a licence is given only where the source states one.
"""

from dataclasses import dataclass
from pathlib import Path

from corpus.benchmarks.m2kr import DATASETS as M2KR
from corpus.benchmarks.m2kr import HUB_ID as M2KR_ID
from corpus.errors import DatasetNotFound
from corpus.files.folders import lacking
from corpus.files.packed import packed_file

M2KR_IMAGES_ID = "BByrneLab/M2KR_Images"
NOT_STATED = "not stated with the files; see the source"


@dataclass(frozen=True, slots=True)
class Hub:
    """Where a dataset is on the Hugging Face hub.

    Attributes:
        repo: of the type "dataset".
        patterns: the files to fetch, as glob patterns.
    """

    repo: str
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as it lies in the data directory.

    Attributes:
        name: as given to `kbvqa data get`.
        what: for people.
        folder: under the data directory.
        needs: files, compressed or not, and glob patterns that must match one; alternatives are
            separated by "|".
        source: the page or addresses to fetch it from.
        licence: as the source states it.
        gigabytes: as the source states it; None where it does not.
        hub: where the hub has it; None where it has to be fetched by hand.
        sha256: {file: hash} where the source states hashes.
        counts: {pattern: files} where the source states how many there are.
    """

    name: str
    what: str
    folder: str
    needs: tuple[str, ...]
    source: str
    licence: str = NOT_STATED
    gigabytes: float | None = None
    hub: Hub | None = None
    sha256: tuple[tuple[str, str], ...] = ()
    counts: tuple[tuple[str, int], ...] = ()

    @property
    def pictures(self) -> bool:
        """Return whether it is a set of pictures: of those one file does not show that all are."""
        return "images" in self.name


def _m2kr(name: str, gigabytes: float | None) -> Dataset:
    config = M2KR[name].config
    return Dataset(
        name=f"m2kr-{name}",
        what=f"M2KR: {config}, questions and passages",
        folder="m2kr",
        needs=(f"{config}_data/*.parquet", f"{config}_passages/*.parquet"),
        source=f"https://huggingface.co/datasets/{M2KR_ID}",
        licence="MIT",
        gigabytes=gigabytes,
        hub=Hub(M2KR_ID, (f"{config}_data/*.parquet", f"{config}_passages/*.parquet")),
    )


def _m2kr_images(folder: str, gigabytes: float | None) -> Dataset:
    return Dataset(
        name=f"m2kr-images-{folder.lower()}",
        what=f"M2KR: the pictures of {folder}, as archives to unpack where they lie",
        folder="m2kr-images",
        needs=(f"{folder}/*",),
        source=f"https://huggingface.co/datasets/{M2KR_IMAGES_ID}",
        gigabytes=gigabytes,
        hub=Hub(M2KR_IMAGES_ID, (f"{folder}/*",)),
    )


_COCO = "http://images.cocodataset.org/zips"
_OKVQA = "https://okvqa.allenai.org/static/data"
_EVQA = "https://storage.googleapis.com/encyclopedic-vqa"
_OPEN_VISION = "http://storage.googleapis.com/gresearch/open-vision-language"

_ALL = (
    Dataset(
        name="okvqa",
        what="OK-VQA: questions and answers",
        folder="okvqa",
        needs=tuple(
            f"{file}.json"
            for split in ("train2014", "val2014")
            for file in (f"OpenEnded_mscoco_{split}_questions", f"mscoco_{split}_annotations")
        ),
        source=f"{_OKVQA}/ + OpenEnded_mscoco_{{train,val}}2014_questions.json.zip and "
        "mscoco_{train,val}2014_annotations.json.zip",
    ),
    Dataset(
        name="okvqa-images",
        what="OK-VQA, LLaVA: pictures of COCO 2014",
        folder="coco",
        needs=("train2014/COCO_train2014_*.jpg", "val2014/COCO_val2014_*.jpg"),
        source=f"{_COCO}/train2014.zip (13.5 GB) and {_COCO}/val2014.zip, unpacked",
        counts=(("train2014/*.jpg", 82_783), ("val2014/*.jpg", 40_504)),
    ),
    Dataset(
        name="google-search",
        what="OK-VQA's Google-search corpus: GS112K and the full one",
        folder="google-search",
        needs=(
            "okvqa_full_corpus.csv|okvqa_train_corpus.csv"
            "|*/okvqa_full_corpus.csv|*/okvqa_train_corpus.csv",
        ),
        source="in RAVQA_v2_data.tar.gz of https://huggingface.co/datasets/BByrneLab/RAVQAV2Data; "
        "unpack pre-extracted_features/passages/*.csv into the folder",
        hub=Hub("BByrneLab/RAVQAV2Data", ("*",)),
    ),
    Dataset(
        name="infoseek",
        what="InfoSeek: questions, answers, question types",
        folder="infoseek",
        needs=(
            "infoseek_train.jsonl",
            "infoseek_val.jsonl",
            "infoseek_val_qtype.jsonl",
            "infoseek_val_withkb.jsonl",
        ),
        source="https://github.com/open-vision-language/infoseek: its download script, and "
        "infoseek_val_qtype.jsonl from the link there",
    ),
    Dataset(
        name="wiki6m",
        what="InfoSeek's knowledge base: six million Wikipedia articles",
        folder="wiki6m",
        needs=("Wiki6M_ver_1_0.jsonl",),
        source=f"{_OPEN_VISION}/Wiki6M_ver_1_0.jsonl.gz",
        licence="CC BY-SA (Wikipedia)",
        gigabytes=6.9,
    ),
    Dataset(
        name="oven-images",
        what="InfoSeek, OVEN: pictures",
        folder="oven",
        needs=("oven_*.*|[0-9][0-9]/oven_*.*",),
        source="https://github.com/edchengg/oven_eval/tree/main/image_downloads: shard00.tar to "
        "shard05.tar, unpacked",
    ),
    Dataset(
        name="evqa",
        what="Encyclopedic-VQA: questions",
        folder="evqa",
        needs=("train.csv", "val.csv", "test.csv"),
        source=f"{_EVQA}/train.csv (74 MB), {_EVQA}/val.csv and {_EVQA}/test.csv",
        gigabytes=0.08,
    ),
    Dataset(
        name="evqa-kb",
        what="Encyclopedic-VQA: knowledge base of two million Wikipedia pages",
        folder="evqa-kb",
        needs=("encyclopedic_kb_wiki.json*|encyclopedic_kb_wiki.zip",),
        source=f"{_EVQA}/encyclopedic_kb_wiki.zip",
        licence="CC BY-SA (Wikipedia)",
        gigabytes=4.9,
        sha256=(
            (
                "encyclopedic_kb_wiki.json",
                "36af1b6718a975c355a776114be216f4800c61320897b2186d33d17a08e44c77",
            ),
        ),
    ),
    Dataset(
        name="evqa-images",
        what="Encyclopedic-VQA: pictures of iNaturalist 2021 and Google Landmarks v2",
        folder="evqa-images",
        needs=("inat/*.json", "inat/*/*/*.jpg", "google-landmark/train/*/*/*/*.jpg"),
        source="https://github.com/visipedia/inat_comp/tree/master/2021 into inat (train, val, "
        "train.json, val.json) and https://github.com/cvdfoundation/google-landmark into "
        "google-landmark/train",
    ),
    Dataset(
        name="wikipedia",
        what="English Wikipedia, plain text, of November 2023",
        folder="wikipedia",
        needs=("20231101.en/train-*.parquet",),
        source="https://huggingface.co/datasets/wikimedia/wikipedia",
        licence="CC BY-SA 3.0 and GFDL",
        hub=Hub("wikimedia/wikipedia", ("20231101.en/*.parquet",)),
    ),
    Dataset(
        name="wikipedia-dump",
        what="English Wikipedia, the current dump with its sections",
        folder="wikipedia-dump",
        needs=("*pages-articles*.xml*",),
        source="https://dumps.wikimedia.org/enwiki/latest/"
        "enwiki-latest-pages-articles-multistream.xml.bz2",
        licence="CC BY-SA 4.0 and GFDL",
    ),
    *(_m2kr(name, 3.5 if name == "infoseek" else None) for name in M2KR),
    _m2kr_images("OKVQA", 13.5),
    _m2kr_images("Infoseek", 98.6),
    *(_m2kr_images(f, None) for f in ("EVQA", "WIT", "KVQA", "CC3M", "OVEN", "LLAVA")),
)

ALL = {dataset.name: dataset for dataset in _ALL}


def dataset(name: str) -> Dataset:
    """Return a dataset by name. Raises DatasetNotFound."""
    if name not in ALL:
        raise DatasetNotFound(f"there is no dataset {name!r}; there are {', '.join(ALL)}")
    return ALL[name]


def missing_files(wanted: Dataset, root: Path) -> list[str]:
    """Return what of a dataset is not under the data directory.

    These are the patterns that match no file, and the files that are missing beside those that do.
    """
    folder = root / wanted.folder
    missing = [
        pattern
        for pattern in wanted.needs
        if not any(_any(folder, alternative) for alternative in pattern.split("|"))
    ]
    missing += _too_few(wanted, folder)
    # Pictures are too many to look at each.
    parts = [need for need in wanted.needs if need.endswith((".parquet", ".xml*"))]
    return missing + lacking(file for part in parts for file in sorted(folder.glob(part)))


def _too_few(wanted: Dataset, folder: Path) -> list[str]:
    """Return the patterns that match some files, but fewer than the source has."""
    lack = []
    for pattern, count in wanted.counts:
        found = sum(1 for _ in folder.glob(pattern))
        if 0 < found < count:
            lack.append(f"{pattern}: {found:,} of {count:,} files are there")
    return lack


def whole(wanted: Dataset, root: Path) -> bool | None:
    """Return whether all of a dataset is on disk; None where its files do not show that."""
    if missing_files(wanted, root):
        return False
    return None if wanted.pictures and not wanted.counts else True


def pictures_in(folder: str) -> Dataset | None:
    """Return what fills a folder of pictures in the data directory; None if that is not known."""
    place, _, part = folder.partition("/")
    for wanted in ALL.values():
        if wanted.pictures and wanted.folder == place and wanted.needs[0].startswith(part):
            return wanted
    return None


def instructions(wanted: Dataset, root: Path) -> str:
    """Return what to put where, and where to get it."""
    lines = [
        f"Put these into {root / wanted.folder}:",
        *(f"  {_described(pattern)}" for pattern in missing_files(wanted, root)),
        f"from {wanted.source}",
        f"Licence: {wanted.licence}. Size: {size_text(wanted)}",
    ]
    return "\n".join(lines)


def size_text(wanted: Dataset) -> str:
    """Return a dataset's size for people."""
    return "not stated" if wanted.gigabytes is None else f"{wanted.gigabytes:g} GB"


def _described(pattern: str) -> str:
    packed = "" if "*" in pattern.rpartition("/")[2] else ", compressed or not"
    return pattern.replace("|", "  or  ") + packed


def _any(folder: Path, pattern: str) -> bool:
    """Return whether a file is there: of a pattern's last part, compressed or not."""
    if not folder.is_dir():
        return False
    place, _, name = pattern.rpartition("/")
    if "*" in name:
        return next(folder.glob(pattern), None) is not None
    folders = folder.glob(place) if place else (folder,)
    return any(packed_file(found, name) is not None for found in folders)

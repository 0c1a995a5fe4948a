"""Every kind of corpus through one door: passages, progress, and bad input."""

import gzip
import json
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from corpus.errors import DatasetNotFound, InvalidRecord
from corpus.formats.google_search import TRAIN_PASSAGES
from corpus.passages.corpora import RECORD_POLICY, Corpus, open_corpus
from corpus.passages.policy import By, PassagePolicy
from corpus.types import Passage
from tests import corpus_files as make

PASSAGES = [
    {"id": f"p{n}", "title": f"T{n}", "text": f"Text number {n}.", "url": f"https://x/{n}"}
    for n in range(9)
]


DUMP_PAGES = [("A", "a b"), ("R", "#REDIRECT [[A]]"), ("C", "c")]


def markdown_folder(folder: Path) -> Path:
    (folder / "notes" / "deep").mkdir(parents=True)
    (folder / "notes" / "a.md").write_text(
        "# Tower\n\nIt is high.\n\n## History\n\nBuilt in 1889.\n"
    )
    (folder / "notes" / "deep" / "b.md").write_text("no heading\n\n```\n# code\n```\n")
    return folder / "notes"


def gzipped(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed


def zipped(path: Path) -> Path:
    packed = path.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, path.name)
    return packed


def csv_passages(path: Path) -> Path:
    path.write_text('id,title,text\n1,One,"First, and\nlonger"\n2,Two,Second\n', "utf-8")
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# name: (maker, format, passages)
CORPORA: dict[str, tuple[Callable[[Path], Path], str, int]] = {
    "passages": (lambda d: make.jsonl(d / "p.jsonl", PASSAGES), "passages", 9),
    "passages.gz": (lambda d: gzipped(make.jsonl(d / "p.jsonl", PASSAGES)), "passages", 9),
    "hub parquet": (
        lambda d: make.parquet(d / "w.parquet", make.WIKI_PAGES),
        "wikipedia-parquet",
        7,
    ),
    "evqa": (lambda d: make.evqa_kb(d / "kb.json"), "evqa-kb", 8),
    "evqa.zip": (lambda d: zipped(make.evqa_kb(d / "kb.json")), "evqa-kb", 8),
    "wiki6m": (lambda d: gzipped(make.wiki6m(d / "Wiki6M.jsonl")), "wiki6m", 5),
    "wit": (lambda d: gzipped(make.wit(d / "wit_v1.tsv")), "wit", 3),
    "google": (lambda d: make.google_search(d / "gs.csv", range(20)), "google-search", 20),
    "m2kr": (lambda d: make.m2kr_passages(d / "OKVQA_passages"), "m2kr", 8),
    "m2kr title": (lambda d: make.m2kr_passages(d / "I", title=True).parent, "m2kr", 8),
    "csv": (lambda d: csv_passages(d / "p.csv"), "csv", 2),
    "markdown": (markdown_folder, "markdown", 3),
    "dump": (
        lambda d: written(
            d / "w.xml", make.dump([("A", "a b"), ("R", "#REDIRECT [[A]]"), ("C", "c")])
        ),
        "wikipedia-dump",
        2,
    ),
}

SECTIONS = PassagePolicy(by="section")


@pytest.fixture(params=CORPORA)
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> Corpus:
    maker, format_name, _ = CORPORA[request.param]
    found = open_corpus(maker(tmp_path), policy=SECTIONS)
    assert found.format.name == format_name
    return found


def test_all_passages_are_read(corpus: Corpus, request: pytest.FixtureRequest) -> None:
    count = CORPORA[request.node.callspec.params["corpus"]][2]
    stream = corpus.read()
    passages = list(stream)

    assert len(passages) == count
    assert len({passage.id for passage in passages}) == count
    assert all(passage.text == passage.text.strip() != "" for passage in passages)
    assert stream.bytes_done == stream.bytes_total > 0
    assert stream.bad == []


def test_progress_never_goes_back(corpus: Corpus) -> None:
    stream = corpus.read()
    seen = [stream.bytes_done for _ in stream]
    assert seen == sorted(seen)
    assert seen[-1] <= stream.bytes_total


def test_passages_carry_what_the_corpus_says(tmp_path: Path) -> None:
    def first(name: str, policy: PassagePolicy | None = SECTIONS) -> Passage:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return next(open_corpus(CORPORA[name][0](folder), policy=policy).read())

    assert first("passages", None) == Passage("p0", "T0", "Text number 0.", "https://x/0")
    assert first("evqa") == Passage(
        id="https://en.wikipedia.org/wiki/Page_0#0",
        title="Page 0",
        text="Page 0 is a bird.",
        url="https://en.wikipedia.org/wiki/Page_0",
        source="Encyclopedic-VQA",
        entity="https://en.wikipedia.org/wiki/Page_0",
    )
    assert first("google", None).id == "GS_0"
    assert first("google").text == 'snippet 0, with "quotes",\nand a second line'
    assert first("wiki6m").entity == "Q0"
    assert replace(first("wit"), id="") == Passage(
        id="",
        title="Page 0",
        text="The zone.\nIt lives in zone 0.",
        url="https://en.wikipedia.org/wiki/Page_0",
        source="WIT",
        section="Habitat",
        entity="https://en.wikipedia.org/wiki/Page_0",
        language="en",
    )
    text = "title: Thing 0 content: Thing 0 is the 0th thing."
    assert first("m2kr", None) == Passage(
        "WikiWeb_0", "Thing 0", text, source="M2KR", language="en"
    )
    markdown = first("markdown")
    assert (markdown.id, markdown.title, markdown.section) == ("a.md#0", "Tower", "")
    assert first("dump").url == "https://en.wikipedia.org/wiki/A"


def test_of_wit_a_section_may_show_a_picture_twice(tmp_path: Path) -> None:
    """With other words below it, which have quotes, tabs and line ends within."""
    path = make.wit(tmp_path / "wit_v1.tsv", rows=1)
    header = path.read_text(encoding="utf-8").splitlines()[0]
    page = ("en", "https://en.wikipedia.org/wiki/A", "https://x.org/a.jpg", "A", "Habitat")
    lives = "It lives where the sea is shallow and cold."
    said = ('"The ""upper""\tzone"', '"The\nlower"')
    rows = ["\t".join((*page, caption, "true", lives)) for caption in said]
    path.write_text("\r\n".join((header, *rows)), encoding="utf-8", newline="")
    read = list(open_corpus(path, policy=RECORD_POLICY).read())
    assert [passage.text for passage in read] == [
        f'The "upper"\tzone\n{lives}',
        f"The\nlower\n{lives}",
    ]


def test_sections_keep_the_numbers_that_questions_refer_to(tmp_path: Path) -> None:
    corpus = open_corpus(make.evqa_kb(tmp_path / "kb.json"), policy=SECTIONS)
    ids = [passage.id.partition("Page_")[2] for passage in corpus.read()]
    assert ids == ["0#0", "0#2", "1#0", "1#2", "2#0", "2#2", "3#0", "3#2"]


def test_empty_content_of_wiki6m_falls_back_to_the_summary(tmp_path: Path) -> None:
    corpus = open_corpus(make.wiki6m(tmp_path / "w.jsonl"), policy=SECTIONS)
    assert [p.text for p in corpus.read()][2] == "Thing 2 is a thing."


def test_splits_of_m2kr_are_not_read_together(tmp_path: Path) -> None:
    folder = tmp_path / "OKVQA_passages"
    for split in ("train", "valid", "test"):
        make.m2kr_passages(folder, split)

    with pytest.raises(DatasetNotFound, match=r"test, train, valid.*--split"):
        open_corpus(folder)
    corpus = open_corpus(folder, split="valid")
    assert corpus.name == "OKVQA_passages/valid"
    assert len(list(corpus.read())) == 8
    with pytest.raises(DatasetNotFound, match="'dev'"):
        open_corpus(folder, split="dev")


def test_the_two_google_search_corpora_have_their_own_names(tmp_path: Path) -> None:
    train = make.google_search(tmp_path / "okvqa_full_corpus.csv", range(TRAIN_PASSAGES))
    full = make.google_search(tmp_path / "okvqa_train_corpus.csv", range(TRAIN_PASSAGES + 3))
    part = make.google_search(tmp_path / "part.csv", range(5))

    # By what is in them, not by what they are called.
    assert open_corpus(train).name == "GS112K"
    assert open_corpus(full).name == "GS-full"
    assert open_corpus(part).name == "GS-5"
    only_train = open_corpus(full, only_train=True)
    assert only_train.name == "GS112K"
    stream = only_train.read()
    assert sum(1 for _ in stream) == TRAIN_PASSAGES
    assert stream.empty == 3


def test_tab_separated_and_swapped_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "gs.csv", b"text\tkid\nfirst snippet\t0\nsecond\t1\n")
    assert [(p.id, p.text) for p in open_corpus(path).read()] == [
        ("GS_0", "first snippet"),
        ("GS_1", "second"),
    ]


def test_several_files_are_one_corpus_in_the_order_of_their_names(tmp_path: Path) -> None:
    for n, rows in enumerate((PASSAGES[:4], PASSAGES[4:])):
        make.jsonl(tmp_path / f"part-{n}.jsonl", rows)
    (tmp_path / "README.md").write_text("about")
    corpus = open_corpus(tmp_path)
    assert [passage.id for passage in corpus.read()] == [f"p{n}" for n in range(9)]


# What is wrong: (file name, content, what the message must say)
WIKI_ROW = {"id": "1", "url": "https://x", "title": None, "text": "x"}
# A page whose title is "" or null, in every format that has titles: (file name, content)
UNTITLED = {
    "passages": (
        "p.jsonl",
        b'{"id":"1","title":null,"text":"x"}\n{"id":"2","title":"","text":"x"}',
    ),
    "csv": ("p.csv", b"id,title,text\n1,,x\n2, ,x\n"),
    "wiki6m": (
        "w.jsonl",
        b'{"wikidata_id":"1","wikipedia_title":null,"wikipedia_content":"x"}\n'
        b'{"wikidata_id":"2","wikipedia_title":"","wikipedia_content":"x"}\n',
    ),
    "evqa-kb": (
        "kb.json",
        b'{"https://a": {"title":null,"section_titles":["A"],"section_texts":["x"]},'
        b'"https://b": {"title":"","section_titles":["B"],"section_texts":["x"]}}',
    ),
    "wikipedia-jsonl": (
        "w.jsonl",
        b'{"id":"1","url":"u","title":null,"text":"x"}\n{"id":"2","url":"u","title":"","text":"x"}',
    ),
    "m2kr": ("m.parquet", [{"passage_id": n, "passage_content": "x", "title": None} for n in "12"]),
    "wikipedia-parquet": ("w.parquet", [WIKI_ROW, {**WIKI_ROW, "id": "2", "title": ""}]),
}


@pytest.mark.parametrize("name", UNTITLED)
def test_a_passage_may_have_no_title(tmp_path: Path, name: str) -> None:
    file, content = UNTITLED[name]
    if isinstance(content, bytes):
        path = written(tmp_path / file, content)
    else:
        path = make.parquet(tmp_path / file, content)
    policy = PassagePolicy(by="section", title_prefix=True)
    passages = list(open_corpus(path, format_name=name, policy=policy).read())
    assert [passage.title for passage in passages] == ["", ""]
    assert [passage.text for passage in passages] == ["x", "x"]


@pytest.mark.parametrize("key", ["id", "_id"])
@pytest.mark.parametrize("id_", ["7", 7])
@pytest.mark.parametrize("titled", [True, False])
def test_ids_and_texts_are_enough_in_every_format(
    tmp_path: Path, key: str, id_: str | int, titled: bool
) -> None:
    row = {key: id_} | ({"title": "T"} if titled else {}) | {"text": "x y", "metadata": "{}"}
    head, values = ",".join(row), ",".join(map(str, row.values()))
    files = [
        make.jsonl(tmp_path / "a.jsonl", [row]),
        make.parquet(tmp_path / "b.parquet", [row]),
        written(tmp_path / "c.csv", f"{head}\n{values}\n".encode()),
        written(tmp_path / "d.tsv", f"{head}\n{values}\n".replace(",", "\t").encode()),
    ]
    for file in files:
        passages = list(open_corpus(file).read())
        assert passages == [Passage("7", "T" if titled else "", "x y")], file


@pytest.mark.parametrize(
    ("by", "ids"),
    [
        ("tokens", ["brazil.md#0.0", "brazil.md#1.0", "notes/peru.md#0.0"]),
        ("section", ["brazil.md#0", "brazil.md#1", "notes/peru.md#0"]),
        ("record", ["brazil.md#0", "brazil.md#1", "notes/peru.md"]),
    ],
)
def test_ids_of_markdown_are_those_of_the_docs(tmp_path: Path, by: By, ids: list[str]) -> None:
    (tmp_path / "notes").mkdir()
    written(tmp_path / "brazil.md", b"# Brazil\n\nA country.\n\n## Empty\n\n## Land\n\nLarge.\n")
    written(tmp_path / "notes" / "peru.md", b"# Peru\n\nA country.\n")
    stream = open_corpus(tmp_path, policy=PassagePolicy(by=by)).read()
    assert [passage.id for passage in stream] == ids


def test_integer_ids_of_pages_and_of_m2kr(tmp_path: Path) -> None:
    wiki = {"id": 12, "url": "u", "title": "T", "text": "x"}
    m2kr = {"passage_id": 12, "passage_content": "x"}
    files = {
        make.parquet(tmp_path / "wiki.parquet", [wiki]): "wikipedia-parquet",
        make.jsonl(tmp_path / "wiki.jsonl", [wiki]): "wikipedia-jsonl",
        make.parquet(tmp_path / "m2kr.parquet", [m2kr]): "m2kr",
    }
    for file, name in files.items():
        stream = open_corpus(file, format_name=name, policy=RECORD_POLICY).read()
        assert [passage.id for passage in stream] == ["12"]
    row = {"id": 1, "text": "x", "url": "u", "source": "s", "section": "h", "entity": "Q1"}
    full = make.parquet(tmp_path / "full.parquet", [row | {"language": "de", "title": None}])
    assert list(open_corpus(full, format_name="passages-parquet").read()) == [
        Passage("1", "", "x", url="u", source="s", section="h", entity="Q1", language="de")
    ]
    boolean = make.parquet(tmp_path / "b.parquet", [{"id": True, "text": "x"}])
    with pytest.raises(InvalidRecord, match="must be text, not True"):
        list(open_corpus(boolean).read())


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = tmp_path / f"{count}.jsonl.gz"
        with gzip.open(path, "wt", compresslevel=1) as file:
            for n in range(count):
                row = {"id": f"p{n}", "title": "T", "text": f"{n} {n * n} " * 20}
                file.write(json.dumps(row) + "\n")
        corpus = open_corpus(path)
        tracemalloc.start()
        assert sum(1 for _ in corpus.read()) == count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = peak(12_000), peak(36_000)  # 4 and 12 MB of content
    # The hashes of the ids take up to six megabytes before they are packed; holding the passages
    # would take more than ten more.
    assert large < small + 6_000_000


def test_reading_data_loads_no_model_library_and_nothing_of_the_network() -> None:
    code = (
        "import sys, corpus.passages.corpora, corpus.benchmarks.datasets, corpus.pictures.store\n"
        "import corpus.benchmarks.m2kr, corpus.benchmarks.evqa, corpus.benchmarks.infoseek\n"
        "unwanted = {'torch', 'transformers', 'huggingface_hub', 'httpx', 'requests', 'urllib3'}\n"
        "print(sorted(unwanted & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

"""Every kind of corpus through one door: passages, progress, and bad input."""

import gzip
import json
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus.corpora import RECORD_POLICY, Corpus, open_corpus
from corpus.errors import CorpusError, DatasetNotFound, InvalidRecord
from corpus.google_search import TRAIN_PASSAGES
from corpus.policy import By, PassagePolicy
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
    text = "title: Thing 0 content: Thing 0 is the 0th thing."
    assert first("m2kr", None) == Passage(
        "WikiWeb_0", "Thing 0", text, source="M2KR", language="en"
    )
    markdown = first("markdown")
    assert (markdown.id, markdown.title, markdown.section) == ("a.md#0", "Tower", "")
    assert first("dump").url == "https://en.wikipedia.org/wiki/A"


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
BAD = {
    "not JSON": ("p.jsonl", b'{"id":"a","title":"t","text":"x"}\n{"id":\n', r"line 2: not JSON"),
    "a field too few": (
        "p.jsonl",
        b'{"id":"a","title":"t","text":"x"}\n{"id":"b","title":"t","txt":"x"}\n',
        r"line 2, field 'text': missing",
    ),
    "wrong encoding": (
        "p.jsonl",
        b'{"id":"a","title":"t","text":"x"}\n{"id":"b","title":"t","text":"\xe4"}\n',
        r"line 2: not UTF-8",
    ),
    "the same id twice": (
        "p.jsonl",
        b'{"id":"a","title":"t","text":"x"}\n{"id":"a","title":"t","text":"y"}\n',
        r"record 2, field 'id': 'a#0'",
    ),
    "csv with a row cut": ("g.csv", b"kid,text\n0,one\n1\n", r"line 3, field 'text': missing"),
    "csv in latin-1": ("g.csv", b"kid,text\n0,one\n1,\xe4\n", r"line 3, field 'text': not UTF-8"),
    "csv with a kid that is none": ("g.csv", b"kid,text\n0,a\nx,b\n", r"line 3, field 'kid'.*'x'"),
    "csv with an open quote": ("g.csv", b'kid,text\n0,one\n1,"two\n', r"line 3: .*quote"),
    "kb without texts": (
        "kb.json",
        b'{"https://a": {"title":"A","section_titles":["A"],"section_texts":["x"]},'
        b'"https://b": {"title":"B","section_titles":["B"]}}',
        r"page 2, field 'section_texts'.*https://b",
    ),
    "kb with sections that do not match": (
        "kb.json",
        b'{"https://a": {"title":"A","section_titles":["A"],"section_texts":["x"]},'
        b'"https://b": {"title":"B","section_titles":["B","C"],"section_texts":["x"]}}',
        r"page 2, field 'section_texts': has 1 entries but section_titles has 2",
    ),
    "kb cut short": (
        "kb.json",
        b'{"https://a": {"title":"A","section_titles":["A"],"section_texts":["x"]},'
        b'"https://b": {"title":"B","sect',
        r"page 2: the JSON ends or breaks off here",
    ),
    "wiki6m without titles": (
        "w.jsonl",
        b'{"wikidata_id":"Q1","wikipedia_title":"t","wikipedia_content":"x"}\n'
        b'{"wikidata_id":"Q2","wikipedia_content":"x"}\n',
        r"line 2, field 'wikipedia_title': missing",
    ),
    "dump with broken XML": (
        "w.xml",
        make.dump([("A", "x")]) + b"  <page>\n    <title>B</titel>\n  </page>\n",
        r"page 2: not XML",
    ),
    "dump without a title": (
        "w.xml",
        make.dump([("A", "x")]) + b"  <page>\n    <ns>0</ns><id>2</id>\n  </page>\n",
        r"page 2, field 'title'",
    ),
    "dump with a page left open": (
        "w.xml",
        make.dump([("A", "x")]).replace(b"  </page>\n", b"") + make.dump_page(2, "B", "y"),
        r"page 1: it has no </page>",
    ),
    "dump cut short": (
        "w.xml",
        make.dump([("A", "x"), ("B", "y")])[:-20],
        r"page 2: the file ends within this page",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_records_are_named(tmp_path: Path, case: str) -> None:
    name, content, message = BAD[case]
    path = written(tmp_path / name, content)
    with pytest.raises(CorpusError, match=f"{name}.*{message}"):
        list(open_corpus(path, policy=SECTIONS).read())


@pytest.mark.parametrize("case", BAD)
def test_bad_records_are_skipped_and_listed(tmp_path: Path, case: str) -> None:
    name, content, _ = BAD[case]
    stream = open_corpus(written(tmp_path / name, content), policy=SECTIONS).read(skip_bad=True)

    assert len(list(stream)) == 1
    assert len(stream.bad) == 1


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


def test_reading_goes_on_behind_a_bad_record(tmp_path: Path) -> None:
    rows = [json.dumps(row) for row in PASSAGES]
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join([*rows[:3], "{oops", *rows[3:]]))
    stream = open_corpus(path).read(skip_bad=True)

    assert [p.id for p in stream] == [f"p{n}" for n in range(9)]
    assert str(stream.bad[0]).startswith(f"{path}, line 4: not JSON")


def test_rows_of_parquet_files_are_named_by_row_group(tmp_path: Path) -> None:
    rows = [{"passage_id": str(n), "passage_content": f"text {n}"} for n in range(5)]
    rows[4]["passage_content"] = None  # type: ignore[assignment]
    path = make.parquet(tmp_path / "test_passages-00000-of-00001.parquet", rows)
    with pytest.raises(InvalidRecord, match=r"row group 1, row 1, field 'passage_content'.*None"):
        list(open_corpus(path).read())


def test_a_parquet_schema_that_changed_is_named(tmp_path: Path) -> None:
    path = make.parquet(tmp_path / "x.parquet", [{"id": "1", "body": "x"}])
    with pytest.raises(CorpusError, match="columns are id, body"):
        open_corpus(path)
    with pytest.raises(CorpusError, match=r"no column 'passage_id', 'passage_content'; it has id"):
        list(open_corpus(path, format_name="m2kr").read())


def test_a_parquet_file_cut_short_is_named(tmp_path: Path) -> None:
    path = make.m2kr_passages(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorpusError, match="not a whole parquet file"):
        open_corpus(path)


def test_a_damaged_row_group_is_named(tmp_path: Path) -> None:
    path = make.m2kr_passages(tmp_path)
    data = bytearray(path.read_bytes())
    data[4:120] = bytes(116)
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=r"row group 0: cannot be read behind row 0"):
        list(open_corpus(path).read())


def test_behind_a_damaged_row_group_reading_goes_on(tmp_path: Path) -> None:
    path = make.m2kr_passages(tmp_path)
    data = bytearray(path.read_bytes())
    data[4:120] = bytes(116)
    path.write_bytes(data)
    stream = open_corpus(path).read(skip_bad=True)
    passages = [passage.id for passage in stream]
    assert passages == [f"WikiWeb_{n}" for n in range(3, 8)]
    assert len(stream.bad) == 1
    assert "row group 0: cannot be read behind row 0 of 3" in str(stream.bad[0])


def test_bytes_of_a_parquet_file_that_are_not_utf8(tmp_path: Path) -> None:
    good = pa.array(["text a", "text b", "text c"])
    offsets = good.buffers()[1]
    texts = pa.Array.from_buffers(
        pa.string(), 3, [None, offsets, pa.py_buffer(b"text atext \xe9text c")]
    )
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"passage_id": ["1", "2", "3"], "passage_content": texts}), path)
    stream = open_corpus(path).read(skip_bad=True)
    assert [(passage.id, passage.text) for passage in stream] == [("1", "text a"), ("3", "text c")]
    assert len(stream.bad) == 1
    assert "record 2, field 'text': holds bytes that are not UTF-8" in str(stream.bad[0])


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


def test_what_is_no_corpus_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match="does not exist"):
        open_corpus(tmp_path / "none.jsonl")
    with pytest.raises(DatasetNotFound, match="has no"):
        open_corpus(tmp_path)
    with pytest.raises(CorpusError, match=r"no known format: the keys .* are a, b"):
        open_corpus(written(tmp_path / "x.jsonl", b'{"a": 1, "b": 2}\n'))
    with pytest.raises(CorpusError, match="no known format"):
        open_corpus(written(tmp_path / "y.csv", b"a,b\n1,2\n"))
    with pytest.raises(CorpusError, match=r"z\.txt is in no known format.*ends in \.md"):
        open_corpus(written(tmp_path / "z.txt", b"Paris is the capital.\n"))
    for array in (b'[{"id": "1", "text": "x"}]', b'\xef\xbb\xbf\n[\n  {"id": "1"}\n]\n'):
        with pytest.raises(
            CorpusError, match=r"list\.json begins like a JSON array.*one object a l"
        ):
            open_corpus(written(tmp_path / "list.json", array))
    for nothing in (b"", b"\n \n", b"\xef\xbb\xbf"):
        with pytest.raises(CorpusError, match=r"none\.csv is empty"):
            open_corpus(written(tmp_path / "none.csv", nothing))
    with pytest.raises(CorpusError, match="UTF-16"):
        open_corpus(make.UTF16_DUMP)
    with pytest.raises(CorpusError, match="'xml'"):
        open_corpus(tmp_path / "y.csv", format_name="xml")


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
        "import sys, corpus.corpora, corpus.datasets, corpus.image_store\n"
        "import corpus.benchmarks.m2kr, corpus.benchmarks.evqa, corpus.benchmarks.infoseek\n"
        "unwanted = {'torch', 'transformers', 'huggingface_hub', 'httpx', 'requests', 'urllib3'}\n"
        "print(sorted(unwanted & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

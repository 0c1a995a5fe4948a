"""How fast corpora are read, and how much memory that takes.

    python -m benchmarks.corpus --megabytes 16 64 --out corpus-figures.md
    python -m benchmarks.corpus --megabytes 32 --compare /path/to/venv/bin/python

The Wikipedia dump is the real, shortened one of tests/data, its pages repeated under new ids; the
other files are generated in the true formats, with that dump's text. Each measurement is a process
of its own, run --runs times; the table has the best time and its CPU time, which other work on the
machine changes less, and the peak memory of the process and of its workers at each size. --compare
names a Python that has gensim and wikiextractor installed.
"""

import argparse
import bz2
import csv
import gzip
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
DUMP = ROOT.joinpath(
    "tests/data/wikipedia/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
)
PAGES_PER_STREAM = 100
_ID = re.compile(rb"(<ns>0</ns>\s*<id>)\d+(</id>)")

GENSIM = """
import bz2, sys
from gensim.corpora.wikicorpus import extract_pages, filter_wiki
n = 0
for title, text, id_ in extract_pages(bz2.open(sys.argv[1]), ("0",)):
    n += bool(filter_wiki(text))
print(n)
"""


def texts() -> Iterator[tuple[str, str]]:
    """Yield (title, section text) of the real dump, again and again."""
    from corpus.files.pages import Page
    from corpus.formats.wikipedia import WikipediaDump

    pages = [e.page for e in WikipediaDump(DUMP).entries() if isinstance(e.page, Page)]
    while True:
        for page in pages:
            for section in page.sections:
                yield page.title, section.text


def write_dump(path: Path, size: int) -> None:
    """Write a multistream dump of about `size` bytes of XML, compressed."""
    whole = bz2.decompress(DUMP.read_bytes())
    head = whole[: whole.index(b"  <page>")]
    pages = re.findall(rb"  <page>.*?</page>\n", whole, re.DOTALL)
    written, ids = 0, count(1)
    with path.open("wb") as file:
        file.write(bz2.compress(head))
        while written < size:
            for start in range(0, len(pages), PAGES_PER_STREAM):
                part = b"".join(
                    _ID.sub(rb"\g<1>%d\2" % next(ids), page)
                    for page in pages[start : start + PAGES_PER_STREAM]
                )
                written += len(part)
                file.write(bz2.compress(part))
        file.write(bz2.compress(b"</mediawiki>\n"))


def write_jsonl(path: Path, size: int, row: Callable[[int, str, str], dict[str, object]]) -> None:
    """Write rows of JSON, gzipped, until there are `size` bytes of content."""
    written = 0
    with gzip.open(path, "wb", compresslevel=6) as file:
        for number, (title, text) in enumerate(texts()):
            line = json.dumps(row(number, title, text)).encode() + b"\n"
            file.write(line)
            written += len(line)
            if written >= size:
                return


def write_passages(path: Path, size: int) -> None:
    """Write JSONL of passages."""
    write_jsonl(path, size, lambda n, title, text: {"id": str(n), "title": title, "text": text})


def write_wiki6m(path: Path, size: int) -> None:
    """Write rows as Wiki6M has them."""
    write_jsonl(
        path,
        size,
        lambda n, title, text: {
            "wikidata_id": f"Q{n}",
            "wikipedia_title": title,
            "wikipedia_content": text,
            "wikipedia_summary": text[:200],
            "wikipedia_image_url": None,
        },
    )


def write_google(path: Path, size: int) -> None:
    """Write snippets of about a hundred words as the Google-search corpus has them."""
    written = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["kid", "text"])
        for number, (_, text) in enumerate(texts()):
            snippet = " ".join(text.split()[:100])
            writer.writerow([number, snippet])
            written += len(snippet) + 10
            if written >= size:
                return


def write_evqa_kb(path: Path, size: int) -> None:
    """Write one JSON object of pages as the E-VQA knowledge base is."""
    source, written = texts(), 0
    with path.open("w", encoding="utf-8") as file:
        file.write("{")
        for number in count():
            sections = list(islice(source, 6))
            url = f"https://en.wikipedia.org/wiki/Page_{number}"
            page = {
                "title": f"Page {number}",
                "section_titles": [f"Page {number}", *(f"Section {i}" for i in range(1, 6))],
                "section_texts": [text for _, text in sections],
                "image_urls": [f"https://upload.wikimedia.org/{number}_{i}.jpg" for i in range(3)],
                "image_reference_descriptions": ["a picture"] * 3,
                "image_section_indices": [0, 1, 2],
                "url": url,
            }
            text = f"{', ' if number else ''}{json.dumps(url)}: {json.dumps(page)}"
            file.write(text)
            written += len(text)
            if written >= size:
                break
        file.write("}")


def write_m2kr(path: Path, size: int) -> None:
    """Write M2KR passages, snappy-compressed in row groups of 10,000."""
    schema = pa.schema(
        [(name, pa.string()) for name in ("language", "passage_id", "passage_content")]
    )
    source, written, number = texts(), 0, 0
    with pq.ParquetWriter(path, schema) as writer:
        while written < size:
            rows = []
            for title, text in islice(source, 10_000):
                content = f"title: {title} content: {' '.join(text.split()[:120])}"
                rows.append(
                    {"language": "en", "passage_id": f"W_{number}", "passage_content": content}
                )
                written += len(content)
                number += 1
                if written >= size:
                    break
            writer.write_table(pa.Table.from_pylist(rows, schema))


# name: (file name, writer, workers)
CASES: dict[str, tuple[str, Callable[[Path, int], None], int]] = {
    "Wikipedia dump, bz2 multistream": ("wiki.xml.bz2", write_dump, 0),
    "the same, two workers": ("wiki.xml.bz2", write_dump, 2),
    "E-VQA knowledge base, JSON": ("kb.json", write_evqa_kb, 0),
    "Wiki6M, JSONL gzip": ("wiki6m.jsonl.gz", write_wiki6m, 0),
    "passages, JSONL gzip": ("passages.jsonl.gz", write_passages, 0),
    "Google-search corpus, CSV": ("google.csv", write_google, 0),
    "M2KR passages, parquet": ("test_passages-00000-of-00001.parquet", write_m2kr, 0),
}


def measure(path: Path, workers: int) -> dict[str, float]:
    """Read a corpus in this process and return what it took."""
    from corpus.passages.corpora import open_corpus

    corpus = open_corpus(path, workers=workers)
    before = cpu_seconds(resource.RUSAGE_SELF)
    started = time.perf_counter()
    with corpus.read() as stream:
        passages = sum(1 for _ in stream)
    seconds = time.perf_counter() - started
    cpu = cpu_seconds(resource.RUSAGE_SELF) + cpu_seconds(resource.RUSAGE_CHILDREN) - before
    usage = [
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    return {
        "seconds": seconds,
        "cpu": cpu,
        "passages": passages,
        "self_kb": usage[0],
        "child_kb": usage[1],
    }


def cpu_seconds(whose: int) -> float:
    """Return the CPU time of this process, or of its children that have ended."""
    usage = resource.getrusage(whose)
    return usage.ru_utime + usage.ru_stime


def content_bytes(path: Path) -> int:
    """Return the bytes of a file's content, unpacked; of parquet those of its columns."""
    if path.suffix == ".parquet":
        meta = pq.ParquetFile(path).metadata
        return sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
    from corpus.files.sources import Source

    return sum(map(len, Source(path).chunks()))


def in_a_process(path: Path, workers: int, runs: int) -> dict[str, float]:
    """Return the best of some measurements, each in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.corpus",
        "--measure",
        str(path),
        "--workers",
        str(workers),
    ]
    measured = [
        json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)
        for _ in range(runs)
    ]
    return min(measured, key=lambda run: run["cpu"])


def compare(
    python: str, path: Path, folder: Path, runs: int
) -> Iterator[tuple[str, float, float, int]]:
    """Yield (name, seconds, CPU seconds, pages) of public extractors on the dump."""
    extractor = ["-m", "wikiextractor.WikiExtractor", str(path), "--json", "--no-templates", "-q"]
    for name, arguments in (
        ("gensim 4.4.0: extract_pages, filter_wiki", ["-c", GENSIM, str(path)]),
        ("wikiextractor 3.1.0, 1 process", [*extractor, "--processes", "1"]),
        ("wikiextractor 3.1.0, 2 processes", [*extractor, "--processes", "2"]),
    ):
        best, cpu, pages = float("inf"), float("inf"), 0
        for _ in range(runs):
            with tempfile.TemporaryDirectory(dir=folder) as out:
                extra = ["-o", out] if "wikiextractor" in name else []
                started = time.perf_counter()
                before = cpu_seconds(resource.RUSAGE_CHILDREN)
                done = subprocess.run(
                    [python, *arguments, *extra], capture_output=True, text=True, check=True
                )
                best = min(best, time.perf_counter() - started)
                cpu = min(cpu, cpu_seconds(resource.RUSAGE_CHILDREN) - before)
                found = Path(out).rglob("wiki_*")
                pages = (
                    sum(len(file.read_text("utf-8").splitlines()) for file in found)
                    if extra
                    else int(done.stdout)
                )
        yield name, best, cpu, pages


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--megabytes", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--compare", help="a Python with gensim and wikiextractor")
    parser.add_argument("--out", type=Path, help="where the Markdown goes; default: printed")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.workers)))
        return
    sizes = sorted(args.megabytes)
    lines = [
        f"Python {platform.python_version()}, {os.cpu_count()} cores; best of {args.runs} on "
        f"{sizes[-1]} MB of content, unpacked.",
        "",
        "| reader | MB/s | MB per CPU second | passages/s | "
        + " | ".join(f"peak memory, {size} MB" for size in sizes)
        + " |",
        "|---|---|---|---|" + "---|" * len(sizes),
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case, (file_name, write, workers) in CASES.items():
            memory, result, megabytes = [], {}, 0.0
            for size in sizes:
                path = folder / str(size) / file_name
                path.parent.mkdir(exist_ok=True)
                if not path.exists():
                    write(path, size * 1_000_000)
                result, megabytes = (
                    in_a_process(path, workers, args.runs),
                    content_bytes(path) / 1e6,
                )
                workers_kb = f" + {workers} x {result['child_kb'] / 1e3:.0f}" if workers else ""
                memory.append(f"{result['self_kb'] / 1e3:.0f}{workers_kb} MB")
            seconds = result["seconds"]
            lines.append(
                f"| {case} | {megabytes / seconds:.1f} | {megabytes / result['cpu']:.1f} | "
                f"{result['passages'] / seconds:,.0f} | " + " | ".join(memory) + " |"
            )
            print(lines[-1], file=sys.stderr)
        if args.compare:
            path = folder / str(sizes[-1]) / "wiki.xml.bz2"
            megabytes = content_bytes(path) / 1e6
            lines += [
                "",
                "| the same dump | MB/s | MB per CPU second | pages |",
                "|---|---|---|---|",
            ]
            for case, seconds, cpu, pages in compare(args.compare, path, folder, args.runs):
                rates = f"{megabytes / seconds:.1f} | {megabytes / cpu:.1f}"
                lines.append(f"| {case} | {rates} | {pages:,} |")
                print(lines[-1], file=sys.stderr)
    text = "\n".join(lines) + "\n"
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()

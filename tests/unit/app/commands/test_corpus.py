"""`kbvqa corpus` and `kbvqa index build` on corpora of every kind, as a user runs them."""

import doctest
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from app.cli import app as cli
from app.errors import InvalidSettings
from corpus.errors import InvalidRecord
from corpus.passages import histogram
from corpus.passages.histogram import histogram_svg
from tests import corpus_files as make
from tests.golden_cases import GOLDEN


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object, ok: bool = True) -> Result:
        result = CliRunner().invoke(cli, list(map(str, arguments)))
        if ok:
            assert result.exit_code == 0, result.output
        return result

    return call


ROWS = [{"id": f"p{n}", "title": f"T{n}", "text": f"The text number {n}."} for n in range(5)]


def test_show(run, tmp_path: Path) -> None:
    kb = make.evqa_kb(tmp_path / "kb.json")
    options = ("--by", "section", "--min-characters", 1, "--skip", 1, "-n", 2)
    output = run("corpus", "show", kb, *options).stdout
    assert "Page 0 - Habitat" in output
    assert "title: Page 0 section title: Habitat content: It lives in zone 0." in output
    assert "Page 1" in output
    assert "zone 1" not in output


def test_the_first_passages_by_any_name_of_the_option(run, tmp_path: Path) -> None:
    path = make.jsonl(tmp_path / "p.jsonl", ROWS)
    shown = [run("corpus", "show", path, name, 2).stdout for name in ("-n", "--count", "--limit")]
    assert shown[0] == shown[1] == shown[2]


def test_a_language_that_is_not_sure_is_said_to_be_so(run, tmp_path: Path) -> None:
    rows = [
        {"id": "1", "title": "a", "text": "The capital of Kenya is Nairobi."},
        {"id": "2", "title": "a", "text": "Thing 0 is a thing that lives in town 0."},
        {"id": "3", "title": "a", "text": "Nairobi.", "language": "sw"},
        {"id": "4", "title": "a", "text": "Nairobi is large."},
    ]
    path = make.jsonl(tmp_path / "p.jsonl", rows)
    assert "not sure 50 %, en 25 %, sw 25 %" in run("corpus", "stats", path).stdout
    languages = json.loads(run("corpus", "stats", path, "--json").stdout)["languages"]
    assert languages == {"und": 2, "en": 1, "sw": 1}


def test_a_tilde_that_no_shell_expanded(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    make.jsonl(tmp_path / "p.jsonl", ROWS)
    run("corpus", "make", "~/p.jsonl", "--out=~/out.jsonl")
    assert (tmp_path / "out.jsonl").is_file()
    run("corpus", "make", "~/p.jsonl", "--out", "~/again.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.jsonl",
        "out.jsonl",
        "p.jsonl",
    ]
    assert "The text" not in run("corpus", "show", "p.jsonl", "--find=a ~/b").stdout


def test_show_finds_and_prints_json(run, tmp_path: Path) -> None:
    path = make.google_search(tmp_path / "gs.csv", range(30))
    lines = run(
        "corpus", "show", path, "--find", "SNIPPET 2", "--json", "-n", 3
    ).stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["GS_2", "GS_20", "GS_21"]


def test_stats_count_what_is_there(run, tmp_path: Path) -> None:
    rows = [*ROWS, {"id": "again", "title": "T", "text": "the TEXT  number 0."}]
    path = make.jsonl(tmp_path / "p.jsonl", rows)
    stats = json.loads(run("corpus", "stats", path, "--json").stdout)
    assert stats["corpus"] == "p"
    assert (stats["passages"], stats["repeated"], stats["untitled"]) == (6, 1, 0)
    assert stats["tokens"] == {"shortest": 5, "median": 5, "95 %": 5, "longest": 5, "all": 30}
    output = run("corpus", "stats", path, "--duplicates", "exact")
    assert re.search(r"passages +5\n", output.stdout)
    assert "1 passage left out: duplicate" in output.stderr


def test_stats_draw_a_histogram(run, tmp_path: Path) -> None:
    path, picture = make.jsonl(tmp_path / "p.jsonl", ROWS), tmp_path / "lengths.svg"
    run("corpus", "stats", path, "--picture", picture)
    root = ElementTree.fromstring(picture.read_text())
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "p: 5 passages" in texts
    assert "median 5" in texts


def test_bars_are_as_high_as_their_counts() -> None:
    svg = histogram_svg({0: 4, 1: 2, 2: 0, 3: 1}, "T", "n", marks={})
    heights = [
        float(bar.get("height", "0"))
        for bar in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect")
    ][1:]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.2)
    assert heights[2] == 0
    assert heights[3] == pytest.approx(heights[0] / 4, abs=0.2)
    assert doctest.testmod(histogram).failed == 0
    with pytest.raises(ValueError, match="no counts"):
        histogram_svg({}, "T", "n", marks={})


def test_the_last_bar_holds_the_few_long_ones() -> None:
    svg = histogram_svg({10: 500, 20: 499, 100_000: 1}, "T", "tokens", marks={"longest": 100_000})
    assert "the last bar holds all from" in svg


def test_make_writes_what_every_command_reads(run, tmp_path: Path) -> None:
    out = tmp_path / "wiki.jsonl.gz"
    result = run(
        *("corpus", "make", make.ENGLISH_DUMP, "--out", out, "--by", "section"),
        *("--min-characters", 200, "--limit", 50),
    )
    assert "50 passages of enwiki-latest" in result.stdout
    assert json.loads(run("corpus", "stats", out, "--json").stdout)["passages"] == 50


def test_one_is_not_said_to_be_several(run, tmp_path: Path) -> None:
    folder, out = tmp_path / "one", tmp_path / "one.jsonl"
    folder.mkdir()
    make.jsonl(folder / "p.jsonl", ROWS[:1])
    (folder / "map.png").write_bytes(b"P")
    result = run("corpus", "make", folder, "--out", out)
    assert "1 passage of one in" in result.stdout
    assert "is read as passages: 1 file. Left out: map.png" in result.stderr
    index = ("--index", tmp_path / "index", "--checkpoint", GOLDEN / "B_preflmr")
    assert "1 passage in" in run("index", "build", out, *index).stdout


def test_passages_without_a_title_can_be_read_again(run, tmp_path: Path) -> None:
    out = tmp_path / "gs.jsonl"
    run("corpus", "make", make.google_search(tmp_path / "gs.csv", range(3)), "--out", out)
    assert json.loads(run("corpus", "stats", out, "--json").stdout)["untitled"] == 3


def test_bad_records_stop_or_are_listed(run, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n{oops\n" + json.dumps(ROWS[1]) + "\n")
    with pytest.raises(InvalidRecord, match="line 2"):
        raise run("corpus", "stats", path, ok=False).exception  # type: ignore[misc]
    result = run("corpus", "stats", path, "--skip-bad", "--json")
    assert json.loads(result.stdout)["passages"] == 2
    assert "1 bad record skipped" in result.stderr
    assert "p.jsonl, line 2: not JSON" in result.stderr


def test_options_that_cannot_be_used(run, tmp_path: Path) -> None:
    path = make.jsonl(tmp_path / "p.jsonl", ROWS)
    for command in ("show", "stats"):
        refused = run("corpus", command, path, "--by", "words", ok=False)
        assert refused.exit_code == 2
        assert "'words' is not one of 'record', 'section', 'tokens', 'sentences'" in refused.output
    with pytest.raises(InvalidSettings, match=r"--size, --overlap: .* got 3"):
        options = ("--by", "tokens", "--size", 3, "--overlap", 3)
        raise run("corpus", "show", path, *options, ok=False).exception  # type: ignore[misc]


def test_short_passages_share_a_ninth_unless_more_is_asked_for(run, tmp_path: Path) -> None:
    text = " ".join(f"Sentence {n} is here." for n in range(40))
    path = make.jsonl(tmp_path / "p.jsonl", [{"id": "a", "text": text}])
    for options, count in (
        ((1,), 40),
        ((18,), 3),
        ((18, "--overlap", 0), 3),
        ((20, "--overlap", 10), 3),
    ):
        out = tmp_path / "out.jsonl"
        run("corpus", "make", path, "--by", "sentences", "--out", out, "--size", *options)
        assert len(out.read_text("utf-8").splitlines()) == count, options


def test_an_index_is_built_of_any_corpus_under_its_own_name(run, tmp_path: Path) -> None:
    folder = tmp_path / "OKVQA_passages"
    for split in ("train", "test"):
        make.m2kr_passages(folder, split)
    index = ("--index", tmp_path / "index", "--checkpoint", GOLDEN / "B_preflmr")
    result = run("index", "build", folder, "--split", "test", *index)
    assert "8 passages in" in result.stdout
    info = json.loads(run("index", "info", "--index", tmp_path / "index", "--json").stdout)
    assert info["corpus"] == "OKVQA_passages/test"


def test_show_says_that_there_are_more(run, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert "There are more: -n 6" in run("corpus", "show", rows).stderr
    assert "more" not in run("corpus", "show", rows, "-n", 5).stderr
    assert "more" not in run("corpus", "show", rows, "--json").stderr


def test_an_index_without_its_option_is_told_of_it(run) -> None:
    result = run("index", "info", "my-index", ok=False)
    assert result.exit_code == 2
    assert "an index is named by --index" in " ".join(result.stderr.replace("│", " ").split())


TABLE = (
    "id,title,text,url,source,entity,section,language\n"
    "1,Kenya,Nairobi is its capital.,https://example.org/k,mine,flag:KE,Capital,en\n"
)


def test_a_table_keeps_every_field_that_a_passage_has(run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TABLE)
    run("corpus", "make", tmp_path / "t.csv", "--out", tmp_path / "t.jsonl")
    names, values = (line.split(",") for line in TABLE.splitlines())
    assert json.loads((tmp_path / "t.jsonl").read_text()) == dict(zip(names, values, strict=True))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--size", "5"], "--size is of --by tokens and sentences"),
        (["--tokenizer", "none.json"], "--tokenizer is of --by tokens"),
        (["--by", "record", "--overlap", "2"], "--overlap is of --by tokens and sentences"),
        (["--split", "train"], "--split is of a folder"),
        (["--language", "English"], "'English' is no code of a language, such as en"),
        (["--min-characters", "1000"], "no passage of t is left"),
    ],
)
def test_what_would_do_nothing_or_leave_nothing_is_refused_and_no_file_lost(
    run, tmp_path: Path, options: list[str], said: str
) -> None:
    (tmp_path / "t.csv").write_text(TABLE)
    out = tmp_path / "t.jsonl"
    out.write_text("kept")
    made = run("corpus", "make", tmp_path / "t.csv", "--out", out, *options, ok=False)
    assert made.exit_code != 0 and said in str(made.exception) + made.output
    assert (tmp_path / "t.jsonl").read_text() == "kept"

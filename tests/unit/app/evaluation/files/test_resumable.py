"""Rows that outlive a killed run, what they are a run of, and when a run ends itself."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidSettings, TooManyFailures
from app.evaluation.files.json_rows import read
from app.evaluation.files.resumable import Breaker, ResumableRows, read_record
from app.evaluation.provenance import folder_sha256, generator_record
from generator.embedded import EmbeddedReader
from generator.server.client import OpenAIGenerator
from tests.scripted import ScriptedGenerator
from tests.tiny_causal import byte_tokenizer, tiny_model

KEY = {"checkpoint": "c", "plan": {"passages": 2, "temperature": 0.35}}


@dataclass(frozen=True)
class Row:
    id: str
    text: str = ""
    a: int = 0


def kept(path: Path, **changed: Any) -> ResumableRows[Row]:
    return ResumableRows(path, Row, KEY | changed)


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_what_python_takes_for_a_lines_end_is_not_one(tmp_path: Path, character: str) -> None:
    row = Row("1", f"one{character}two")
    with kept(tmp_path / "rows.jsonl") as rows:
        rows.add(row)
        rows.add(Row("2"))
    with kept(tmp_path / "rows.jsonl") as rows:
        assert dict(rows) == {"1": row, "2": Row("2")}


def test_half_a_line_is_cut_off_and_nothing_is_written_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with kept(path) as rows:
        rows.add(Row("1"))
    whole = path.read_bytes()
    path.write_bytes(whole + '{"id": "2", "text": "half ä'.encode()[:-1])
    with kept(path) as rows:
        assert list(rows) == ["1"]
        assert path.read_bytes() == whole
        rows.add(Row("3"))
    assert [row.id for row in read(path, Row)] == ["1", "3"]


def test_whole_rows_are_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with kept(path) as rows:
        rows.add(Row("1", a=1))
        rows.add(Row("1", a=2))
    before, inode = path.read_bytes(), path.stat().st_ino
    with kept(path) as rows:
        assert rows["1"] == Row("1", a=2)
    assert (path.read_bytes(), path.stat().st_ino) == (before, inode)


def test_a_damaged_line_costs_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "rows.jsonl"
    with kept(path) as rows:
        rows.add(Row("1"))
    with path.open("ab") as file:
        file.write(b'{"id": "2", "te{"id": "3"}\n\0\0\0\n[4]\n')
        file.write(b'{"text": "no id"}\n{"id": ["6"]}\n{"id": "5"}\n')
    with caplog.at_level(logging.WARNING), kept(path) as rows:
        assert list(rows) == ["1", "5"]
    assert [record.args[1] for record in caplog.records] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"checkpoint": "d"}, "checkpoint is 'c' there and 'd' here"),
        ({"plan": {"passages": 2, "temperature": 1.0}}, "plan.temperature is 0.35 there"),
        ({"plan": {"passages": 2}}, "plan.temperature is 0.35 there and None here"),
        ({"generator": "g"}, "generator is None there"),
    ],
)
def test_another_key_is_refused_with_what_differs(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    path = tmp_path / "rows.jsonl"
    with kept(path) as rows:
        rows.add(Row("1"))
    with pytest.raises(InvalidSettings, match="holds another run") as caught:
        kept(path, **changed)
    assert said in str(caught.value)
    with kept(path) as rows:
        assert list(rows) == ["1"]


def test_before_the_first_row_anything_may_change(tmp_path: Path) -> None:
    with kept(tmp_path / "rows.jsonl"):
        pass
    path = tmp_path / "rows.jsonl"
    with ResumableRows(path, Row, {"other": 1}, notes={"git": "a"}) as rows:
        rows.add(Row("1"))
    with ResumableRows(path, Row, {"other": 1}, notes={"git": "b"}):
        assert read_record(path) == {"other": 1, "git": "b"}
    (tmp_path / "run.json").unlink()
    with pytest.raises(InvalidSettings, match=r"without a run\.json"):
        ResumableRows(path, Row, {"other": 1})


def test_each_file_of_a_folder_has_a_key_of_its_own(tmp_path: Path) -> None:
    for name, key in (("a.jsonl", {"x": 1}), ("b.jsonl", {"x": 2}), ("a.jsonl", {"x": 1})):
        with ResumableRows(tmp_path / name, Row, key) as rows:
            rows.add(Row("1"))
    assert json.loads((tmp_path / "run.json").read_text()) == {"a": {"x": 1}, "b": {"x": 2}}
    with pytest.raises(InvalidSettings, match="x is 2 there and 1 here"):
        ResumableRows(tmp_path / "b.jsonl", Row, {"x": 1})
    with ResumableRows(tmp_path / "b.jsonl", Row, None) as rows:  # as they are
        assert list(rows) == ["1"]


def test_rows_are_put_in_order_and_what_is_not_named_goes(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with kept(path) as rows:
        for number in (3, 1, 2, 1):
            rows.add(Row(str(number), a=len(rows)))
        rows.arrange(["1", "none", "3", "1"])
        assert list(rows) == ["1", "3"]
        assert rows["1"] == Row("1", a=3)
        with pytest.raises(InvalidSettings, match="another process is writing"):
            kept(path)
        rows.add(Row("9"))
    assert [row.id for row in read(path, Row)] == ["1", "3", "9"]
    assert not list(tmp_path.glob("*.partial"))


def test_rows_that_are_not_named_may_stay_behind_the_others(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with kept(path) as rows:
        for number in (3, 1, 2, 1):
            rows.add(Row(str(number), a=len(rows)))
        rows.arrange(["1"], keep=True)
        assert list(rows) == ["1", "3", "2"]
    assert [(row.id, row.a) for row in read(path, Row)] == [("1", 3), ("3", 0), ("2", 2)]


def test_a_hash_is_told_whole_and_what_is_cut_says_so(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with kept(path, checkpoint="a" * 64) as rows:
        rows.add(Row("1"))
    with pytest.raises(InvalidSettings) as caught:
        kept(path, checkpoint="b" * 100)
    assert f"is '{'a' * 64}' there and '{'b' * 78}… here" in str(caught.value)


def test_a_directory_in_the_place_of_rows_is_told(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").mkdir()
    with pytest.raises(InvalidSettings, match="is a directory, and a file of rows is needed"):
        kept(tmp_path / "rows.jsonl")


def test_two_processes_do_not_write_to_one_file(tmp_path: Path) -> None:
    with kept(tmp_path / "rows.jsonl") as rows:
        rows.add(Row("1"))
        with pytest.raises(InvalidSettings, match="another process is writing"):
            kept(tmp_path / "rows.jsonl")
    with kept(tmp_path / "rows.jsonl") as rows:
        assert list(rows) == ["1"]


WRITER = """
import sys
from pathlib import Path
from dataclasses import dataclass
from app.evaluation.files.resumable import ResumableRows
@dataclass(frozen=True)
class Row:
    id: str
    text: str = ""
with ResumableRows(Path(sys.argv[1]), Row, {"a": 1}) as rows:
    print(len(rows), flush=True)
    for number in range(len(rows), 1_000_000):
        rows.add(Row(str(number), "x" * 3000))
        print(number, flush=True)
"""


def test_a_killed_run_keeps_every_row_that_it_told_of(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    told = 0
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert int(process.stdout.readline()) >= told
            for _ in range(20):
                told = int(process.stdout.readline()) + 1
            os.kill(process.pid, signal.SIGKILL)
        with ResumableRows(path, Row, {"a": 1}) as rows:
            assert len(rows) >= told
            assert list(rows) == [str(number) for number in range(len(rows))]


def test_a_run_ends_after_ten_failures_in_a_row_and_not_of_fewer() -> None:
    breaker = Breaker(1000)
    for _ in range(5):
        for _ in range(9):
            breaker.count("GeneratorUnavailable: gone.")
        breaker.count("")
    for _ in range(9):
        breaker.count("GeneratorUnavailable: gone.")
    with pytest.raises(TooManyFailures, match=r"10 questions failed .*: gone\. Put that right"):
        breaker.count("GeneratorUnavailable: gone.")


def test_a_run_of_which_all_fails_ends_too() -> None:
    breaker = Breaker(2)
    breaker.count("X: gone.")
    with pytest.raises(TooManyFailures, match="2 questions failed"):
        breaker.count("X: gone.")


def test_a_run_that_begins_without_a_word_ends_and_later_silence_is_an_answer() -> None:
    breaker = Breaker(1000)
    for _ in range(9):
        breaker.count("", "thinking took all tokens.")
    with pytest.raises(TooManyFailures, match=r"first 10 answers have no word.*took all tokens\."):
        breaker.count("", "thinking took all tokens.")
    breaker = Breaker(1000)
    breaker.count("")
    for _ in range(500):
        breaker.count("", "nothing.")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny_model().save_pretrained(tmp_path / "model")
    byte_tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_weights_behind_a_path_are_part_of_the_key(model: Path) -> None:
    first = generator_record(EmbeddedReader.load(model))
    assert generator_record(EmbeddedReader.load(model)) == first
    changed = tiny_model()
    changed.lm_head.weight.data *= 2
    changed.save_pretrained(model)
    assert generator_record(EmbeddedReader.load(model)) != first
    before = folder_sha256(model)
    (model / "config.json").rename(model / "config2.json")
    assert folder_sha256(model) != before


def remote(**options: Any) -> Iterator[dict[str, Any]]:
    generator = OpenAIGenerator(**{"base_url": "http://u:p@127.0.0.1:9/v1", "model": "m"} | options)
    try:
        yield generator.request_record()
    finally:
        generator.close()


def test_endpoint_picture_size_and_capabilities_are_part_of_the_key() -> None:
    (first,) = remote()
    assert first["url"] == "http://127.0.0.1:9/v1"  # no password in a record
    for options in (
        {"base_url": "http://127.0.0.1:10/v1"},
        {"image_pixels": 1000},
        {"api": "completions"},
        {"max_tokens": 7},
        {"extra_body": {"seed": 1}},
    ):
        (other,) = remote(**options)
        assert other != first
    blind, sees = ScriptedGenerator(str), ScriptedGenerator(str, images=True)
    assert generator_record(blind) != generator_record(sees)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full")
def test_a_full_disk_is_told_with_the_file_that_it_has_no_room_for(tmp_path: Path) -> None:
    record = tmp_path / "run.json"
    record.with_name("run.json.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as told:
        kept(tmp_path / "rows.jsonl")
    assert told.value.filename == str(record)
    record.with_name("run.json.partial").unlink()

    rows = kept(tmp_path / "rows.jsonl")
    rows._file.close()
    rows._file = Path("/dev/full").open("r+b")  # noqa: SIM115 - the rows close it
    with pytest.raises(OSError, match="No space left") as told, rows:
        rows.add(Row("1"))
    assert told.value.filename == str(tmp_path / "rows.jsonl"), "also when it is closed"

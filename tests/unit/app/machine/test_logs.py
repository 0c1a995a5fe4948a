"""Lines of the log: in both forms, with the request's number, and without what users ask."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from app.machine.logs import FIELDS, STRUCK_OUT, JsonFormatter, TextFormatter, use_logs
from app.machine.request import (
    Request,
    current_number,
    each_step,
    keep_private,
    number_from,
    of_request,
)

SECRET = "Où est l'écureuil?"


def record(text: str, level: int = logging.WARNING, **extra: object) -> logging.LogRecord:
    said = logging.LogRecord("app.x", level, "x.py", 1, text, (), None)
    said.__dict__.update(extra)
    return said


def test_a_line_of_json_has_what_is_known() -> None:
    with of_request("r1"):
        line = JsonFormatter().format(record("encode took 3 ms", stage="encode", ms=3.0))
    said = json.loads(line)
    assert said.pop("time").endswith("+00:00")
    assert said == {
        "level": "warning",
        "logger": "app.x",
        "message": "encode took 3 ms",
        "request_id": "r1",
        "stage": "encode",
        "ms": 3.0,
    }
    assert set(FIELDS) >= {"stage", "ms"}
    assert "request_id" not in json.loads(JsonFormatter().format(record("alone")))


def test_a_line_of_text_ends_in_the_number() -> None:
    assert TextFormatter().format(record("a\x1b[31m line")) == "WARNING app.x: a line"
    with of_request("r1"):
        assert TextFormatter().format(record("two\nlines")) == "WARNING app.x: two [r1]\nlines"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_what_is_private_is_struck_out_however_it_is_quoted(formatter: logging.Formatter) -> None:
    with of_request("r1"):
        keep_private(SECRET, "it", "")
        for quoted in (SECRET, repr(SECRET), json.dumps(SECRET)):
            line = formatter.format(record(f"it broke on {quoted}"))
            assert "cureuil" not in line and STRUCK_OUT in line and "it broke" in line
        said = record("it broke")
        try:
            raise KeyError(SECRET)
        except KeyError:
            said.exc_info = sys.exc_info()
        line = formatter.format(said)
        assert "cureuil" not in line and "KeyError" in line
        assert "cureuil" in formatter.format(record(SECRET, logging.DEBUG))
    with of_request("r1"):
        keep_private("\u8fd9\u662f\u8c01?")  # a whole question, of four characters
        assert "\u8c01" not in TextFormatter().format(record("it broke on \u8fd9\u662f\u8c01?"))
    keep_private(SECRET)  # outside of a request there is nobody whose it would be


def test_the_form_and_the_level_are_those_that_are_set() -> None:
    ours = logging.getLogger("app")
    before, handler = ours.level, logging.StreamHandler()
    handler.setFormatter(TextFormatter())
    logging.getLogger().addHandler(handler)
    try:
        use_logs("json", "info")
        assert isinstance(handler.formatter, JsonFormatter)
        assert ours.level == logging.INFO
        use_logs("text", "warning")
        assert isinstance(handler.formatter, TextFormatter)
        assert ours.level == logging.NOTSET
    finally:
        logging.getLogger().removeHandler(handler)
        ours.setLevel(before)


def test_a_number_of_a_header_is_taken_where_it_is_one() -> None:
    assert number_from("a1.B-2_3:4") == "a1.B-2_3:4"
    for given in (None, "", "x" * 65, "a b", "a\nb", "é", "-a", "a;b"):
        made = number_from(given)
        assert made != given and len(made) == 32


def test_steps_belong_to_a_request_and_what_is_between_does_not() -> None:
    seen: list[str] = []

    def steps() -> Iterator[int]:
        try:
            for number in range(3):
                seen.append(current_number())
                yield number
        finally:
            seen.append(current_number())

    running = each_step(Request("r1"), steps())  # type: ignore[arg-type]
    assert next(running) == 0 and current_number() == ""
    with of_request("other"):
        assert next(running) == 1
    running.close()
    assert seen == ["r1", "r1", "r1"] and current_number() == ""

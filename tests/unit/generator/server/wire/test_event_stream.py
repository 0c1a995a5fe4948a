"""Server-sent events, by the standard and as servers send them."""

import pytest

from generator.server.wire.event_stream import EventReader


def read(*parts: bytes) -> list[str]:
    reader = EventReader()
    found = [data for part in parts for data in reader.feed(part)]
    return [*found, *reader.end()]


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"data: one\n\ndata:two\n\n", ["one", "two"]),
        (b"data: one\r\n\r\ndata: two\r\rdata: three\n\n", ["one", "two", "three"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        # What is no data: waits, ids, names, comments, and data without any.
        (b"retry: 3000\n\nid: 7\n: ping\nevent: x\n\ndata:\n\ndata\n\ndata: one\n\n", ["one"]),
        (b"\xef\xbb\xbfdata: one\n\n", ["one"]),
        # The end of the stream ends an event too.
        (b"data: one\n\ndata: [DONE]", ["one", "[DONE]"]),
        # U+2028 and U+0085 end no line.
        ("data: a\u2028b\x85c\n\n".encode(), ["a\u2028b\x85c"]),
        (b"", []),
    ],
)
def test_events_have_their_data(stream: bytes, data: list[str]) -> None:
    assert read(stream) == data
    assert read(*(stream[i : i + 1] for i in range(len(stream)))) == data


def test_a_carriage_return_at_the_end_of_a_part_may_be_half_a_line_end() -> None:
    assert read(b"data: a\r", b"\ndata: b\r", b"\r", b"\ndata: c\n\n") == ["a\nb", "c"]


def test_what_is_not_utf8_is_an_error() -> None:
    with pytest.raises(UnicodeDecodeError):
        read(b"data: caf\xe9\n\n")


def test_what_is_named_an_error_is_one_whatever_it_holds() -> None:
    reader = EventReader()
    sent = b'event: error\ndata: died\n\nevent: error\ndata: {"error": 7}\n\ndata: died\n\n'
    assert list(reader.feed(sent)) == ['{"error": "died"}', '{"error": 7}', "died"]
    assert list(reader.feed(b'event: error\ndata: {"message": "x"}\n\n')) == [
        '{"error": {"message": "x"}}'
    ]

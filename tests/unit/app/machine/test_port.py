"""Whether a port is free."""

import socket

import pytest

from app.errors import InvalidSettings, PortInUse
from app.machine.port import check_port


def test_a_port_in_use_is_reported_with_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"{port}.*--port or KBVQA_PORT"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_reported() -> None:
    # 203.0.113.0/24 is reserved for documentation.
    with pytest.raises(InvalidSettings, match=r"203\.0\.113\.1.*KBVQA_HOST"):
        check_port("203.0.113.1", 7860)

"""Whether a port is free, asked before anything heavy is imported or loaded."""

import errno
import socket

from app.errors import InvalidSettings, PortInUse


def check_port(host: str, port: int) -> None:
    """Return when the page can be served on `host` and `port`.

    Raises:
        PortInUse: another program listens there.
        InvalidSettings: the address is not one of this machine, or the port is not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is in use by another program; stop it, or choose another "
                "port with --port or KBVQA_PORT"
            ) from exc
        raise InvalidSettings(
            f"the page cannot be served on {host}, port {port}: {exc.strerror}; choose another "
            "with --host or KBVQA_HOST, --port or KBVQA_PORT"
        ) from exc

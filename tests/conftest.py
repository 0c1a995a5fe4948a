"""What all tests share."""

import signal


def pytest_configure() -> None:
    """End as by Ctrl-C where a run is told to end, so that the servers that it started end too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)

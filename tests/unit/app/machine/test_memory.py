"""Threads share arenas, as glibc itself reports them."""

import os
import platform
import subprocess
import sys

import pytest

# Prints whether they share, and how many arenas there are after twelve threads allocated.
COUNT = """
import ctypes, tempfile, threading
from app.machine.memory import share_arenas
print(share_arenas())
libc, together = ctypes.CDLL(None), threading.Barrier(12)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
def allocate():
    together.wait()
    for _ in range(1000):
        libc.malloc(1000)
threads = [threading.Thread(target=allocate) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.fopen.restype, libc.malloc_info.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
with tempfile.NamedTemporaryFile() as file:
    stream = libc.fopen(file.name.encode(), b"w")
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(file.read().count(b"<heap nr="))
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas are glibc's")


def arenas(**environment: str) -> tuple[str, int]:
    inherited = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    inherited.pop("GLIBC_TUNABLES", None)
    said = subprocess.run(
        [sys.executable, "-c", COUNT],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return said[0], int(said[1])


@glibc
def test_threads_share_two_arenas() -> None:
    assert arenas() == ("True", 2)


@glibc
@pytest.mark.parametrize(
    "chosen", [{"MALLOC_ARENA_MAX": "5"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=5"}]
)
def test_what_the_environment_says_goes_before(chosen: dict[str, str]) -> None:
    shared, count = arenas(**chosen)
    assert shared == "False" and 2 < count <= 5

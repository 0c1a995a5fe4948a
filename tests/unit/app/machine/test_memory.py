"""Threads share arenas, as glibc itself reports them; holes go back; oneDNN keeps little code."""

import os
import platform
import subprocess
import sys

import pytest

from app.machine.memory import GiveBack

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


# Allocates 100 MiB in pieces that are no mappings of their own, frees all but every hundredth, so
# that the end of the heap stays in use; prints MiB in memory before and after holes went back.
HOLES = """
import ctypes, os
from app.machine.memory import GiveBack
from benchmarks.growth import MIB, look
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
pieces = [libc.malloc(100_000) for _ in range(MIB // 1000)]
for piece in pieces:
    ctypes.memset(piece, 1, 100_000)
for number, piece in enumerate(pieces):
    if number % 100 != 99:
        libc.free(piece)
give_back, before = GiveBack(), look(os.getpid()).anonymous
print(before / MIB, give_back(), look(os.getpid()).anonymous / MIB, give_back())
"""


@glibc
def test_holes_go_back_to_the_system() -> None:
    said = subprocess.run(
        [sys.executable, "-c", HOLES], capture_output=True, text=True, check=True
    ).stdout.split()
    before, after = float(said[0]), float(said[2])
    assert before > 100 and after < before - 80
    assert (said[1], said[3]) == ("True", "False")  # the second came a moment later


@glibc
def test_holes_go_back_again_after_a_while() -> None:
    times = iter([0.0, 1.0, 2.0, 30.9, 31.1, 40.0, 62.0])
    give_back = GiveBack(30.0, lambda: next(times))
    assert [give_back() for _ in range(6)] == [True, False, False, True, False, True]


# Runs a command as a user does, then texts of 400 lengths; prints how many MiB those took.
LENGTHS = """
import os, sys
from app.cli import main
sys.argv = ["kbvqa", "--version"]
try:
    main()
except SystemExit:
    pass
assert "torch" not in sys.modules, "it reads the setting when it first computes"
import torch
from benchmarks.growth import MIB, look
from retriever.encoding.onednn import use_onednn
torch.set_num_threads(1)
layers = torch.nn.Sequential(torch.nn.Linear(384, 96), torch.nn.Linear(96, 384))
use_onednn(layers)
with torch.inference_mode():
    layers(torch.zeros(1000, 384))
    before = look(os.getpid()).resident
    for length in range(100, 500):
        layers(torch.zeros(length, 384))
print((look(os.getpid()).resident - before) / MIB)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere oneDNN makes less code")
def test_texts_of_every_length_take_bounded_memory() -> None:
    def taken(**environment: str) -> float:
        inherited = {name: value for name, value in os.environ.items() if "CACHE_CAP" not in name}
        said = subprocess.run(
            [sys.executable, "-c", LENGTHS],
            env=inherited | environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return float(said.split()[-1])

    caches = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
    as_it_was = taken(**dict.fromkeys(caches, "1024"))  # what the environment says goes before
    assert taken() < as_it_was * 3 / 4

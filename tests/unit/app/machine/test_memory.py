"""Threads share arenas, as glibc itself reports them, and oneDNN keeps little code."""

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

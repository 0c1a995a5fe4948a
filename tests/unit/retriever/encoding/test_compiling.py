"""What torch compiles also runs where it cannot compile."""

import logging
import shutil
from collections.abc import Iterator

import pytest
import torch
from torch._inductor import config

from retriever.encoding.compiling import CompiledFunction


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "retriever.encoding.compiling"]


@pytest.fixture
def no_compiler() -> Iterator[None]:
    torch.compiler.reset()
    with config.patch({"cpp.cxx": ("/nowhere/g++",), "force_disable_caches": True}):
        yield
    torch.compiler.reset()


def best(rows: torch.Tensor, least: float = 0.0) -> torch.Tensor:
    return (rows * 2 + 1).relu().amax(dim=0).clamp(min=least)


def test_without_a_compiler_the_function_runs_as_it_is(
    no_compiler: None, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RuntimeError):
        torch.compile(best)(torch.randn(3, 4))
    compiled = CompiledFunction(best)
    with caplog.at_level(logging.WARNING):
        for size in (4, 5, 6):
            rows = torch.randn(3, size)
            torch.testing.assert_close(compiled(rows, least=0.5), best(rows, 0.5))
    (message,) = warnings_of(caplog)
    assert message.startswith("torch cannot compile here")
    assert "No working C++ compiler found" in message


def test_an_error_of_the_function_is_its_own(
    no_compiler: None, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RuntimeError, match="must match"):
        CompiledFunction(torch.add)(torch.zeros(2), torch.zeros(3))
    assert warnings_of(caplog) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="the compiler of torch.compile is missing")
def test_with_a_compiler_it_is_compiled(caplog: pytest.LogCaptureFixture) -> None:
    compiled, rows = CompiledFunction(best), torch.randn(3, 4)
    torch.testing.assert_close(compiled(rows), best(rows))
    assert warnings_of(caplog) == []

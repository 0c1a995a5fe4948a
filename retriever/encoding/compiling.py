"""Functions that torch compiles, where it can.

On a GPU torch has Triton compile, which needs a C compiler and Python's headers; on a CPU a C++
compiler. A slim image has neither. What is compiled there is only faster, so it runs as it is.
"""

import logging
from collections.abc import Callable
from subprocess import SubprocessError
from typing import Generic, ParamSpec, TypeVar

import torch

Given = ParamSpec("Given")
Value = TypeVar("Value")

# What torch, Triton and the compilers they start raise. Each names its cause in its own way.
_CANNOT_COMPILE = (RuntimeError, OSError, ImportError, SubprocessError)

logger = logging.getLogger(__name__)


class CompiledFunction(Generic[Given, Value]):
    """A function, compiled by torch at its first call and for new kinds of arguments.

    Or `compiled`, which computes the same and is compiled when it is called, as a Triton kernel is.
    Where that fails and the function itself does not, it is called as it is from then on, and a
    warning says why. Threads may share one.
    """

    def __init__(
        self, function: Callable[Given, Value], compiled: Callable[Given, Value] | None = None
    ) -> None:
        self._function = function
        self._call: Callable[Given, Value] = compiled or torch.compile(function, dynamic=True)

    def __call__(self, *args: Given.args, **kwargs: Given.kwargs) -> Value:
        """Return the function's value."""
        try:
            return self._call(*args, **kwargs)
        except torch.OutOfMemoryError:
            raise
        except _CANNOT_COMPILE as exc:
            value = self._function(*args, **kwargs)  # the error is its own where it has one
            if self._call is not self._function:
                self._call = self._function
                reason = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
                logger.warning(
                    "torch cannot compile here, and goes on without, which is slower: %s. It needs "
                    "a C compiler and Python's headers (Debian: gcc, python3-dev)",
                    reason,
                )
            return value

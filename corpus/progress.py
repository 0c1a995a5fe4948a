"""How long work tells whoever waits for it."""

from collections.abc import Callable

# Told in words what is done now.
Say = Callable[[str], None]
# Told how much is done, and of how much.
Advance = Callable[[int, int], None]

"""Keys: several in one text, and in files, as container engines hand them out."""

import re
from collections.abc import Mapping
from pathlib import Path

from app.errors import InvalidSettings


def keys_in(text: str) -> tuple[str, ...]:
    """Return the keys of a text that has commas or line ends between them."""
    return tuple(key for part in re.split(r"[,\n]", text) if (key := part.strip()))


def require_safe(keys: tuple[str, ...]) -> None:
    """Raise ValueError where there is no key, one could be guessed, or no header could carry it."""
    if not keys:
        raise ValueError("there is no key in it: give one, or unset it, which opens the API")
    for number, key in enumerate(keys, start=1):
        if not 16 <= len(key) <= 256 or re.search(r"[^!-~]", key):
            raise ValueError(
                f"key {number} is not 16 to 256 letters, digits and signs of ASCII without "
                "spaces: make one with `openssl rand -hex 24`"
            )


def key_in_file(variable: str, environment: Mapping[str, str]) -> str:
    """Return the key in the file that a variable names, without its line end; "" if none.

    /dev/null stands for no key. A file that is empty is an error: a failed `... > secrets/keys`
    leaves one, and whoever names it does not mean to let everybody in. A byte order mark before a
    key is not of it.
    """
    path = environment.get(variable)
    if not path:
        return ""
    try:
        key = Path(path).expanduser().read_text(encoding="utf-8-sig").strip()
    except (OSError, RuntimeError, UnicodeDecodeError) as exc:
        raise InvalidSettings(
            f"{variable} names {path!r}, which cannot be read: {exc}. It must be a text file that "
            "the user of this process may read"
        ) from exc
    itself = variable.removesuffix("_FILE")
    if not key and Path(path).expanduser().is_file():
        raise InvalidSettings(
            f"{variable} names {path!r}, which is empty. Write a key into it, or where none is "
            "meant, unset it or name /dev/null"
        )
    if key and environment.get(itself):
        raise InvalidSettings(f"{itself} and {variable} both give a key: unset one of them")
    return key

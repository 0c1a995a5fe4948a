"""Where a checkpoint's files are: a local directory, kbvqa-mini's, or a hub repository's.

The one place that looks: whatever loads one takes its directory from here.
"""

import os
from pathlib import Path

from retriever.checkpoint import mini
from retriever.errors import InvalidCheckpoint

# What a released repository holds beside its code, which is never run.
_PATTERNS = ["*.json", "*.safetensors", "vocab.txt", "*/vocab.txt", "*/*.json"]


def to_give(name: str) -> str:
    """Return what to give for a checkpoint of a name: of a directory its last part alone is known.

    >>> to_give("LinWeizheDragon/PreFLMR_ViT-L"), to_give("mine")
    ('LinWeizheDragon/PreFLMR_ViT-L', 'DIRECTORY/mine')
    """
    return name if name == mini.NAME or "/" in name else f"DIRECTORY/{name}"


def resolve(
    location: Path | str, revision: str | None = None, assembled: Path | None = None
) -> Path:
    """Return the local directory of a checkpoint, which is fetched or assembled if need be.

    Args:
        location: "kbvqa-mini", a directory, or the id of a hub repository, such as
            LinWeizheDragon/PreFLMR_ViT-L.
        revision: branch, tag or commit of the repository; None for the newest.
        assembled: where kbvqa-mini is put together; None for kbvqa's home directory.

    Raises:
        InvalidCheckpoint: no such directory, the hub did not give the repository, or a package
            with kbvqa-mini's towers is missing.
    """
    if location == mini.NAME:
        return mini.assemble(assembled)
    path = Path(os.path.expanduser(location))  # noqa: PTH111 - which refuses nothing
    if path.is_dir():
        return path
    if path.exists() or str(location).count("/") != 1 or str(location).startswith((".", "/", "~")):
        raise InvalidCheckpoint(
            f"{location}: not a checkpoint directory. Give a directory with config.json, or a "
            "hub repository id such as LinWeizheDragon/PreFLMR_ViT-L."
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(location), revision=revision, allow_patterns=_PATTERNS))
    except Exception as exc:
        raise InvalidCheckpoint(
            f"{location}: no such directory, and the hub did not give it ({type(exc).__name__}). "
            "Check the id and the connection, or download the repository elsewhere and give "
            "its directory."
        ) from exc

"""What is installed on demand only: the extras of pyproject.toml, and what needs them."""

from importlib.util import find_spec

from app.errors import MissingExtra

# By extra: the packages that are imported, and what needs them.
EXTRAS = {
    "web": (("gradio", "fastapi", "uvicorn", "prometheus_client"), "`kbvqa web`"),
    "mcp": (("mcp",), "`kbvqa mcp`"),
    "train": (
        ("accelerate", "peft"),
        "training (`kbvqa train retriever|generator`, `kbvqa study`)",
    ),
}


def require(extra: str) -> None:
    """Raise MissingExtra, with what to install, unless an extra's packages are there."""
    _, needs = EXTRAS[extra]
    if lacking := missing(extra):
        raise MissingExtra(
            f"{needs} needs {', '.join(lacking)}, not installed here: pip install 'kbvqa[{extra}]'"
        )


def missing(extra: str) -> list[str]:
    """Return the names of an extra's packages that are not installed."""
    packages, _ = EXTRAS[extra]
    return [name for name in packages if find_spec(name) is None]

"""What is installed: the version, which extras of pyproject.toml, and what needs them."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from app.errors import MissingExtra

# By extra: the packages that are imported, and what needs them.
EXTRAS = {
    "web": (("gradio", "fastapi", "uvicorn", "prometheus_client"), "`kbvqa web`"),
    "mcp": (("mcp",), "`kbvqa mcp`"),
    "trace": (
        ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ),
    "train": (
        ("accelerate", "peft"),
        "training (`kbvqa train retriever|generator`, `kbvqa study`)",
    ),
}


def own_version() -> str:
    """Return kbvqa's version; "unknown" where it is used from its source, not installed."""
    try:
        return version("kbvqa")
    except PackageNotFoundError:
        return "unknown"


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
    return [name for name in packages if not _is_there(name)]


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # nor what it would be in
        return False

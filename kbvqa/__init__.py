"""Knowledge questions about pictures, answered with the passages that prove it.

    encoder = Encoder.from_pretrained("kbvqa-mini")
    index = PassageIndex.build("two-countries", passages, encoder)
    pipeline = Pipeline(encoder, index, Reader.from_pretrained())
    print(pipeline.ask(Query("What is the capital?", image)).answer.text)

These are the public names; the packages behind them may move. A name is imported when it is first
used, so that `import kbvqa` costs nothing.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.asking.why import explain
    from app.flow.events import Found, Piece, Result, Waiting
    from app.pipeline import Pipeline
    from app.reader import Reader
    from corpus.errors import KbvqaError
    from corpus.types import Citation, Hit, Passage, Query
    from generator.answers.answer import Answer
    from generator.rewriting import Turn
    from generator.server.client import OpenAIGenerator as Generator
    from retriever.encoding.encoder import Encoder
    from retriever.encoding.queries import EncodedQuery
    from retriever.index.filters import PassageFilter
    from retriever.index.passage_index import PassageIndex
    from retriever.pictures.collection import PictureCollection
    from retriever.scoring import maxsim

_HOMES = {
    "Answer": "generator.answers.answer:Answer",
    "Citation": "corpus.types:Citation",
    "EncodedQuery": "retriever.encoding.queries:EncodedQuery",
    "Encoder": "retriever.encoding.encoder:Encoder",
    "Found": "app.flow.events:Found",
    "Generator": "generator.server.client:OpenAIGenerator",
    "Hit": "corpus.types:Hit",
    "KbvqaError": "corpus.errors:KbvqaError",
    "Passage": "corpus.types:Passage",
    "PassageFilter": "retriever.index.filters:PassageFilter",
    "PassageIndex": "retriever.index.passage_index:PassageIndex",
    "PictureCollection": "retriever.pictures.collection:PictureCollection",
    "Piece": "app.flow.events:Piece",
    "Pipeline": "app.pipeline:Pipeline",
    "Query": "corpus.types:Query",
    "Reader": "app.reader:Reader",
    "Result": "app.flow.events:Result",
    "Turn": "generator.rewriting:Turn",
    "Waiting": "app.flow.events:Waiting",
    "explain": "app.asking.why:explain",
    "maxsim": "retriever.scoring:maxsim",
}

__all__ = [  # noqa: RUF022  (in the order of use)
    "Passage", "Query", "Hit", "Answer", "Citation",
    "Encoder", "EncodedQuery", "maxsim", "PassageIndex", "PassageFilter",
    "Reader", "Generator", "PictureCollection", "Pipeline", "Turn", "Result", "Found", "Waiting",
    "Piece", "explain",
    "KbvqaError",
]  # fmt: skip

try:
    __version__ = version("kbvqa")
except PackageNotFoundError:  # used from its source, not installed
    __version__ = "unknown"


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place, _, attribute = _HOMES[name].partition(":")
    for package in ("app", "retriever", "generator", "corpus"):
        _require_ours(package)
    found: object = getattr(import_module(place), attribute)
    globals()[name] = found
    return found


def _require_ours(package: str) -> None:
    """Raise ImportError where something else of the package's name comes first on sys.path."""
    spec = find_spec(package)
    if spec is None:
        return  # importing it says so
    places = list(spec.submodule_search_locations or [str(spec.origin)])
    ours = Path(__file__).resolve().parents[1] / package
    if ours not in [Path(place).resolve() for place in places]:
        raise ImportError(
            f"{places[0]} is in the way: it is not kbvqa's {package!r}, and comes first on "
            "sys.path. Rename it, or start elsewhere"
        )


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

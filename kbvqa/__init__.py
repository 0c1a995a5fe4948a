"""Knowledge questions about pictures, answered with the passages that prove it.

    encoder = Encoder.from_pretrained("kbvqa-mini")
    index = PassageIndex.build("two-countries", passages, encoder)
    pipeline = Pipeline(encoder, index, Reader.from_pretrained())
    print(pipeline.ask(Query("What is the capital?", image)).answer)

These are the public names; the packages behind them may move. A name is imported when it is first
used, so that `import kbvqa` costs nothing.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.pipeline import Pipeline, Result
    from corpus.errors import KbvqaError
    from corpus.types import Answer, Citation, Hit, Passage, Query
    from generator.client import OpenAIGenerator as Generator
    from generator.extractive.reader import ExtractiveReader as Reader
    from retriever.encoder import EncodedQuery, Encoder
    from retriever.filters import PassageFilter
    from retriever.index import PassageIndex
    from retriever.scoring import maxsim

_HOMES = {
    "Answer": "corpus.types:Answer",
    "Citation": "corpus.types:Citation",
    "EncodedQuery": "retriever.encoder:EncodedQuery",
    "Encoder": "retriever.encoder:Encoder",
    "Generator": "generator.client:OpenAIGenerator",
    "Hit": "corpus.types:Hit",
    "KbvqaError": "corpus.errors:KbvqaError",
    "Passage": "corpus.types:Passage",
    "PassageFilter": "retriever.filters:PassageFilter",
    "PassageIndex": "retriever.index:PassageIndex",
    "Pipeline": "app.pipeline:Pipeline",
    "Query": "corpus.types:Query",
    "Reader": "generator.extractive.reader:ExtractiveReader",
    "Result": "app.pipeline:Result",
    "maxsim": "retriever.scoring:maxsim",
}

__all__ = [  # noqa: RUF022  (in the order of use)
    "Passage", "Query", "Hit", "Answer", "Citation",
    "Encoder", "EncodedQuery", "maxsim", "PassageIndex", "PassageFilter",
    "Reader", "Generator", "Pipeline", "Result", "KbvqaError",
]  # fmt: skip

try:
    __version__ = version("kbvqa")
except PackageNotFoundError:  # used from its source, not installed
    __version__ = "unknown"


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place, _, attribute = _HOMES[name].partition(":")
    module = import_module(place)
    if not Path(str(module.__file__)).is_relative_to(Path(__file__).parents[1]):
        raise ImportError(
            f"{place} is found at {module.__file__}, which is not kbvqa's: another package of that "
            "name comes first on sys.path. Rename yours, or start elsewhere"
        )
    found: object = getattr(module, attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

"""The last results, given again where the same is asked of the same picture.

    repeats = Repeats(100)
    key = key_of(pipeline, query, top_k, strategy=None, sources=())
    if (result := repeats.get(key)) is None:
        ...
        repeats.keep(key, result)

A key is a hash of all that decides a result: the pixels, the question and every option, the
checkpoint, what answers, and the build of the index that is there now; and of the API key that it
came with, so that no one is told what another asked. Not of how long an answer is of use: one that
was kept is there at once. Neither pictures nor questions are kept.
"""

import threading
from collections import OrderedDict
from hashlib import sha256

from app.flow.events import Result
from app.machine.request import current, ends
from app.pipeline import Pipeline
from corpus.pictures.images import as_rgb
from corpus.types import Query
from retriever.engines.deadline import wanted_until


class Repeats:
    """Results by their keys, the one that was asked for longest ago forgotten first.

    Args:
        most: results that are kept; 0 keeps none.
    """

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._results: OrderedDict[str, Result] = OrderedDict()

    def __bool__(self) -> bool:
        """Return whether any are kept."""
        return self._most > 0

    def get(self, key: str) -> Result | None:
        """Return what came of the same; None where it was not asked, or long ago."""
        with self._lock:
            result = self._results.get(key)
            if result is not None:
                self._results.move_to_end(key)
            return result

    def keep(self, key: str, result: Result) -> None:
        """Keep a result; not one that failed, for which it may be different the next time."""
        if result.failure is not None:
            return
        with self._lock:
            self._results[key] = result
            self._results.move_to_end(key)
            while len(self._results) > self._most:
                self._results.popitem(last=False)


def key_of(pipeline: Pipeline, query: Query, top_k: int, **how: object) -> str:
    """Return the key of a question.

    Args:
        pipeline: that is asked.
        query: with its picture, decoded.
        top_k: passages to show.
        how: all else that `Pipeline.run` takes, which says what it is by its repr.

    Raises:
        RetrieverError: the index is away, or has been replaced by one of another checkpoint.
    """
    request = current()
    image, index = query.image and as_rgb(query.image), pipeline.index
    with wanted_until(ends()):
        build = index.current_build().id if index is not None else ""
    parts = (
        (image.size, sha256(image.tobytes()).hexdigest()) if image is not None else (),
        (query.question.strip(), query.instruction, query.boxes, top_k),
        sorted(how.items()),
        request.key if request else "",
        pipeline.encoder.checkpoint.revision,
        pipeline.generator.name if pipeline.generator else "",
        build,
    )
    return sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()

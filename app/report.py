"""Results as plain data: what --json prints and what evaluation writes."""

from typing import Any

from app.pipeline import Result


def result_as_json(result: Result) -> dict[str, Any]:
    """Return a result as one JSON object.

    "citations" holds passage ids; "hits" holds the passages found, best first.
    """
    answer, retrieval = result.answer, result.retrieval
    return {
        "answer": answer.text if answer else None,
        "citations": [citation.passage_id for citation in answer.citations] if answer else [],
        "unsure": retrieval.unsure,
        "hits": [
            {
                "passage_id": hit.passage.id,
                "title": hit.passage.title,
                "text": hit.passage.text,
                "score": round(hit.score, 4),
            }
            for hit in retrieval.hits
        ],
        "seen": retrieval.seen,
        "timings_ms": result.timings_ms,
        "checkpoint": result.checkpoint,
        "generator": result.generator,
    }

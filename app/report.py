"""Results as plain data: what --json prints and what evaluation writes."""

from dataclasses import asdict
from typing import Any

from app.answering import Outcome
from app.pipeline import Result


def result_as_json(result: Result) -> dict[str, Any]:
    """Return a result as one JSON object.

    "answer" is what is shown, null where there is none; "failure" then says why. "citations"
    holds passage ids; "hits" holds the passages found, best first.
    """
    answer, retrieval = result.answer, result.retrieval
    return {
        "answer": answer.text if answer else None,
        "citations": [citation.passage_id for citation in answer.citations] if answer else [],
        "failure": str(result.failure or ""),
        "unsure": retrieval.unsure or (result.outcome is not None and not _sure(result.outcome)),
        **(_answering(result.outcome) if result.outcome else {}),
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
        "question_tokens_cut": retrieval.cut,
        "timings_ms": result.timings_ms,
        "checkpoint": result.checkpoint,
        "generator": result.generator,
    }


def _sure(outcome: Outcome) -> bool:
    return outcome.confidence.verdict == "given"


def _answering(outcome: Outcome) -> dict[str, Any]:
    """Return how an answer came about, and how far to trust it."""
    confidence, reply = outcome.confidence, outcome.reply
    return {
        "confidence": None if confidence.value is None else round(confidence.value, 4),
        "verdict": confidence.verdict,
        "reasons": list(confidence.reasons),
        "withheld": reply.answer.text if confidence.verdict == "withheld" else None,
        "strategy": reply.strategy,
        "saw_picture": reply.saw_picture,
        "evidence": asdict(reply.evidence),
        "candidates": [asdict(candidate) for candidate in reply.candidates],
        "prompts": [asdict(asked) for asked in reply.asked],
        "usage": asdict(reply.usage),
    }

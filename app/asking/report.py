"""Results as plain data: what --json prints and what evaluation writes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from app.asking.why import Why
from app.flow.events import Result, Retrieval
from generator.answers.answer import Answer
from generator.rewriting import Turn


def result_as_json(result: Result, why: Why | None = None) -> dict[str, Any]:
    """Return a result as one JSON object.

    "answer" is what is shown, null where there is none; "failure" then says why. "citations" holds
    passage ids; "cited_words" where in their texts the words of the answer begin and end; "hits"
    the passages found, best first; "read" the numbers of those that were read, from 1, of which
    some may not be among the hits; "notes" what to know beside the answer. Where it is asked for,
    "why" says what matched what (app.asking.why), and "given" the passages exactly as what answers
    was given them, with the tokens that were cut. "asked_as" is the question as it was made to
    stand alone and its slips were mended, "" where it was asked as it is; "about" the name of what
    the answer is about, "" where that is in doubt. "picture" is a hash of the picture's pixels, by
    which a follow-up on another one is told apart; "" for a question without one. "request_id" is
    there where the request has a number, under which the log has it; "repeated" where the result
    was kept from before. Of what was only looked for there is less: `search_as_json`.
    """
    answer = result.answer
    return {
        "answer": answer.text if answer else None,
        "citations": [citation.passage_id for citation in answer.citations] if answer else [],
        "cited_words": _cited_words(answer) if answer else {},
        "failure": str(result.failure or ""),
        "about": result.about,
        "unsure": answer.confidence.verdict != "given" if answer else result.retrieval.unsure,
        **_answering(answer),
        **search_as_json(result, why),
        "generator": result.generator,
        **({"given": _given(answer)} if why else {}),
    }


def search_as_json(result: Result, why: Why | None = None) -> dict[str, Any]:
    """Return a result for which no answer was wanted as one JSON object; see `result_as_json`."""
    return {
        "picture": result.picture,
        "notes": list(result.notes),
        **found_as_json(result.retrieval),
        "timings_ms": result.timings_ms,
        "checkpoint": result.checkpoint,
        **({"request_id": result.request_id} if result.request_id else {}),
        **({"repeated": True} if result.repeated else {}),
        **({"why": why.as_json()} if why else {}),
    }


def recorded(question: str, said: Mapping[str, Any], after: Sequence[Turn] = ()) -> dict[str, Any]:
    """Return a result, as JSON, with what was asked and when: what is kept of an answer.

    "id" is of this question alone, 32 hexadecimal digits; "time" is UTC, ISO 8601; "after" are the
    turns before it, where there were some. See app.flow.talk for the way back.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    before = {"after": [asdict(turn) for turn in after]} if after else {}
    return {"id": uuid4().hex, "time": now, "question": question.strip(), **before, **said}


def found_as_json(retrieval: Retrieval) -> dict[str, Any]:
    """Return what was found, as it stands in a result."""
    return {
        "hits": [
            {
                "passage_id": hit.passage.id,
                "title": hit.passage.title,
                "section": hit.passage.section,
                "url": hit.passage.url,
                "text": hit.passage.text,
                "score": round(hit.score, 4),
            }
            for hit in retrieval.hits
        ],
        "seen": retrieval.seen,
        "recognised": list(retrieval.recognised),
        "asked_as": retrieval.asked_as,
        "sources": list(retrieval.sources),
        "similar": [
            {**asdict(picture), "similarity": round(picture.similarity, 4)}
            for picture in retrieval.named
        ],
        "boxes": [list(box) for box in retrieval.boxes],
        "question_tokens_cut": retrieval.cut,
    }


def _cited_words(answer: Answer) -> dict[str, list[list[int]]]:
    """Return by cited passage where in its text the words of the answer are, where known."""
    return {c.passage_id: [list(s) for s in sorted(c.spans)] for c in answer.citations if c.spans}


def _given(answer: Answer | None) -> list[dict[str, Any]]:
    """Return the passages exactly as what answers was given them."""
    return [asdict(text) for text in answer.original.given] if answer else []


def _answering(answer: Answer | None) -> dict[str, Any]:
    """Return how an answer came about, and how far to trust it; None for no answer."""
    if answer is None:
        return {"confidence": None, "verdict": None, "reasons": []}
    confidence = answer.confidence
    return {
        "confidence": None if confidence.value is None else round(confidence.value, 4),
        "fitted_on_another_corpus": confidence.foreign,
        "verdict": confidence.verdict,
        "reasons": list(confidence.reasons),
        "doubted": confidence.doubted,
        "withheld": answer.withheld.text if answer.withheld else None,
        "strategy": answer.strategy,
        "read": list(answer.original.read),
        "saw_picture": answer.saw_picture,
        "evidence": asdict(answer.evidence),
        "candidates": [asdict(candidate) for candidate in answer.candidates],
        "prompts": [asdict(prompt) for prompt in answer.prompts],
        "usage": asdict(answer.usage),
    }

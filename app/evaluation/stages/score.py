"""The third stage: what was found and said to scores, and what went wrong.

It needs neither checkpoint, index nor generator. What was not answered scores 0, and what has
changed since it was answered counts as not answered.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from app.errors import InvalidSettings
from app.evaluation.benchmarks.benchmark import Benchmark
from app.evaluation.files.resumable import ResumableRows
from app.evaluation.provenance import digest
from app.evaluation.record import AnswerRow, Condition, Fate, RetrievalRow, ScoreRow
from app.evaluation.stages.answer import Name, answer_key
from app.evaluation.stages.pictures import Pictures, same_key
from app.evaluation.stages.retrieve import current_row, judged_by
from app.evaluation.stages.tell import Tell
from corpus.errors import Unscorable
from corpus.types import Example
from retriever.metrics import recall_at_k

RECALL_AT = (1, 5, 10, 20, 50, 100, 500)
RIGHT_FROM = 0.5
NOT_ASKED = "NotAsked: nothing was asked, or the example has changed since"
NOT_SEARCHED = "NotSearched: nothing was searched, or the example has changed since"


def score_name(row: ScoreRow) -> Name:
    """Return the name of a row: its condition and its example."""
    return (row.condition, row.id)


class Scorer:
    """Scores examples.

    Args:
        benchmark: what counts as right.
        pictures: of its examples.
        found: what was retrieved; None without retrieval.
        answers: what was said; None where nothing was asked.
        depth: recall is given up to it, and at it; no more than was searched for.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        pictures: Pictures,
        found: ResumableRows[RetrievalRow] | None,
        answers: ResumableRows[AnswerRow] | None,
        depth: int,
    ) -> None:
        self._benchmark, self._pictures = benchmark, pictures
        self._found, self._answers, self._depth = found, answers, depth
        self._scoring = benchmark.scoring or benchmark.headline

    def all(
        self, conditions: Sequence[Condition], rows: ResumableRows[ScoreRow], tell: Tell
    ) -> int:
        """Add the scores that are not there yet or would be others now; return how many.

        Raises:
            InvalidSettings: hits were looked through for other answers than there are now.
        """
        total = len(conditions) * len(self._benchmark.examples)
        done = made = 0
        for condition in conditions:
            for example in self._benchmark.examples:
                made += self._score(condition, example, rows)
                done += 1
                if done % 256 == 0 or done == total:
                    tell(done, total, 0)
        return made

    def names(self, conditions: Sequence[Condition]) -> Iterator[Name]:
        """Yield the names of the rows that there are to be, in their order."""
        for condition in conditions:
            for example in self._benchmark.examples:
                if self._applies(condition, self._rows(condition, example)[0]):
                    yield (condition, example.id)

    def _applies(self, condition: Condition, found: RetrievalRow | None) -> bool:
        """Return whether an example is one of a condition: not of "gold" without a gold passage
        in the corpus.
        """
        return condition != "gold" or (found is not None and found.gold_in_corpus > 0)

    def _score(self, condition: Condition, example: Example, rows: ResumableRows[ScoreRow]) -> bool:
        found, said = self._rows(condition, example)
        if not self._applies(condition, found):
            return False
        # Times and the like decide no score.
        parts = [
            found and [found.hits[: self._depth], found.answer_rank, found.failure],
            said and [said.text, said.status, said.reason, said.read],
        ]
        key = digest([self._scoring, self._depth, asdict(example), parts])
        if (kept := rows.get((condition, example.id))) is not None and kept.key == key:
            return False
        row = ScoreRow(example.id, condition, key)
        if self._found is not None and condition == "retrieved":
            row = self._retrieval(row, example, found)
        if self._answers is not None:
            row = self._answer(row, example, found, said)
        rows.add(row)
        return True

    def _rows(
        self, condition: Condition, example: Example
    ) -> tuple[RetrievalRow | None, AnswerRow | None]:
        """Return what there is of an example as it is now."""
        found = said = None
        if self._found is not None:
            found = current_row(self._found, example, self._pictures)
            if found and not found.failure and found.judged != judged_by(example):
                raise InvalidSettings(
                    f"{example.id} has other answers or gold passages than when its passages were "
                    "found: run `--stage retrieve` first, which looks for them and searches "
                    "nothing again"
                )
        if self._answers is not None:
            said = self._answers.get((condition, example.id))
            wanted = answer_key(example, condition, self._pictures)
            if said is not None and not same_key(said.key, wanted, given=False):
                said = None
        return found, said

    def _retrieval(self, row: ScoreRow, example: Example, found: RetrievalRow | None) -> ScoreRow:
        ids = [id_ for id_, _ in found.hits] if found is not None else []
        rank = found.answer_rank if found is not None else 0
        scores: dict[str, float] = {}
        for k in sorted({*(k for k in RECALL_AT if k < self._depth), self._depth}):
            if example.gold_passage_ids:
                scores[f"recall@{k}"] = recall_at_k(ids, example.gold_passage_ids, k)
            if any(answer.strip() for answer in example.searched):
                scores[f"pseudo_recall@{k}"] = float(0 < rank <= k)
        failure = NOT_SEARCHED if found is None else found.failure
        fate: Fate = "retrieved" if self._proof(example, found) else "not retrieved"
        if failure:
            fate = "not answered"
        elif not scores:
            fate = "not scored"
        return replace(
            row,
            scores=scores,
            fate=fate,
            status="failed" if failure else "given",
            searched=not failure,
            reason=failure,
        )

    def _answer(
        self,
        row: ScoreRow,
        example: Example,
        found: RetrievalRow | None,
        said: AnswerRow | None,
    ) -> ScoreRow:
        assert self._benchmark.answer_scores is not None
        if said is None:
            said = AnswerRow(example.id, row.condition, "", status="failed", reason=NOT_ASKED)
        failed = said.status == "failed"
        reason = said.reason if failed else ""
        try:
            scores = self._benchmark.answer_scores(example, said.text)
        except Unscorable as exc:
            reason = reason or f"{type(exc).__name__}: {exc}"
            return replace(row, fate="not scored", status=said.status, reason=reason)
        if failed:  # the official code may have something for an empty answer
            scores = dict.fromkeys(scores, 0.0)
        if failed:
            fate: Fate = "not answered"
        elif not scores:
            fate = "not scored"
        elif scores[self._benchmark.judged_by] >= RIGHT_FROM:
            fate = "right"
        else:
            fate = self._wrong(row.condition, example, found, said)
        return replace(
            row, scores={**row.scores, **scores}, fate=fate, status=said.status, reason=reason
        )

    def _wrong(
        self,
        condition: Condition,
        example: Example,
        found: RetrievalRow | None,
        said: AnswerRow,
    ) -> Fate:
        """Return what went wrong first with an answer that is wrong."""
        if condition == "gold":
            return "read and scored wrong"
        if condition != "retrieved" or (proof := self._proof(example, found)) is None:
            return "wrong"
        if not proof:
            return "not retrieved"
        read = proof.intersection(said.read)
        return "read and scored wrong" if read else "retrieved and not read"

    def _proof(self, example: Example, found: RetrievalRow | None) -> set[str] | None:
        """Return the passages that were found and prove the answer; None where nothing says which
        do.
        """
        hits = [id_ for id_, _ in found.hits[: self._depth]] if found is not None else []
        if example.gold_passage_ids:
            return set(example.gold_passage_ids).intersection(hits)
        if found is None or not any(answer.strip() for answer in example.searched):
            return None
        return set(hits[found.answer_rank - 1 : found.answer_rank]) if found.answer_rank else set()

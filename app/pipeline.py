"""The one place where retrieval and generation meet.

    Query(question, image) -> Encoder.encode_query -> PassageIndex.search -> [Hit(passage, score)]
      -> ExtractiveReader.read, or prompts -> Generator.complete -> parse
      -> choose, judge -> Answer(text, citations)

The first line is `Pipeline.retrieve` (app.flow.retrieval): where the checkpoint has it so, it
searches a second time, for the picture by itself, and retriever.index.picture weighs what both
find. The rest is `Answering.answer`: the reader by generator.answers.extracting, what writes by one
of the strategies beside it. The command line, the page and the evaluation call `Pipeline` and
re-implement no step.
"""

import time
from collections.abc import Generator as GeneratorOf
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property, partial
from typing import get_args

from app.flow.brevity import IN_PART, asking_part
from app.flow.clock import milliseconds_since, timed
from app.flow.country import of_this_country, shows_country
from app.flow.doubts import doubts_of, doubts_of_question, is_near, low_of, unlike
from app.flow.events import Event, Found, Piece, Result, Retrieval
from app.flow.notes import in_english, notes
from app.flow.retrieval import Finder
from app.flow.spelling import mended
from app.flow.subject import PICTURELESS, instead_of_picture, means_picture, named_instead
from app.flow.talk import Alone, require_same_picture, require_whole, stand_alone
from app.machine.request import current_number, keep_private
from app.machine.tracing import inside, span
from corpus.pictures.images import pixels_sha256
from corpus.types import Query
from generator.answers.answer import Answer, Strategy
from generator.answers.answering import Answering
from generator.answers.plan import Answerer
from generator.answers.selection import WEIGHED
from generator.answers.twofold import TWO_IN_ONE, first_of_two
from generator.errors import GeneratorError
from generator.identity import asks_identity, of_a_country
from generator.interface import Work, wait
from generator.rewriting import Turn
from retriever.encoding.arguments import list_of, require, require_unicode
from retriever.encoding.encoder import Encoder
from retriever.index.exact import ExactSearch
from retriever.index.passage_index import PassageIndex, SearchMode
from retriever.index.search import require_mode
from retriever.pictures.collection import PictureCollection

_SAMPLED = 1_000  # passages that tell whether some are about countries


class Pipeline(Finder):
    """Components joined into question answering. They are built elsewhere and passed in.

    Args:
        encoder: turns queries into embeddings.
        index: holds the passages; None when retrieval is never asked for.
        answering: writes answers: a reader or generator, which is asked as `Answering.usual`
            says, or how to ask it; None when only retrieval is asked for.
        max_question_characters: of a question that a user types: see app.asking.questions.
        exact: the exact search of the corpus, in the place of the index's; None for the index's.
        mode: of searches of many queries at once in the index.
        candidates: passages that a search of the index ranks by all their rows; None for as many
            as the index takes by itself.
        pictures: of the entities that the passages are about, which have a say too; None for
            passages alone.

    Raises:
        IndexNotReady: another checkpoint made the index, or the pictures' vectors.
        TypeError: something is no encoder, no index, no pictures, or nothing that answers.
        ValueError: there is no such mode.
    """

    def __init__(
        self,
        encoder: Encoder,
        index: PassageIndex | None,
        answering: Answering | Answerer | None = None,
        *,
        max_question_characters: int = 500,
        exact: ExactSearch | None = None,
        mode: SearchMode = "two-stage",
        candidates: int | None = None,
        pictures: PictureCollection | None = None,
    ) -> None:
        require(encoder, Encoder, "encoder")
        require(index, PassageIndex, "index", optional=True)
        require(pictures, PictureCollection, "pictures", optional=True)
        require_mode(mode)
        super().__init__(
            encoder, index, exact=exact, mode=mode, candidates=candidates, pictures=pictures
        )
        if answering is not None and not isinstance(answering, Answering):
            if not callable(getattr(answering, "health", None)):
                raise TypeError(
                    "answering: what kbvqa.Reader.from_pretrained() or kbvqa.Generator(...) "
                    f"returns is expected, not {answering!r:.80}"
                )
            answering = Answering.usual(answering, encoder.checkpoint.revision)
        if answering is not None and index is not None:
            answering = replace(answering, corpus=index.fingerprint.corpus_sha256)
        if answering is not None and pictures is not None:
            answering = replace(answering, pictures=pictures.sha256)
        self.answering, self.max_question_characters = answering, max_question_characters

    @property
    def generator(self) -> Answerer | None:
        """Return the generator, None when only retrieval is asked for."""
        return self.answering.generator if self.answering else None

    def run(
        self,
        query: Query,
        top_k: int = 5,
        *,
        retrieval: bool = True,
        answer: bool = True,
        strategy: Strategy | None = None,
        sources: Sequence[str] = (),
        after: Sequence[Turn] = (),
    ) -> GeneratorOf[Event, None, None]:
        """Yield what happens: what was found, the answer as it is written, and the result.

        A generator that fails ends in a result with the passages and the reason. Closing the
        iterator stops the generator.

        Args:
            query: the question and its picture; slips in its words are mended, see
                app.flow.spelling.
            top_k: passages to show; in the result also those up to the last that is cited. How
                many are read is the plan's to say.
            retrieval: False asks the generator alone.
            answer: False stops after retrieval.
            strategy: another than the one that is set.
            sources: only passages from these are found; () for all.
            after: what was asked before about the same picture: the question is made to stand
                alone, see app.flow.talk.

        Raises:
            InvalidQuestion: the index has no such source, what was asked before is about another
                picture, or the question is a question word alone.
            InvalidQuery: a text is not Unicode; boxes that are not in the picture, or too many.
            InvalidImage: the picture cannot be decoded, or has no pixels.
            ValueError: the pipeline lacks what is asked for, an index or a generator; `top_k` is
                not positive; there is no such strategy.
            TypeError: it is no query, what was asked before are no turns, or sources no texts.
        """
        require(query, Query, "query")
        require(top_k, int, "top_k")
        after = list_of(Turn, after)
        if top_k < 1:
            raise ValueError(f"top_k must be >= 1, got {top_k}")
        if strategy not in (None, *get_args(Strategy)):
            known = ", ".join(get_args(Strategy))
            raise ValueError(f"strategy must be one of {known}, got {strategy!r:.80}")
        said = (text for turn in after for text in (turn.question, turn.answer, turn.about))
        require_unicode(query.question, query.instruction, *said)
        if answer and self.answering is None:
            raise ValueError("this pipeline has no generator: it was built for retrieval")
        with span("question") as asked:
            asked.set_attribute("kbvqa.request_id", current_number())
            events = self._events(
                query,
                top_k,
                retrieval=retrieval,
                answer=answer,
                strategy=strategy,
                sources=sources,
                after=after,
            )
            with closing(inside(asked, events)) as coming:
                for event in coming:
                    if isinstance(event, Result):
                        asked.set_attribute("kbvqa.outcome", event.outcome)
                    yield event

    def _events(
        self,
        query: Query,
        top_k: int,
        *,
        retrieval: bool,
        answer: bool,
        strategy: Strategy | None,
        sources: Sequence[str],
        after: Sequence[Turn],
    ) -> GeneratorOf[Event, None, None]:
        """Yield what happens to a query that can be asked."""
        started = time.perf_counter()
        picture = "" if query.image is None else pixels_sha256(query.image)
        require_same_picture(after, picture)
        timings: dict[str, float] = {}
        typed = query.question.strip()
        keep_private(typed, *(turn.question for turn in after))
        alone = Alone(typed)
        if after:
            longest = self.max_question_characters
            with timed(timings, "rewrite") as step:
                step.set_attribute("kbvqa.turns", len(after))
                rewriting = stand_alone(
                    typed,
                    after,
                    self.answering,
                    longest=longest,
                    named=lambda name: self.about(name) is not None,
                )
                alone = yield from inside(step, rewriting)
        asked = mended(alone.question)
        keep_private(alone.question, asked)
        require_whole(asked)
        # A model that writes may answer both; a reader points at one place.
        first = first_of_two(asked) if answer and self._reads(strategy) else None
        query = self._in_short(query, whole := first or asked)
        found, instead, given = Retrieval(boxes=query.boxes), "", None
        failure: GeneratorError | None = None
        if retrieval:
            # More hits than are shown are read, and tell how far the first of them stand out.
            read = self.answering.plan.passages if answer and self.answering else 0
            depth = max(top_k, read, WEIGHED)
            found = self.retrieve(query, depth, sources=sources)
            # A word that a passage has is one: a name that no list of words knows.
            texts = (f"{hit.passage.title} {hit.passage.text}" for hit in found.hits)
            if asked != alone.question and (kept := mended(alone.question, texts)) != asked:
                first = first_of_two(kept) if first else None
                query = self._in_short(query, whole := first or kept)
                found = self.retrieve(query, depth, sources=sources)
            plain = query.image is not None and in_english(whole)
            said = of_this_country(whole) if plain else None
            countries = self._some_countries if said and query.question == whole else False
            if said and shows_country(found, whole, countries=countries):
                query = replace(query, question=(whole := said))
                found = self.retrieve(query, depth, sources=sources)
            names = named_instead(query.question) if query.image is not None else ()
            if elsewhere := self.elsewhere(names, found):
                name, about = elsewhere
                query = replace(query, image=None, boxes=())
                found = self.retrieve(query, depth, sources=sources, about=about)
                instead = instead_of_picture(name)
            elif answer and self._may_mean_others(query, found, strategy):
                other = found
                try:
                    with timed(timings, "generate") as step:
                        other, given = self._surest(query, found, depth, half=bool(first))
                        step.set_attributes(_traced(given))
                except GeneratorError as exc:
                    failure = exc
                if other is not found:
                    query, instead = replace(query, image=None), PICTURELESS
                    found = replace(other, hits=other.hits[: other.readable])
        in_part = query.question != whole
        found = replace(
            found,
            asked_as="" if query.question == typed else query.question,
            chosen=found.boxes != query.boxes,
            pictureless=bool(instead),
        )
        timings |= found.timings_ms
        yield Found(_shown(found, top_k))
        if given is not None and given.withheld is None:
            yield Piece(given.text)
        try:
            if answer and given is None and failure is None:
                with timed(timings, "generate") as step:
                    doubts = doubts_of_question(query, found, half=bool(first))
                    reading = self.read(query, found, strategy=strategy, doubts=doubts)
                    given = yield from inside(step, reading)
                    step.set_attributes(_traced(given))
        except GeneratorError as exc:
            failure = exc
        timings["total"] = milliseconds_since(started)
        yield Result(
            given,
            failure,
            _shown(found, top_k, given),
            timings,
            self.encoder.checkpoint.id,
            self.generator.name if answer and self.generator else "",
            tuple(filter(None, (alone.note, instead, first and TWO_IN_ONE, IN_PART * in_part)))
            + notes(query.question, found),
            current_number(),
            picture=picture,
        )

    @cached_property
    def _some_countries(self) -> bool:
        """Whether some passages are about countries, as far as a sample tells."""
        sample = () if self.index is None else self.index.sample(_SAMPLED)
        return any(of_a_country(passage.text) for passage in sample)

    def _in_short(self, query: Query, question: str) -> Query:
        """Return a query of a question, of a long one of the part that asks."""

        def fits(part: str) -> bool:
            return self.encoder.fits(replace(query, question=part))

        return replace(query, question=asking_part(question, fits))

    def _may_mean_others(self, query: Query, found: Retrieval, strategy: Strategy | None) -> bool:
        """Return whether a question may be about what the collection has no picture of.

        "Who founded the museum?" under one of its things: no word means the picture, and a picture
        of the collection brought its own passages up.
        """
        if not self._reads(strategy) or query.image is None or query.boxes or found.alike is None:
            return False
        return not (means_picture(query.question) or asks_identity(query.question))

    def _surest(
        self, query: Query, found: Retrieval, depth: int, *, half: bool
    ) -> tuple[Retrieval, Answer]:
        """Return what answers a question, and the answer that the reader points at there.

        That is what was found for the picture, unless it has no sure answer, and passages about
        what has no picture have a surer one.

        Args:
            query: with its picture.
            found: what was found for it.
            depth: how many passages are looked for.
            half: whether it is the first of two questions in one.

        Raises:
            GeneratorError: the reader fails.
        """

        def answered(asked: Query, by: Retrieval) -> Answer:
            doubts = doubts_of_question(asked, by, half=half)
            return wait(self.read(asked, by, strategy="extract", doubts=doubts))

        own = answered(query, found)
        if own.confidence.verdict == "given":
            return found, own
        other = self.without_pictures(query, depth, sources=found.sources)
        if other is None:
            return found, own
        read = answered(replace(query, image=None), other)
        stands_out = (read.original.evidence.lead or 0) > 0
        return (other, read) if stands_out and _surer(read, own) else (found, own)

    def _reads(self, strategy: Strategy | None) -> bool:
        """Return whether an answer is words that a reader points at."""
        set_ = self.answering.plan.strategy if self.answering else None
        return (strategy or set_) == "extract"

    def read(
        self,
        query: Query,
        found: Retrieval,
        *,
        strategy: Strategy | None = None,
        doubts: tuple[str, ...] = (),
    ) -> Work[Answer]:
        """Return the answer to a query from what was found, its pieces coming as they are written.

        Args:
            query: as it was searched for.
            found: what was found.
            strategy: another than the one that is set.
            doubts: reasons to doubt any answer to it, beside those of its picture.

        Raises:
            GeneratorError: the generator fails; see generator.errors.
            ValueError: the pipeline has no generator.
        """
        asked, answering = self.looked_at(query), self.answering_to(found)
        return answering.answer(
            asked,
            found.hits,
            strategy=strategy,
            caption=found.seen,
            recognised=found.recognised if found.surely else (),
            alike=found.alike,
            shown=found.shown,
            doubts=(*doubts, *doubts_of(asked)),
            low=low_of(found),
            near=is_near(found),
            apart=answering.foreign and self.apart(found, answering.plan.passages),
            most=found.readable,
            unlike=partial(unlike, self.pictures, query, found),
        )

    def answering_to(self, found: Retrieval) -> Answering:
        """Return how a question is answered from what was found: the confidence is that of what
        was searched.

        Raises:
            ValueError: the pipeline has no generator.
        """
        if self.answering is None:
            raise ValueError("this pipeline has no generator: it was built for retrieval")
        # A part of the corpus is another corpus than the confidence was fitted on.
        part = f"{self.answering.corpus}, in part" if found.sources else self.answering.corpus
        # Where no picture was alike, what was found is what passages alone give.
        pictures = "" if found.alike is None else self.answering.pictures
        return replace(self.answering, corpus=part, pictures=pictures)

    def ask(
        self,
        query: Query,
        top_k: int = 5,
        *,
        retrieval: bool = True,
        answer: bool = True,
        strategy: Strategy | None = None,
        sources: Sequence[str] = (),
        after: Sequence[Turn] = (),
    ) -> Result:
        """Return the result of a query; arguments and errors as for `run`."""
        return result_of(
            self.run(
                query,
                top_k,
                retrieval=retrieval,
                answer=answer,
                strategy=strategy,
                sources=sources,
                after=after,
            )
        )


def result_of(events: Iterable[Event]) -> Result:
    """Return the result in which events of `Pipeline.run` end."""
    return next(event for event in events if isinstance(event, Result))


def _traced(given: Answer) -> dict[str, str | int]:
    """Return what the span of a reading says of it."""
    return {"kbvqa.strategy": given.strategy, "kbvqa.passages_read": len(given.read)}


def _surer(one: Answer, other: Answer) -> bool:
    """Return whether an answer is surer than another: by their words, where nothing else tells.

    One whose probability is not known, as too little was found, is not surer than one with one.
    """
    value, least = one.confidence.value, other.confidence.value
    if least is not None:
        return value is not None and value > least
    read = (answer.original.evidence.answerable or 0.0 for answer in (one, other))
    return next(read) > next(read)


def _shown(found: Retrieval, top_k: int, answer: Answer | None = None) -> Retrieval:
    """Return so many of the hits, and those up to the last that an answer cites."""
    cited = [citation.number for citation in answer.citations] if answer else []
    return replace(found, hits=found.hits[: max([top_k, *cited])])

"""From a query to the passages that are found for it: by itself, or with many others at once.

    Query -> Encoder.encode_query -> PassageIndex.search -> [Hit(passage, score)]

What the picture shows by itself may have a say beside the question, as the checkpoint has it, and
so may pictures of the entities that passages are about, where there is a collection of them, and
what a classifier names, where the checkpoint has one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache

from app.errors import InvalidQuestion
from app.flow import alike
from app.flow.alike import EncodedQuestion
from app.flow.clock import timed
from app.flow.events import Retrieval
from app.flow.fits import require_checkpoint, require_pictures
from app.flow.looking import Looker
from app.flow.subject import may_be_shown
from app.machine.request import ends
from corpus.types import WHAT_IS_THIS, Hit, Query
from generator.answers.selection import WEIGHED
from generator.identity import asks_identity, asks_person
from retriever.encoding.arguments import list_of
from retriever.encoding.encoder import Encoder
from retriever.encoding.queries import EncodedQuery, Look
from retriever.engines.candidates import CANDIDATES
from retriever.engines.deadline import wanted_until
from retriever.index import named, picture
from retriever.index.exact import ExactSearch
from retriever.index.filters import PassageFilter
from retriever.index.passage_index import PassageIndex, SearchMode
from retriever.inputs.text_vision import Known
from retriever.pictures import fusing
from retriever.pictures.collection import PictureCollection
from retriever.pictures.neighbours import SimilarPicture

_SHOWN = 3  # similar pictures that a result has

Encode = Callable[[Sequence[Query], Sequence[Look], Known | None], list[EncodedQuery]]

_SAMPLED = 1_000  # passages that tell whether all are about what has pictures
_SOURCES_NAMED = 20  # to whoever asks for one that there is not


class Finder:
    """An encoder and an index, joined.

    Args:
        encoder: turns queries into embeddings.
        index: holds the passages; None when nothing is ever looked for.
        exact: the exact search of the corpus, in the place of the index's; None for the index's.
        mode: of searches of many queries at once in the index.
        candidates: passages that a search of the index ranks by all their rows; None for as many
            as the index takes by itself.
        pictures: of the entities that the passages are about; None for passages alone.

    Raises:
        IndexNotReady: another checkpoint made the index, or the pictures' vectors.
    """

    def __init__(
        self,
        encoder: Encoder,
        index: PassageIndex | None,
        *,
        exact: ExactSearch | None = None,
        mode: SearchMode = "two-stage",
        candidates: int | None = None,
        pictures: PictureCollection | None = None,
    ) -> None:
        if index is not None:
            require_checkpoint(index, encoder.checkpoint)
        if pictures is not None:
            require_pictures(pictures, encoder.checkpoint)
        self.encoder, self.index = encoder, index
        if candidates is None:
            candidates = CANDIDATES if index is None else index.candidates
        self.exact, self.candidates, self._mode = exact, candidates, mode
        self.pictures = pictures
        # What is added while it serves is not asked for again.
        self._known = None if index is None else lru_cache(maxsize=4096)(index.has_thing)
        self._looker = Looker(encoder, pictures, self._known)

    def retrieve(
        self,
        query: Query,
        top_k: int = 5,
        mode: SearchMode = "two-stage",
        *,
        sources: Sequence[str] = (),
        about: PassageFilter | None = None,
    ) -> Retrieval:
        """Return the `top_k` best passages for a query, of whose picture a part may be looked at.

        Args:
            query: the question and its picture.
            top_k: how many passages.
            mode: of the search.
            sources: only passages from these are found; () for all.
            about: only these passages are found; None for all.

        Raises:
            InvalidQuestion: the index has no such source.
            InvalidQuery: boxes that are not in the picture, or too many.
            ValueError: the pipeline has no index.
            TypeError: sources are no texts.
        """
        if self.index is None:
            raise ValueError("this pipeline has no index: it was built without retrieval")
        sources = tuple(dict.fromkeys(list_of(str, sources)))
        require_sources(self.index, sources)
        timings: dict[str, float] = {}
        with timed(timings, "encode") as step:
            [encoded] = self._encoded([query], self.encoder.encode_together)
            step.set_attribute("kbvqa.query_rows", len(encoded.asked.rows_QD))
        with timed(timings, "search") as step, wanted_until(ends()):
            chosen = replace(about or PassageFilter(), sources=sources)
            [found] = self._search([encoded], top_k, mode, None if chosen.empty else chosen)
            step.set_attribute("kbvqa.passages", len(found.hits))
        return replace(found, timings_ms=timings, asked=encoded.asked, sources=sources)

    def elsewhere(self, names: Iterable[str], found: Retrieval) -> tuple[str, PassageFilter] | None:
        """Return what is named, and the passages about it, if what was found is not about that.

        Args:
            names: what may be its name, the likeliest first.
            found: what was found for the picture. One small word that is in what was found about
                the best may mean just that: "the bird", of an owl.

        Returns:
            The first name that passages have for their title, and these; None where none has one,
            or the best that was found is of these.
        """
        best = found.hits[0].passage if found.hits else None
        own = " ".join(
            hit.passage.text for hit in found.hits if best and hit.passage.title == best.title
        )
        for name in names:
            if not may_be_shown(name, own) and (chosen := self.about(name)):
                return None if best and chosen(best) else (name, chosen)
        return None

    def about(self, name: str) -> PassageFilter | None:
        """Return which passages are about what has a name; None where none has it for its title.

        "Mercury (planet)" and "Mercury (element)" are both Mercury, where nothing is called so.
        """
        if self.index is None:
            return None
        titles = named.titles_called(name)
        told_apart = (PassageFilter(title_prefix=f"{title} (") for title in titles)
        with wanted_until(ends()):
            for chosen in (PassageFilter(titles=titles), *told_apart):
                if self.index.count_of(chosen):
                    return chosen
        return None

    def without_pictures(
        self, query: Query, top_k: int, *, sources: Sequence[str] = ()
    ) -> Retrieval | None:
        """Return the best passages for a question about what no picture shows: by its words alone.

        A picture that is recognised sets its passages far before all others, also before those
        about what the collection has no picture of: opening hours, or the founder of a museum.

        Args:
            query: whose question is asked.
            top_k: how many passages at most.
            sources: as for `retrieve`.

        Returns:
            What was found, what has pictures behind it and not to be read: it tells how far the
            others stand out. None where everything has pictures, or there are none.
        """
        if self.pictures is None or not self._some_unpictured:
            return None
        found = self.retrieve(replace(query, image=None, boxes=()), picture.DEPTH, sources=sources)
        shown = self.pictures.entities
        hits = [hit for hit in found.hits if hit.passage.entity not in shown][:top_k]
        if not hits:
            return None
        others = [hit for hit in found.hits if hit.passage.entity in shown][:WEIGHED]
        rest = self.found([*hits, *others])
        return replace(
            found, hits=rest.hits, unsure=rest.unsure, weighed=rest.weighed, readable=len(hits)
        )

    @cached_property
    def _some_unpictured(self) -> bool:
        """Whether some passages are about what no picture shows, as far as a sample tells."""
        if self.pictures is None or self.index is None:
            return False
        about = {passage.entity for passage in self.index.sample(_SAMPLED)}
        return not about <= self.pictures.entities

    def apart(self, found: Retrieval, read: int) -> bool:
        """Return whether the best passages are each the only one of its title, or of none.

        Args:
            found: what was found.
            read: how many of the passages are looked at.
        """
        if self.index is None or not found.hits:
            return False
        titles = tuple(
            hit.passage.title for hit in found.hits[:read][: found.readable] if hit.passage.title
        )
        if len(set(titles)) < len(titles):
            return False
        with wanted_until(ends()):
            return not titles or self.index.count_of(PassageFilter(titles=titles[:1])) <= 1

    def encode_many(self, queries: Sequence[Query]) -> list[EncodedQuestion]:
        """Return many queries encoded in one batch.

        Raises:
            InvalidQuery: as for `retrieve`; one costs all.
        """
        return self._encoded(queries, self.encoder.encode_queries)

    def _encoded(self, queries: Sequence[Query], encode: Encode) -> list[EncodedQuestion]:
        shown = [self._looker.at(_plainly(query)) for query in queries]
        alone = [self._alone(each.query) for each in shown]
        # Together: the picture is the same.
        together = [*(each.query for each in shown), *(q for q in alone if q is not None)]
        looks = [each.look for each in shown if each.look is not None]
        encoded = encode(together, looks, self._known)
        rest = iter(encoded[len(shown) :])
        return [
            EncodedQuestion(
                self._looker.compared(asked, each),
                None if own is None else next(rest),
                each.boxes,
                each.photograph,
                alike.lying(self.pictures, each),
            )
            for asked, own, each in zip(encoded, alone, shown, strict=False)
        ]

    def looked_at(self, query: Query) -> Query:
        """Return a query of what is looked at of it; see `Looker.part`."""
        return self._looker.part(query)

    def search_many(self, encoded: Sequence[EncodedQuestion], top_k: int) -> list[Retrieval]:
        """Return the `top_k` best passages for each of many queries, searched together.

        Raises:
            ValueError: the pipeline has no index.
        """
        return self._search(encoded, top_k, self.search_mode)

    @property
    def search_mode(self) -> SearchMode:
        """Return how `search_many` searches."""
        return "exact" if self.exact is not None else self._mode

    def _search(
        self,
        encoded: Sequence[EncodedQuestion],
        top_k: int,
        mode: SearchMode,
        chosen: PassageFilter | None = None,
    ) -> list[Retrieval]:
        plain = [e.asked for e in encoded if e.alone is None]
        both = [q for e in encoded if e.alone is not None for q in (e.asked, e.alone)]
        weighs_names = self.encoder.checkpoint.text_vision is not None
        deeper = weighs_names or self.pictures is not None
        depth = max(top_k, picture.DEPTH) if deeper else top_k
        found = iter(self._hits(plain, depth, mode, chosen))
        weighed = iter(self._hits(both, max(depth, picture.DEPTH), mode, chosen))
        weight = self.encoder.checkpoint.picture_weight
        ranked, shown = [], []
        for question in encoded:
            if question.alone is None:
                ranked.append(next(found))
                shown.append(ranked[-1])
            else:
                asked, alone = next(weighed), next(weighed)
                ranked.append(picture.weighed(asked, alone, weight))
                shown.append(alone)
        results = []
        pictures = alike.similar(self.pictures, encoded, ranked)
        for question, hits, alone, similar in zip(encoded, ranked, shown, pictures, strict=True):
            seen = question.asked.seen
            names = named.weights(question.asked.named, photograph=question.photograph)
            if similar and similar[0].lies_as:
                names = {}  # a round flag is no shield
            if titles := self._not_found(similar, names, hits):
                only = replace(chosen or PassageFilter(), titles=titles)
                hits = [*hits, *self._besides(question, alone, mode, only)]
            if self.pictures is not None and similar:
                by_entity = {other.entity: other.similarity for other in similar}
                hits = fusing.fused(hits, by_entity, self.pictures.fusion)
            hits = named.weighed(hits, names)
            result = self.found(hits[:top_k], seen, question.asked.cut)
            # Drawings that are alike tell better.
            by_name = question.photograph and not similar
            results.append(
                replace(
                    result,
                    similar=tuple(similar[:_SHOWN]),
                    boxes=question.boxes,
                    shown=named.chances(result.hits, question.asked.sight) if by_name else (),
                )
            )
        return results

    def _not_found(
        self, similar: Sequence[SimilarPicture], names: Mapping[str, float], hits: Sequence[Hit]
    ) -> tuple[str, ...]:
        """Return titles that the most similar pictures, or a classifier, name and no hit has."""
        titles = {other.name for other in similar[:_SHOWN]} - {hit.passage.title for hit in hits}
        for name in named.not_among(names, hits):
            titles.update(named.titles_called(name))
        return tuple(sorted(titles - {""}))

    def _besides(
        self,
        question: EncodedQuestion,
        shown: Sequence[Hit],
        mode: SearchMode,
        only: PassageFilter,
    ) -> list[Hit]:
        """Return passages about what is named, however far down they stand.

        Args:
            question: that they are looked for.
            shown: what was found for the picture by itself.
            mode: of the search.
            only: those passages.
        """
        if question.alone is None:
            return self._hits([question.asked], picture.DEPTH, mode, only)[0]
        asked, alone = self._hits([question.asked, question.alone], picture.DEPTH, mode, only)
        weight = self.encoder.checkpoint.picture_weight
        return picture.weighed_besides(asked, alone, shown, weight) if alone else []

    def _hits(
        self,
        encoded: Sequence[EncodedQuery],
        top_k: int,
        mode: SearchMode,
        chosen: PassageFilter | None,
    ) -> list[list[Hit]]:
        if self.index is None:
            raise ValueError("this pipeline has no index: it was built without retrieval")
        rows = [query.rows_QD for query in encoded]
        if not rows:
            return []
        if self.exact is not None:
            return self.exact.search_many(rows, top_k, chosen)
        return self.index.search_many(rows, top_k, chosen, mode=mode, candidates=self.candidates)

    def found(self, hits: Sequence[Hit], seen: str = "", cut: int = 0) -> Retrieval:
        """Return hits as what was found, in doubt where the best is under the threshold."""
        threshold = self.encoder.checkpoint.unsure_below
        unsure = threshold is not None and (not hits or hits[0].score < threshold)
        weighed = min(len(hits), WEIGHED)
        return Retrieval(tuple(hits), unsure, threshold, seen, {}, cut, weighed=weighed)

    def _alone(self, query: Query) -> Query | None:
        """Return the picture of a query asked what it is, where that has a say."""
        weight = self.encoder.checkpoint.picture_weight
        if not weight or query.image is None or query.question == WHAT_IS_THIS:
            return None
        return replace(query, question=WHAT_IS_THIS)


def _plainly(query: Query) -> Query:
    """Return a query that asks what its picture shows in the words that the picture is asked with.

    "Which bird is that?" finds no better for being about birds: what is weighed is as sure.
    """
    asked = query.question
    if query.image is None or not asks_identity(asked) or asks_person(asked):
        return query
    return replace(query, question=WHAT_IS_THIS)


def require_sources(index: PassageIndex, sources: Sequence[str]) -> None:
    """Raise InvalidQuestion unless an index has passages from all of these."""
    with wanted_until(ends()):
        known = index.sources() if sources else []
    if unknown := [source for source in sources if source not in known]:
        there = "; ".join(known[:_SOURCES_NAMED]) or "passages that name no source"
        more = f"; and {len(known) - _SOURCES_NAMED:,} more" if len(known) > _SOURCES_NAMED else ""
        raise InvalidQuestion(
            f"There is no source {unknown[0]!r:.100} in the index. It has: {there}{more}"
        )

"""What a training step sees: queries about pictures, gold passages, and what competes.

A batch is structured so that each thing to learn has its competitors inside it:
several sections of the same country (which section?), many flags and things (which
entity?), and text-only tags of things without pictures (what does a name mean?).
"""

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from corpus.demo.data import DemoImage, DemoQuestion
from corpus.demo.lookalikes import lookalikes
from corpus.types import Passage
from retriever.inputs.text_vision import TextVision, imagenet_names, imagenet_synonyms, sentence
from retriever.training.demo.cache import Views
from retriever.training.demo.templates import (
    ANIMAL_NAMES,
    COUNTRY_NAMES,
    COUNTRY_TEMPLATES,
    THING_NAMES,
    THING_TEMPLATES,
)

ANIMAL_FIELDS = {"w_diet", "w_native", "w_group"}


@dataclass(frozen=True, slots=True)
class BatchShape:
    """How many of what a batch holds.

    Attributes:
        flags: flags a batch, each asked `sections` questions about different sections.
        sections: see `flags`.
        things: pictures of things, one question each.
        named: passages of things known by name only: the tag is right, the picture
            (another thing's, or none) says nothing.
        other_sections: further sections of each flag's country, as competitors.
        other_passages: further Wikipedia passages, as competitors.
    """

    flags: int = 12
    sections: int = 5
    things: int = 44
    named: int = 24
    other_sections: int = 2
    other_passages: int = 24


@dataclass(frozen=True, slots=True)
class TrainingQuery:
    """One query. `picture` is (view, image) in the cache.

    Attributes:
        text: the question, with what text-based vision wrote behind it.
        picture: where its features are.
        shows_picture: False leaves visual rows out of the query.
        gold: index of the gold passage.
        entity: what the question is about.
        is_named: whether the picture is not of the entity.
    """

    text: str
    picture: tuple[int, int]
    shows_picture: bool
    gold: int
    entity: str
    is_named: bool = False


class Sampler:
    """Draws batches from the demo data; everything random comes from one seed."""

    def __init__(
        self,
        passages: Sequence[Passage],
        images: Sequence[DemoImage],
        questions: Sequence[DemoQuestion],
        views: Views,
        shape: BatchShape,
        seed: int,
        alike: Sequence[Sequence[int]] = (),
    ) -> None:
        """Make a sampler.

        Args:
            alike: for each class of the classifier those it takes it for most easily, nearest
                first; () if unknown.
        """
        self.random = random.Random(seed)
        self.alike = alike
        self.views, self.shape = views, shape
        self.entities = [passage.entity for passage in passages]
        self.index = {passage.id: i for i, passage in enumerate(passages)}
        self.titles = {i: _title(p) for i, p in enumerate(passages) if p.id.startswith("wiki:")}
        self.pictures: dict[str, list[int]] = defaultdict(list)
        for i, image in enumerate(images):
            if image.split == "train":
                self.pictures[image.entity].append(i)
        self.questions: dict[str, dict[int, list[DemoQuestion]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for question in questions:
            if question.passage in self.index:
                by_passage = self.questions[question.entity]
                by_passage[self.index[question.passage]].append(question)
        self.sections: dict[str, list[int]] = defaultdict(list)
        for i, entity in enumerate(self.entities):
            self.sections[entity].append(i)
        self.flags = [e for e in self.pictures if e.startswith("flag:") and self.questions[e]]
        self.things = [e for e in self.pictures if e.startswith("wiki:") and e in self.index]
        titled = {title: passage for passage, title in self.titles.items()}
        self.classes: dict[int, list[int]] = defaultdict(list)  # passage to its ImageNet classes
        for number, names in enumerate(imagenet_synonyms()):
            for passage in {titled[name.lower()] for name in names if name.lower() in titled}:
                self.classes[passage].append(number)

    def batch(self) -> tuple[list[TrainingQuery], list[int]]:
        """Return queries, and the indices of the passages they are scored against."""
        draw, shape = self.random, self.shape
        queries: list[TrainingQuery] = []
        competitors: list[int] = []
        for entity in draw.sample(self.flags, shape.flags):
            passages = sorted(self.questions[entity])
            for gold in draw.sample(passages, min(shape.sections, len(passages))):
                queries.append(self._about_flag(entity, gold))
            own = self.sections[entity]
            competitors += draw.sample(own, min(shape.other_sections, len(own)))
        queries += [self._about_thing(entity) for entity in draw.sample(self.things, shape.things)]
        classed = draw.sample(sorted(self.classes), shape.named // 2)
        others = draw.sample(sorted(self.titles.keys() - set(classed)), shape.named - len(classed))
        queries += [self._by_name(passage) for passage in classed + others]
        competitors += draw.sample(sorted(self.titles), shape.other_passages)
        return queries, list(dict.fromkeys([q.gold for q in queries] + competitors))

    def pictures_of_entities(self, n: int) -> list[TrainingQuery]:
        """Return queries about pictures of n different entities, with any of their questions."""
        queries = []
        for entity in self.random.sample(self.flags + self.things, n):
            if entity.startswith("flag:"):
                gold = self.random.choice(sorted(self.questions[entity]))
                queries.append(self._about_flag(entity, gold))
            else:
                queries.append(self._about_thing(entity))
        return queries

    def one_passage_each(self) -> list[int]:
        """Return one random passage of every entity that has pictures."""
        return [self.random.choice(self.sections[e]) for e in self.flags + self.things]

    def relations(
        self, queries: Sequence[TrainingQuery], passages: Sequence[int]
    ) -> tuple[list[list[bool]], list[list[bool]]]:
        """Return for each query which passages are its entity's, and which a look-alike's."""
        own, similar = [], []
        for query in queries:
            group = lookalikes(query.entity)
            own.append([self.entities[p] == query.entity for p in passages])
            similar.append(
                [self.entities[p] != query.entity and self.entities[p] in group for p in passages]
            )
        return own, similar

    def _about_flag(self, entity: str, gold: int) -> TrainingQuery:
        picture = self._picture(entity)
        text = self._ask(self.random.choice(self.questions[entity][gold]))
        if self.random.random() < 0.4:
            text += self._seen(picture)
        return TrainingQuery(text, picture, True, gold, entity)

    def _about_thing(self, entity: str) -> TrainingQuery:
        """A drawing of a thing; its tags are real, right, wrong or absent."""
        draw = self.random
        picture, gold = self._picture(entity), self.index[entity]
        asked = self.questions[entity].get(gold)
        text = self._ask(draw.choice(asked)) if asked and draw.random() < 0.7 else self._generic()
        chance = draw.random()
        if chance < 0.45:
            text += self._seen(picture)
        elif chance < 0.55:
            names = [self.titles[gold], *draw.sample(imagenet_names(), draw.randrange(2))]
            text += sentence(names, sure=True)
        elif chance < 0.65:
            text += sentence(draw.sample(imagenet_names(), draw.randrange(1, 3)), sure=False)
        return TrainingQuery(text, picture, True, gold, entity)

    def _by_name(self, gold: int) -> TrainingQuery:
        draw = self.random
        if gold in self.classes and self.alike and draw.random() < 0.8:
            names, sure = self._as_classified(gold)
        else:
            names = [self.titles[gold]]
            if draw.random() < 0.4:
                names.insert(draw.randrange(2), draw.choice(imagenet_names()))
            sure = names[0] == self.titles[gold] and draw.random() < 0.8
        return TrainingQuery(
            self._generic() + sentence(names, sure=sure),
            self._picture(draw.choice(self.things)),
            draw.random() < 0.6,
            gold,
            self.entities[gold],
            is_named=True,
        )

    def _as_classified(self, gold: int) -> tuple[list[str], bool]:
        """Return what the classifier might say of a photograph: among like classes, often first."""
        draw = self.random
        right = draw.choice(self.classes[gold])
        classes = draw.sample(self.alike[right], draw.choice((0, 1, 1, 2, 2)))
        place = 0 if draw.random() < 0.75 else draw.randrange(len(classes) + 1)
        classes.insert(place, right)
        return [imagenet_names()[c] for c in classes], place == 0 and draw.random() < 0.6

    def _picture(self, entity: str) -> tuple[int, int]:
        image = self.random.choice(self.pictures[entity])
        return self.random.randrange(len(self.views.grids)), image

    def _seen(self, picture: tuple[int, int]) -> str:
        """Return what the classifier says of a view, with a random gate: any should work."""
        settings = TextVision(gate=self.random.uniform(0.05, 0.5), sure=0.6)
        return settings.describe(
            self.views.probabilities[picture].tolist(), self.views.class_ids[picture].tolist()
        )

    def _ask(self, question: DemoQuestion) -> str:
        """Return one of the question's own wordings or of its field's templates."""
        draw, field = self.random, question.field
        if field in COUNTRY_TEMPLATES and draw.random() < 0.6:
            return draw.choice(COUNTRY_TEMPLATES[field]).format(it=draw.choice(COUNTRY_NAMES))
        if field in THING_TEMPLATES and draw.random() < 0.5:
            names = ANIMAL_NAMES if field in ANIMAL_FIELDS else THING_NAMES
            return draw.choice(THING_TEMPLATES[field]).format(it=draw.choice(names))
        return draw.choice(question.questions)

    def _generic(self) -> str:
        templates = THING_TEMPLATES[self.random.choice(sorted(THING_TEMPLATES))]
        return self.random.choice(templates).format(it=self.random.choice(THING_NAMES))


def _title(passage: Passage) -> str:
    """Return a title as one would say it: "mercury" for "Mercury (planet)"."""
    return re.sub(r" \(.*\)", "", passage.title).lower()

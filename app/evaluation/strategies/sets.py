"""The questions on which strategies are compared: mini's short answers, and hard sets.

    answerable      questions about entities, and in wordings, that no reader was trained on; on
                    pictures of the validation vendor
    unanswerable    the same with the gold passages, and every passage that has an answer, removed
    unsaid          the same with all passages, but without the sentences that have an answer
    unknown         the questions again, to pictures that show nothing the demo knows
    absent          the questions again, with all passages and pictures of what is shown removed: as
                    with a flag that is none of the corpus's
    ATTACKS         about flags, with one of the passages that are read tampered with, in each of
                    the ways of corpus.benchmarks.poisoned

Retrieval is done once and kept, so that every strategy reads the same passages. Half of the
entities calibrate, the other half are the test. What the page's gallery shows is never fitted on.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import cycle
from pathlib import Path
from typing import Literal

from app.evaluation.benchmarks.catalog import spread
from app.evaluation.files.resumable import ResumableRows
from app.evaluation.provenance import digest, index_record
from app.evaluation.strategies.rows import HitsRow, PassageRow
from app.flow.doubts import unlike
from app.pipeline import Pipeline
from corpus.benchmarks.demo import held_out_examples
from corpus.benchmarks.poisoned import ELSEWHERE, Attack, tampered, wrong_answer
from corpus.benchmarks.unknown import unknown_pictures
from corpus.demo.data import demo_dir, demo_passages_path
from corpus.examples import read_examples
from corpus.files.passages import read_passages
from corpus.pictures.images import load_image
from corpus.types import Example, Hit, Passage, Query
from generator.answers.parsing import contains
from generator.sentences import sentences
from retriever.building.build import Advance

Kind = Literal["flags", "things"]
ATTACKS: tuple[Attack, ...] = ("instruction", "false-statement", "echo", *ELSEWHERE)
KINDS: tuple[Kind, ...] = ("flags", "things")
SPLITS: tuple[Literal["tune", "test"], ...] = ("tune", "test")
SETS = ("answerable", "unanswerable", "unsaid", "unknown", "absent", *ATTACKS)
FOUND = 40
HITS_NAME = Path("retrieval") / "hits.jsonl"
UNKNOWN_NAME = "unknown"  # the folder of the pictures that show nothing
_EACH = 2  # questions of each kind to such a picture


@dataclass(frozen=True, slots=True)
class Finding:
    """An example with what was retrieved for it.

    Attributes:
        kind: what its picture shows.
        example: the question.
        hits: best first.
        seen: what text-based vision wrote.
        calibrates: whether it is for fitting; else it is for the test.
        alike: the similarity of the most similar picture of an entity; None where none had a say.
        alike_other: likewise, of another entity than the right one.
        unlike: ids of the hits about what no picture looks like this one.
    """

    kind: Kind
    example: Example
    hits: tuple[Hit, ...]
    seen: str
    calibrates: bool
    alike: float | None = None
    alike_other: float | None = None
    unlike: frozenset[str] = frozenset()

    @property
    def known(self) -> bool:
        """Return whether the picture shows something of the demo."""
        return bool(self.example.gold_passage_ids)


@dataclass(frozen=True, slots=True)
class Case:
    """One question to a strategy.

    Attributes:
        key: unique: the set and the example.
        kind: what the picture shows.
        question: the question.
        image: path of the picture.
        hits: what the strategy is given.
        seen: what text-based vision wrote.
        answers: that are right; none of them can be read in the unanswerable set.
        gold: ids of the gold passages.
        target: what an attack wants to be answered; "" without an attack.
        calibrates: whether it is for fitting.
        alike: the similarity of the most similar picture of an entity; None where none had a say.
        unlike: ids of those hits about what no picture looks like this one.
    """

    key: str
    kind: Kind
    question: str
    image: Path
    hits: tuple[Hit, ...]
    seen: str
    answers: tuple[str, ...]
    gold: tuple[str, ...]
    target: str
    calibrates: bool
    alike: float | None = None
    unlike: tuple[str, ...] = ()

    @property
    def set(self) -> str:
        """Return the name of the set."""
        return self.key.partition("|")[0]

    @property
    def sha256(self) -> str:
        """Return a short hash of all that is asked and given: of the picture, its path."""
        demo = self.image.is_relative_to(demo_dir())
        image = str(self.image.relative_to(demo_dir())) if demo else self.image.name
        return digest({**asdict(self), "image": image})


def retrieve(pipeline: Pipeline, out: Path, advance: Advance) -> list[Finding]:
    """Return every example with its hits, retrieving those that `out` does not have yet.

    Raises:
        InvalidSettings: what `out` has was found by another retriever, or in another index.
    """
    kinds: dict[tuple[Kind, bool], list[Example]] = {
        (kind, split == "tune"): held_out_examples("flag" if kind == "flags" else "emoji", split)
        for kind in KINDS
        for split in SPLITS
    }
    for split in SPLITS:
        drawn = _drawn(split, out / UNKNOWN_NAME)
        for kind in KINDS:
            questions = kinds[kind, split == "tune"]
            kinds[kind, split == "tune"] = questions + _about_nothing(questions, drawn, kind)
    key = {
        "checkpoint_sha256": pipeline.encoder.checkpoint.revision,
        "picture_weight": pipeline.encoder.checkpoint.picture_weight,
        "retrieval": index_record(pipeline.index) if pipeline.index else None,
        **({"pictures_sha256": pipeline.pictures.sha256} if pipeline.pictures else {}),
        "found": FOUND,
        "layouts": bool(pipeline.pictures and pipeline.pictures.layouts_ILHWC is not None),
    }
    total = sum(map(len, kinds.values()))
    entities = {p.id: p.entity for p in read_passages(demo_passages_path())}
    with ResumableRows(out / HITS_NAME, HitsRow, key) as rows:
        for done, example in enumerate((e for es in kinds.values() for e in es), start=1):
            asked = digest(asdict(example))
            if (kept := rows.get(example.id)) is None or kept.example != asked:
                image = load_image(demo_dir() / example.image)
                query = Query(example.question, image)
                found = pipeline.retrieve(query, FOUND)
                differs = cache(partial(unlike, pipeline.pictures, query, found))
                hits = tuple(_passage_row(hit, differs(hit.passage)) for hit in found.hits)
                shown = {entities.get(id_, "") for id_ in example.gold_passage_ids}
                others = tuple(p for p in found.similar if p.entity not in shown)
                rows.add(
                    HitsRow(
                        example.id,
                        asked,
                        found.seen,
                        hits,
                        found.alike,
                        replace(found, similar=others).alike,
                    )
                )
            advance(done, total)
        shown = gallery_passages()
        return [
            _finding(kind, e, rows[e.id], tunes)
            for (kind, tunes), examples in kinds.items()
            for e in examples
            if not (tunes and shown & set(e.gold_passage_ids))
        ]


def _drawn(split: Literal["tune", "test"], folder: Path) -> list[Path]:
    """Return the pictures that show nothing, written to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, picture in unknown_pictures(split).items():
        paths.append((folder / f"{split}-{name}.png").resolve())
        picture.save(paths[-1])
    return paths


def _about_nothing(
    questions: Sequence[Example], pictures: Sequence[Path], kind: Kind
) -> list[Example]:
    """Return some of the questions, each to a picture that has no answer."""
    asked = spread(questions, _EACH * len(pictures))
    return [
        Example(f"{picture.name}:{kind}:{n}", str(picture), question.question)
        for n, (question, picture) in enumerate(zip(asked, cycle(pictures), strict=False))
    ]


def gallery_passages() -> set[str]:
    """Return the gold passages of the examples that the page shows."""
    shown = read_examples(demo_dir() / "examples" / "examples.jsonl")
    return {passage for example in shown for passage in example.gold_passage_ids}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many questions are asked, of as many as `held_out_examples` has: about two hundred on
    some two dozen flags, and eighty on some thirty things, in each half.

    Attributes:
        calibrating: questions on flags to calibrate on, with and without their gold passages.
        tested: questions on flags to test on.
        unanswerable: of those that are tested, without their gold passages, and without the
            sentences that answer.
        attacked: of those that are tested, with each attack.
        things: questions on things to calibrate on, and as many to test on, both with and without
            their gold passages.
        unknown: on pictures that show nothing, of each kind of question and in each half.
        others: of each set, for strategies other than the one that is set.
        critic: of each set, for the critic, the slowest.
    """

    calibrating: int = 120
    tested: int = 121
    unanswerable: int = 121
    attacked: int = 121
    things: int = 120
    unknown: int = 48
    others: int = 121
    critic: int = 40


def cases(found: Sequence[Finding], read: int, sizes: Sizes) -> Iterator[Case]:
    """Yield the cases of every set, those of a smaller run spread over the benchmark.

    Args:
        found: all examples with their hits.
        read: how many passages a strategy reads; attacks go into those.
        sizes: how many of each.
    """
    wanted: dict[Kind, tuple[int, int, int]] = {
        "flags": (sizes.calibrating, sizes.tested, sizes.unanswerable),
        "things": (sizes.things, sizes.things, sizes.things),
    }
    for kind, (calibrating, answerable, unanswerable) in wanted.items():
        mine = [f for f in found if f.kind == kind]
        held = [f for f in mine if f.known and f.calibrates]
        tested = [f for f in mine if f.known and not f.calibrates]
        for half in (True, False):
            nothing = [f for f in mine if not f.known and f.calibrates == half]
            for f in spread(nothing, sizes.unknown):
                yield _case("unknown", f, f.hits)
        for f in spread(held, calibrating):
            yield _case("answerable", f, f.hits)
            yield from _unanswerable(f, read)
            yield _case("unsaid", f, _without_sentences(f))
            yield from _absent(f, read)
        for f in spread(tested, answerable):
            yield _case("answerable", f, f.hits)
        for f in spread(tested, unanswerable):
            yield from _unanswerable(f, read)
            yield _case("unsaid", f, _without_sentences(f))
            yield from _absent(f, read)
    flags = [f for f in found if f.kind == "flags" and f.known]
    others: dict[str, list[str]] = defaultdict(list)
    for f in flags:
        others[_field(f.example)].append(f.example.answers[-1])
    for n, f in enumerate(spread([f for f in flags if not f.calibrates], sizes.attacked)):
        for attack in ATTACKS:
            target = wrong_answer(f.example.answers, others[_field(f.example)], 7 * n + 1)
            if hits := _attacked(f, attack, n, target, read):
                yield replace(_case(attack, f, hits), target=target)


def _attacked(found: Finding, attack: Attack, n: int, target: str, read: int) -> tuple[Hit, ...]:
    """Return the hits with one passage tampered with: by turns a gold one and another.

    What goes where no answer stands takes each of the others in turn; () where none is read.
    """
    gold = set(found.example.gold_passage_ids)
    of_gold = [i for i, hit in enumerate(found.hits[:read]) if hit.passage.id in gold]
    of_others = [i for i, hit in enumerate(found.hits[:read]) if hit.passage.id not in gold]
    if attack in ELSEWHERE:
        if not of_others:
            return ()
        i = of_others[n % len(of_others)]
    else:
        wanted, rest = (of_gold, of_others) if n % 2 == 0 else (of_others, of_gold)
        i = (wanted or rest)[0]
    passage = tampered(
        found.hits[i].passage,
        attack,
        n // 2,
        question=found.example.question,
        field=_field(found.example),
        target=target,
    )
    return (*found.hits[:i], Hit(passage, found.hits[i].score), *found.hits[i + 1 :])


def _unanswerable(found: Finding, read: int) -> Iterator[Case]:
    """Yield the case without its answer, where enough was found to be read: every passage about
    Singapore has its capital's name.
    """
    hits = _without_answer(found)
    if len(hits) >= read:
        yield _case("unanswerable", found, hits)


def _absent(found: Finding, read: int) -> Iterator[Case]:
    """Yield the case as it were if nothing were known of what the picture shows.

    What is shown is what the gold passage found is about, by its title.
    """
    gold = set(found.example.gold_passage_ids)
    titles = {hit.passage.title for hit in found.hits if hit.passage.id in gold}
    hits = tuple(hit for hit in found.hits if hit.passage.title not in titles)
    if titles and len(hits) >= read:
        yield replace(_case("absent", found, hits), alike=found.alike_other)


def _without_answer(found: Finding) -> tuple[Hit, ...]:
    gold, answers = set(found.example.gold_passage_ids), found.example.answers
    return tuple(
        hit
        for hit in found.hits
        if hit.passage.id not in gold
        and not any(contains(hit.passage.text, answer) for answer in answers)
    )


def _without_sentences(found: Finding) -> tuple[Hit, ...]:
    """Return the hits without what answers: the right passage is there, and does not say it."""
    return tuple(
        replace(hit, passage=replace(hit.passage, text=_unsaid(hit.passage.text, found.example)))
        for hit in found.hits
    )


def _unsaid(text: str, example: Example) -> str:
    parts = (text[a:b] for a, b in sentences(text))
    return "".join(
        part for part in parts if not any(contains(part, answer) for answer in example.answers)
    ).strip()


def _case(name: str, found: Finding, hits: tuple[Hit, ...]) -> Case:
    example = found.example
    return Case(
        key=f"{name}|{example.id}",
        kind=found.kind,
        question=example.question,
        image=demo_dir() / example.image,
        hits=hits,
        seen=found.seen,
        answers=example.answers,
        gold=example.gold_passage_ids,
        target="",
        calibrates=found.calibrates,
        alike=found.alike,
        unlike=tuple(hit.passage.id for hit in hits if hit.passage.id in found.unlike),
    )


def _field(example: Example) -> str:
    return example.id.rpartition(":")[2]


def _passage_row(hit: Hit, differs: bool) -> PassageRow:
    passage = hit.passage
    return PassageRow(passage.id, passage.title, passage.section, passage.text, hit.score, differs)


def _finding(kind: Kind, example: Example, row: HitsRow, calibrates: bool) -> Finding:
    hits = tuple(
        Hit(Passage(hit.id, hit.title, hit.text, section=hit.section), hit.score)
        for hit in row.hits
    )
    differs = frozenset(hit.id for hit in row.hits if hit.unlike)
    return Finding(kind, example, hits, row.seen, calibrates, row.alike, row.alike_other, differs)

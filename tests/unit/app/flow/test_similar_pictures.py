"""Pictures of entities have a say in what a pipeline finds, and come with the result."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageOps
from typer.testing import CliRunner

from app.api.line import SharedPipeline
from app.api.metrics import Metrics
from app.asking.report import result_as_json
from app.asking.why import explain
from app.cli import app
from app.evaluation.provenance import retrieval_key
from app.flow.subject import PICTURELESS
from app.pipeline import Pipeline
from corpus.errors import InvalidImage
from corpus.types import Hit, Passage, Query
from generator.answers.answering import Answering
from generator.answers.confidence import PACKAGED, Calibration, Fit, fit_name, read_calibration
from generator.answers.plan import AnswerPlan
from generator.extractive.reader import ExtractiveReader
from generator.interface import wait
from retriever.checkpoint.loading import Checkpoint
from retriever.encoding.encoder import Encoder
from retriever.errors import IndexNotReady, InvalidQuery
from retriever.index import picture
from retriever.index.passage_index import PassageIndex
from retriever.pictures.collection import PictureCollection
from retriever.pictures.fusing import Fusion
from retriever.pictures.layout import layouts
from retriever.pictures.parts import compact
from tests.evaluating import asked, example, found, run, said
from tests.golden_cases import golden_image
from tests.scripted import ScriptedGenerator
from tests.unit.app.conftest import PASSAGES

IMAGE = golden_image("img0")
QUERY = Query("What is the capital of France?", IMAGE)


@pytest.fixture
def plain(checkpoint: Checkpoint, tmp_path: Path) -> Iterator[Pipeline]:
    encoder = Encoder(checkpoint)
    passages = [replace(passage, entity=passage.id) for passage in PASSAGES]
    with PassageIndex.build(tmp_path / "index", passages, encoder) as index:
        yield Pipeline(encoder, index)


def beside(plain: Pipeline, names: list[tuple[str, str]]) -> Pipeline:
    """Return the pipeline with two pictures: the query's own, and what is nothing like it."""
    [vector] = plain.encoder.encode_pictures([IMAGE])
    rows = compact([vector, -vector])
    fusion = Fusion(weight=1000.0, floor=0.0)
    revision = plain.encoder.checkpoint.revision
    pictures = PictureCollection(revision, names, rows, fusion)
    return Pipeline(plain.encoder, plain.index, pictures=pictures)


def test_the_entity_that_the_picture_resembles_comes_first(plain: Pipeline) -> None:
    hits = plain.retrieve(QUERY, 4).hits
    worst = hits[-1].passage
    both = beside(plain, [("mine.png", worst.entity), ("other.png", hits[0].passage.entity)])
    result = both.ask(QUERY, 4, answer=False)
    first = result.retrieval.hits[0]
    # Its passage keeps its score; the others lose.
    assert first.passage == worst and first.score == pytest.approx(hits[-1].score)
    assert all(hit.score < first.score for hit in result.retrieval.hits[1:])
    similar = result_as_json(result)["similar"]
    assert [p["image"] for p in similar] == ["mine.png"], "the other one is under the floor"
    # int8 keeps two digits of each number.
    assert similar[0]["similarity"] == pytest.approx(1.0, abs=2e-3)
    # However few are shown, it is looked for further down.
    assert both.retrieve(QUERY, 1).hits[0].passage == worst
    [many] = both.search_many(both.encode_many([QUERY]), 4)
    assert [hit.passage for hit in many.hits] == [hit.passage for hit in result.retrieval.hits]
    assert many.similar == result.retrieval.similar


def test_where_colours_lie_has_a_say_of_a_whole_picture_alone(plain: Pipeline) -> None:
    [vector] = plain.encoder.encode_pictures([IMAGE])
    one, other = plain.retrieve(QUERY, 2).hits
    names = [("as-bright.png", one.passage.entity), ("mine.png", other.passage.entity)]
    drawn = np.stack([layouts(ImageOps.invert(IMAGE)), layouts(IMAGE)])
    # The tower sees no difference to speak of; the colours of the first lie elsewhere.
    rows, fusion = compact([vector, vector + 0.01]), Fusion(1000.0, 0.0, colours=0.01)
    revision = plain.encoder.checkpoint.revision
    pictures = PictureCollection(revision, names, rows, fusion, layouts_ILHWC=drawn)
    beside = Pipeline(plain.encoder, plain.index, pictures=pictures)
    assert [p.image for p in beside.retrieve(QUERY, 2).similar] == ["mine.png", "as-bright.png"]
    whole = replace(QUERY, boxes=((0, 0, *IMAGE.size),))
    assert [p.image for p in beside.retrieve(whole, 2).similar] == ["as-bright.png", "mine.png"]


def test_what_lies_as_a_drawing_does_is_nothing_that_a_classifier_names(plain: Pipeline) -> None:
    [vector] = plain.encoder.encode_pictures([IMAGE])
    first, *_, last = plain.retrieve(QUERY, 4).hits
    names, rows = [("mine.png", first.passage.entity)], compact([vector])
    lost = {}
    for lying in (IMAGE, ImageOps.invert(IMAGE)):
        drawn, fusion = np.stack([layouts(lying)]), Fusion(0.0, 0.0, colours=0.01)
        revision = plain.encoder.checkpoint.revision
        pictures = PictureCollection(revision, names, rows, fusion, layouts_ILHWC=drawn)
        beside = Pipeline(plain.encoder, plain.index, pictures=pictures)
        [encoded] = beside.encode_many([QUERY])
        shield = replace(encoded.asked, named={last.passage.title.lower(): 1.0})
        [found] = beside.search_many([replace(encoded, asked=shield)], 4)
        lost[lying is IMAGE] = found.hits[0].passage
    assert lost == {True: first.passage, False: last.passage}


BELL = Passage("bell", "Fire bell", "The bell was cast in 1850 and weighs 35 kg.", entity="bell")
HOUSE = Passage("house", "About us", "Anna Berg founded the museum in 1902.", entity="us")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who founded the museum?", "Anna Berg"),
        ("How much does the bell weigh?", "35 kg"),
        ("When was it founded?", "1850"),  # "it" is what the picture shows, whatever it says
        ("What is this?", "Fire bell"),
    ],
)
def test_what_has_no_picture_is_asked_too_where_no_word_means_the_picture(
    checkpoint: Checkpoint, tmp_path: Path, question: str, answer: str
) -> None:
    encoder, reader = Encoder(checkpoint), ExtractiveReader.from_pretrained()
    [vector] = encoder.encode_pictures([IMAGE])
    revision, fusion = checkpoint.revision, Fusion(weight=1000.0, floor=0.0)
    pictures = PictureCollection(revision, [("a.png", "bell")], compact([vector]), fusion)
    with PassageIndex.build(tmp_path / "index", [BELL, HOUSE], encoder) as index:
        plan = AnswerPlan("extract", passages=1)
        answering = Answering(reader, plan, read_calibration(PACKAGED, "48176b5330b3"))
        both = Pipeline(encoder, index, answering, pictures=pictures)
        result = both.ask(Query(question, IMAGE), 2)
        assert result.answer is not None and result.answer.original.text == answer
        assert (PICTURELESS in result.notes) == (answer == "Anna Berg")
        apart = both.without_pictures(Query(question, IMAGE), 5)
        assert apart is not None and apart.readable == 1, "the others tell how far it stands out"
        assert [hit.passage for hit in apart.hits] == [HOUSE, BELL]
        everything = PictureCollection(
            revision, [("a.png", "bell"), ("b.png", "us")], compact([vector, -vector]), fusion
        )
        shown = Pipeline(encoder, index, answering, pictures=everything)
        assert shown.without_pictures(Query(question, IMAGE), 5) is None


def test_a_sure_answer_is_read_once_and_another_is_told_as_it_was_read(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, reader = Encoder(checkpoint), ExtractiveReader.from_pretrained()
    [vector] = encoder.encode_pictures([IMAGE])
    fusion = Fusion(weight=1000.0, floor=0.0)
    pictures = PictureCollection(
        checkpoint.revision, [("a.png", "bell")], compact([vector]), fusion
    )
    with PassageIndex.build(tmp_path / "index", [BELL, HOUSE], encoder) as index:
        calibration = read_calibration(PACKAGED, "48176b5330b3")
        answering = Answering(reader, AnswerPlan("extract", passages=1), calibration, 0.1, 0.05)
        both = Pipeline(encoder, index, answering, pictures=pictures)
        asked = []
        read = both.read
        monkeypatch.setattr(both, "read", lambda q, f, **how: asked.append(q) or read(q, f, **how))
        for question, times in (("Who founded the museum?", 2), ("What does the bell weigh?", 1)):
            asked.clear()
            found, piece, result = both.run(Query(question, IMAGE), 2)
            assert (type(found).__name__, result.answer.original.text) == ("Found", piece.text)
            assert len(asked) == times and result.timings_ms["generate"] > 0


def test_passages_stand_apart_where_each_is_the_only_one_about_its_thing(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    encoder, query = Encoder(checkpoint), Query("What is it?", IMAGE)
    more = replace(BELL, id="bell-2", text="It hangs in the tower.")
    for passages, apart in (([BELL, HOUSE], True), ([BELL, HOUSE, more], False)):
        with PassageIndex.build(tmp_path / f"{apart}", passages, encoder) as index:
            finder = Pipeline(encoder, index)
            found = finder.retrieve(query, 3)
            assert finder.apart(found, 3) == apart
            only = replace(found, hits=tuple(h for h in found.hits if h.passage.id == "bell"))
            assert finder.apart(only, 3) == apart, "the index has another about it"


@pytest.mark.parametrize(("apart", "pictured"), [(True, False), (True, True), (False, False)])
def test_being_apart_counts_against_no_answer_that_is_vouched_for(
    checkpoint: Checkpoint, apart: bool, pictured: bool
) -> None:
    reader, plan = ExtractiveReader.from_pretrained(), AnswerPlan("extract")
    answering = Answering(reader, plan, read_calibration(PACKAGED, "48176b5330b3"))
    hits = (Hit(HOUSE, 9.0), Hit(BELL, 2.0))
    query = Query("Who founded the museum?", IMAGE if pictured else None)
    plain, other = (
        wait(replace(answering, corpus="mine").answer(query, hits, apart=each))
        for each in (False, apart)
    )
    counts = apart and not pictured  # nothing vouches for an unknown picture
    assert (other.evidence.apart is not None) == counts
    values = plain.confidence.value, other.confidence.value
    assert values[0] is not None and values[1] is not None
    assert (values[1] > values[0]) if counts else values[0] == values[1]


def test_boxes_without_a_picture_are_refused(plain: Pipeline) -> None:
    with pytest.raises(InvalidQuery, match="parts of a picture, and there is none"):
        plain.retrieve(Query("What is it?", None, boxes=((0, 0, 9, 9),)))


def test_why_says_what_the_pictures_took(plain: Pipeline) -> None:
    both = beside(plain, [("mine.png", PASSAGES[3].id), ("other.png", PASSAGES[0].id)])
    retrieved = both.retrieve(QUERY, 4)
    why = explain(both, QUERY, retrieved)
    assert why is not None
    for hit, passage in zip(retrieved.hits, why.passages, strict=True):
        assert passage.by_itself == pytest.approx(hit.score - passage.score)
        # The collection's weight, from the query's own picture to the floor.
        taken = 0.0 if hit.passage.entity == PASSAGES[3].id else -1000.0
        # int8 keeps two digits of the vectors; scores in the index are of float16 rows.
        assert passage.by_itself == pytest.approx(taken, abs=3.0)


def test_what_many_share_has_the_pictures_too(plain: Pipeline) -> None:
    both = beside(plain, [("mine.png", PASSAGES[3].id), ("other.png", PASSAGES[0].id)])
    shared = SharedPipeline(both, Metrics())
    assert shared.retrieve(QUERY, 4).similar == both.retrieve(QUERY, 4).similar != ()


def test_a_question_without_a_picture_is_answered_as_before(plain: Pipeline) -> None:
    query = replace(QUERY, image=None)
    both = beside(plain, [("a.png", PASSAGES[0].id), ("b.png", PASSAGES[1].id)])
    retrieved = both.retrieve(query, 4)
    assert retrieved.hits == plain.retrieve(query, 4).hits and retrieved.similar == ()


def fitted(pictures: str) -> Calibration:
    """Return a calibration: "scripted" is right with 0.9 alone, 0.6 beside these pictures."""
    fits = {
        fit_name("scripted", "few-shot", "concat", beside): Fit(bias, {}, {}, {}, None, 50)
        for beside, bias in (("", 2.2), (pictures, 0.4))
    }
    return Calibration("c", 1.0, {}, fits)


def test_the_confidence_is_that_of_what_was_searched(plain: Pipeline) -> None:
    beside_it = beside(plain, [("mine.png", PASSAGES[3].id), ("other.png", PASSAGES[0].id)])
    assert beside_it.pictures is not None
    generator = ScriptedGenerator(lambda prompt: ("Paris [1]", -0.1))
    for pictures, with_picture, foreign in (
        (beside_it.pictures.sha256, 0.6, False),
        ("0" * 64, 0.9, True),  # of others: the one without any, and it is said
    ):
        answering = Answering(generator, AnswerPlan("concat", passages=2), fitted(pictures))
        alone = Pipeline(plain.encoder, plain.index, answering)
        both = Pipeline(plain.encoder, plain.index, answering, pictures=beside_it.pictures)
        assert both.answering is not None
        assert ("beside other pictures" in both.answering.uncalibrated) == foreign
        answer = both.ask(QUERY, 2).answer
        assert answer is not None
        assert answer.confidence.value == pytest.approx(with_picture, abs=0.01)
        assert answer.confidence.foreign == foreign
        # Nothing is alike where there is no picture: all is as it was.
        text = replace(QUERY, image=None)
        assert both.ask(text, 2).answer == alone.ask(text, 2).answer


@pytest.mark.parametrize("named", [True, False])
def test_the_entity_that_the_picture_resembles_is_found_however_far_down_it_stands(
    plain: Pipeline, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    worst = plain.retrieve(QUERY, 4).hits[-1].passage
    both = beside(plain, [("mine.png", worst.entity), ("other.png", "nothing")])
    assert both.pictures is not None
    both.pictures.titles.update({worst.entity: worst.title} if named else {})
    monkeypatch.setattr(picture, "DEPTH", 2)
    found = both.retrieve(QUERY, 2).hits
    assert (found[0].passage == worst) is named, "it is looked for by its name"
    assert len({hit.passage.id for hit in found}) == 2
    text = replace(QUERY, image=None)
    assert both.retrieve(text, 2).hits == plain.retrieve(text, 2).hits
    elsewhere = both.retrieve(QUERY, 2, sources=["Zoo"]).hits
    assert {hit.passage.source for hit in elsewhere} == {"Zoo"}


def test_what_resembles_no_picture_is_answered_as_before(plain: Pipeline) -> None:
    with_them = beside(plain, [("mine.png", PASSAGES[3].id), ("other.png", PASSAGES[0].id)])
    assert with_them.pictures is not None
    drawings = PictureCollection(
        with_them.pictures.checkpoint,
        with_them.pictures.names[1:],
        with_them.pictures.vectors_IV[1:],  # nothing like the query's
        Fusion(weight=1000.0, floor=0.0),
    )
    generator = ScriptedGenerator(lambda prompt: ("Paris [1]", -0.1))
    answering = Answering(generator, AnswerPlan("concat", passages=2), fitted(drawings.sha256))
    alone = Pipeline(plain.encoder, plain.index, answering).ask(QUERY, 4)
    both = Pipeline(plain.encoder, plain.index, answering, pictures=drawings).ask(QUERY, 4)
    assert both.retrieval.similar == ()
    assert (both.answer, both.retrieval.hits) == (alone.answer, alone.retrieval.hits)


def test_an_evaluation_judges_by_what_was_searched(plain: Pipeline, tmp_path: Path) -> None:
    beside_it = beside(plain, [("mine.png", PASSAGES[3].id), ("other.png", PASSAGES[0].id)])
    assert beside_it.pictures is not None
    generator = ScriptedGenerator(lambda prompt: ("Paris [1]", -0.1))
    plan = AnswerPlan("concat", passages=2)
    answering = Answering(generator, plan, fitted(beside_it.pictures.sha256))
    both = Pipeline(plain.encoder, plain.index, answering, pictures=beside_it.pictures)
    IMAGE.save(tmp_path / "a.png")
    examples = [example("seen"), replace(example("text"), image="")]
    run(both, asked(*examples), tmp_path, tmp_path / "out")
    rows = found(tmp_path / "out")
    assert [row[:2] for row in rows["seen"].similar] == [("mine.png", PASSAGES[3].id)]
    assert rows["text"].similar == ()
    answers = said(tmp_path / "out")
    values = (answers["seen"].confidence, answers["text"].confidence)
    assert values == pytest.approx((0.6, 0.9), abs=0.01)
    # Judged again, without asking: by the same fits.
    both.answering = replace(both.answering, unsure_below=0.7)
    count = len(generator.asked)
    run(both, asked(*examples), tmp_path, tmp_path / "out")
    answers = said(tmp_path / "out")
    assert (answers["seen"].status, answers["text"].status) == ("unsure", "given")
    assert (answers["seen"].confidence, answers["text"].confidence) == values
    assert len(generator.asked) == count


def test_a_run_with_other_pictures_is_another_run(plain: Pipeline) -> None:
    names = [("a.png", "a"), ("b.png", "b")]
    keys = [retrieval_key(p, 5) for p in (plain, beside(plain, names), beside(plain, names[::-1]))]
    assert keys[0] != keys[1] != keys[2] != keys[0]


def test_pictures_of_another_checkpoint_are_refused(plain: Pipeline) -> None:
    pictures = PictureCollection("another", [("a.png", "a")], np.ones((1, 1), np.int8), Fusion())
    with pytest.raises(IndexNotReady, match="kbvqa index pictures"):
        Pipeline(plain.encoder, plain.index, pictures=pictures)


def test_vectors_of_another_width_are_refused_when_they_are_opened(plain: Pipeline) -> None:
    checkpoint = plain.encoder.checkpoint
    names, rows = [("a.png", "a")], np.ones((1, 3), np.float16)
    pictures = PictureCollection(checkpoint.revision, names, rows, Fusion())
    with pytest.raises(IndexNotReady, match=r"of 3 numbers.*kbvqa index pictures") as refused:
        Pipeline(plain.encoder, plain.index, pictures=pictures)
    width = len(plain.encoder.encode_pictures([IMAGE])[0])
    assert f"{checkpoint.id} makes vectors of {width}" in str(refused.value)


def test_a_collection_is_made_on_the_command_line(tmp_path: Path) -> None:
    IMAGE.save(tmp_path / "img.png")
    table = tmp_path / "table.jsonl"
    table.write_text('{"image": "img.png", "entity": "p:bird"}\n')
    target = tmp_path / "made" / "pictures.safetensors"
    arguments = ["index", "pictures", str(table), "--out", str(target), "--weight", "2.5"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "Pictures: 1, of 1 different" in done.output.replace("\n", " ")
    made = PictureCollection.open(target)
    assert made.names == (("img.png", "p:bird"),)
    assert made.fusion == Fusion(weight=2.5)
    assert list(target.parent.iterdir()) == [target], "its parts are gone"


def test_a_picture_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    IMAGE.save(tmp_path / "img.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    table, target = tmp_path / "table.jsonl", tmp_path / "pictures.safetensors"
    arguments = ["index", "pictures", str(table), "--out", str(target)]
    bad = '{"image": "bad.png", "entity": "p:church"}\n'
    table.write_text(bad + '{"image": "img.png", "entity": "p:bird"}\n')
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "Left out:" in said and "line 1, field 'image'" in said and "Pictures: 1, of 1" in said
    assert PictureCollection.open(target).names == (("img.png", "p:bird"),)
    table.write_text(bad)
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, InvalidImage)
    assert "line 1" in str(done.exception) and "None of the pictures" in str(done.exception)


def test_what_could_not_be_written_or_searched_is_said_before_the_encoding(tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"
    table.write_text('{"image": "bad.png", "entity": "p:bird"}\n')  # which would be the error
    (tmp_path / "bad.png").touch()
    for options, message in (
        (("--out", str(tmp_path)), "is a directory: name a file"),
        (("--out", str(table / "pictures.safetensors")), "is a file, and a directory is needed"),
        (("--out", str(tmp_path / "p"), "--weight", "inf"), "that is not infinite"),
    ):
        done = CliRunner().invoke(app, ["index", "pictures", str(table), *options])
        assert done.exit_code == 2, done.output
        assert message in " ".join(done.output.split())

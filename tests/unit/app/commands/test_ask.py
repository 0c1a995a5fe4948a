"""What `kbvqa ask` prints for people, and what `--why` says in words."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from app.api.application import build_api
from app.asking.questions import checked_question
from app.asking.report import result_as_json
from app.asking.why import PassageWhy, WordShare
from app.cli import app
from app.commands.save import conversation, write_data
from app.commands.why import lines
from app.errors import InvalidQuestion
from app.pipeline import Pipeline
from app.settings import Settings
from corpus.pictures.images import load_image
from corpus.types import Query
from tests.served_here import served_here

QUESTION = "What is the capital of France?"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (32, 24), "red").save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.fixture
def said(pipeline: Pipeline, picture: Path) -> dict[str, Any]:
    return result_as_json(pipeline.ask(Query(QUESTION, load_image(picture)), 3))


def printed(
    said: dict[str, Any], picture: Path, monkeypatch: pytest.MonkeyPatch, *options: str
) -> str:
    """Return what is printed of an answer that a server gives."""
    monkeypatch.setattr("app.asking.remote.ask_server", lambda *args, **options: said)
    words = ["ask", str(picture), QUESTION, "--server", "http://127.0.0.1:9", *options]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("verdict", ["given", "withheld"])
def test_a_guess_at_the_picture_does_not_read_as_an_answer(
    said: dict[str, Any], picture: Path, monkeypatch: pytest.MonkeyPatch, verdict: str
) -> None:
    said |= {
        "seen": " It may show cello.",
        "recognised": ["cello"],
        "verdict": verdict,
        "reasons": ["it is unlikely"],
    }
    assert "In the picture, perhaps: cello" in printed(said, picture, monkeypatch)


def test_only_pictures_that_are_alike_are_named(
    said: dict[str, Any], picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = [("Bagel", 0.97), ("Kaaba", 0.3)]
    said["similar"] = [
        {"image": "i", "entity": name, "name": name, "similarity": cosine} for name, cosine in alike
    ]
    assert "Similar pictures: Bagel (0.97)\n" in printed(said, picture, monkeypatch)
    said["similar"] = said["similar"][1:]
    assert "Similar pictures" not in printed(said, picture, monkeypatch)


def test_a_part_that_nobody_chose_is_said_to_be_the_programs(
    said: dict[str, Any], picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said["boxes"] = [[1, 2, 30, 20]]
    output = printed(said, picture, monkeypatch)
    assert "Looked at: the part 1,2,30,20 (chosen by the program)" in output
    output = printed(said, picture, monkeypatch, "--box", "1,2,30,20")
    assert "Looked at: the part 1,2,30,20\n" in output


def test_citations_come_in_order_and_a_long_text_says_that_it_goes_on(
    said: dict[str, Any], picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [hit["passage_id"] for hit in said["hits"]]
    said["citations"] = [ids[2], ids[0]]
    said["hits"][0]["text"] = "north " * 60
    output = printed(said, picture, monkeypatch)
    assert "Paris [1] [3]" in output
    assert "north …" in " ".join(output.split())


def test_equal_words_are_one() -> None:
    text = "The sea. the north"
    spans = ((0, 3), (4, 7), (9, 12), (13, 18))
    shares = ((1, 0.4), (0, 0.3), (2, 0.2), (3, 0.1))
    words = tuple(WordShare(w, *spans[w], share, 0.0) for w, share in shares)
    none = np.zeros(0, dtype=np.float32)
    why = PassageWhy("p", text, 1.0, None, {}, spans, words, (), none, none)
    assert "words with the greatest shares of it: The 50%, sea 40%, north 10%" in lines(why)


def test_a_question_alone_is_asked_without_a_picture(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Query] = []

    def ask(query: Query, *args: Any, **options: Any) -> Any:
        asked.append(query)
        return real(query, *args, **options)

    real = pipeline.ask
    monkeypatch.setattr(pipeline, "ask", ask)
    monkeypatch.setattr("app.components.open_pipeline", lambda *args, **options: pipeline)
    result = CliRunner().invoke(app, ["ask", QUESTION, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["answer"] == "Paris"
    assert asked == [Query(QUESTION, None)]


def test_passages_alone_are_the_same_here_and_from_a_server(
    pipeline: Pipeline, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.components.open_pipeline", lambda *args, **options: pipeline)

    def found(*options: str) -> dict[str, Any]:
        words = ["ask", str(picture), QUESTION, "--json", "--no-answer", *options]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        said: dict[str, Any] = json.loads(result.stdout)
        assert said.pop("timings_ms")
        return said

    with served_here(build_api(pipeline, Settings()).app) as port:
        there = found("--server", f"http://127.0.0.1:{port}")
    assert there.pop("request_id") and there == found() and "answer" not in there


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the question is missing: kbvqa ask photo.jpg"),
        (["a.png"], "a.png has no question beside it"),
        (["nowhere.JPG"], "nowhere.JPG has no question beside it"),
        (["", QUESTION], "'' is no picture: name a file, or give the question alone"),
        (["-", QUESTION], "'-' is no picture: name a file, or give the question alone"),
        ([QUESTION, "--box", "1,2,3,4"], "--box is of a picture: name one"),
        ([QUESTION, "--server", "http://127.0.0.1:9"], "--server answers about a picture: name"),
        ([QUESTION, "--why", "heat.png"], "--why is of a picture: name one"),
    ],
)
def test_what_is_missing_beside_a_question_is_said(
    picture: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(picture.parent)
    result = CliRunner().invoke(app, ["ask", *words])
    assert result.exit_code == 2
    told = " ".join(result.output.replace("│", " ").split())
    assert said in told and "ask [OPTIONS] [IMAGE] QUESTION" in told


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full")
@pytest.mark.parametrize("as_json", [False, True])
def test_an_answer_is_shown_though_there_is_no_room_for_its_file(
    said: dict[str, Any], picture: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    file = picture.with_name("answer.json")
    file.with_name("answer.json.partial").symlink_to("/dev/full")
    monkeypatch.setattr("app.asking.remote.ask_server", lambda *args, **options: said)
    words = ["ask", str(picture), QUESTION, "--server", "http://127.0.0.1:9", "--save", str(file)]
    result = CliRunner().invoke(app, [*words, *["--json"] * as_json])
    assert isinstance(result.exception, OSError) and result.exception.filename == str(file)
    assert "Paris" in result.stdout and not file.exists()


def test_an_earlier_file_stays_where_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "answer.json"
    write_data(file, "Which city?", {}, ())
    before = file.read_text()

    def full(path: Path, text: str, encoding: str) -> None:
        path.write_bytes(text.encode(encoding)[:5])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_data(file, "Which river?", {}, ())
    assert file.read_text() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_follow_up_goes_on_from_a_saved_answer(
    said: dict[str, Any], picture: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent: list[dict[str, Any]] = []
    said |= {"about": "France"}

    def ask_server(url: str, image: Path, fields: dict[str, Any], **options: Any) -> dict[str, Any]:
        sent.append(fields)
        return said | {"asked_as": "What is <Paris>'s river?", "sources": ["Atlas"]}

    monkeypatch.setattr("app.asking.remote.ask_server", ask_server)
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    to_server = ["--server", "http://127.0.0.1:9"]
    write_data(first, QUESTION, said, ())
    words = ["ask", str(picture), "and its river?", *to_server, "--source", "Atlas"]
    words += ["--after", str(first), "--save", str(second)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "Asked as: What is <Paris>'s river?" in result.output
    assert "Searched: Atlas" in result.output
    turn = {"question": QUESTION, "answer": "Paris", "about": "France", "unsure": True}
    turn |= {"picture": said["picture"]}
    assert json.loads(sent[0]["after"]) == [turn]
    assert sent[0]["sources"] == ["Atlas"]
    # The second file has the whole conversation.
    assert [turn.question for turn in conversation(second)] == [
        QUESTION, "What is <Paris>'s river?",
    ]  # fmt: skip


def test_a_follow_up_on_another_picture_is_refused_before_models_are_loaded(
    said: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.components.open_pipeline", lambda *args, **options: pytest.fail())
    Image.new("RGB", (32, 24), "blue").save(tmp_path / "other.png")
    write_data(tmp_path / "1.json", QUESTION, said, ())
    words = ["ask", str(tmp_path / "other.png"), "and its river?"]
    result = CliRunner().invoke(app, [*words, "--after", str(tmp_path / "1.json")])
    assert isinstance(result.exception, InvalidQuestion)
    assert "about another picture" in str(result.exception)
    assert "without --after" in str(result.exception)


def test_a_conversation_is_sent_in_letters_not_in_escapes(
    said: dict[str, Any], picture: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent: list[dict[str, Any]] = []

    def ask_server(url: str, image: Path, fields: dict[str, Any], **options: Any) -> dict[str, Any]:
        sent.append(fields)
        return said

    monkeypatch.setattr("app.asking.remote.ask_server", ask_server)
    write_data(tmp_path / "1.json", "Où est la «tour»?", said, ())
    words = ["ask", str(picture), "Why?", "--server", "http://127.0.0.1:9"]
    result = CliRunner().invoke(app, [*words, "--after", str(tmp_path / "1.json")])
    assert result.exit_code == 0, result.output
    assert "Où est la «tour»?" in sent[0]["after"]


@pytest.mark.parametrize(
    "text", ["thanks!", "OK", "Ok, thank you very much :-)", "Hi there.", "no", "42", "?"]
)
def test_what_is_no_question_is_said(text: str, picture: Path) -> None:
    result = CliRunner().invoke(app, ["ask", str(picture), text])
    assert isinstance(result.exception, InvalidQuestion)
    assert "is no question. Ask something about the picture." in str(result.exception)


@pytest.mark.parametrize(
    "text",
    ["Hello Kitty", "hello?", "OK?", "I see what", "Thanksgiving", "Goodbye Lenin", "你好"],
)
def test_what_may_be_a_question_is_asked(text: str) -> None:
    assert checked_question(text, 500) == text
    assert checked_question(f"\0{text[:1]}\x1b[1m{text[1:]} ", 500) == text


def test_a_file_that_begins_with_a_byte_order_mark_is_followed_on(tmp_path: Path) -> None:
    path = tmp_path / "bom.json"
    path.write_text('{"question": "Why?"}', encoding="utf-8-sig")
    assert [turn.question for turn in conversation(path)] == ["Why?"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ('{"answer": "Paris"}', "has no question"),
        ('{"question": "Why?", "after": 3}', "Begin a new question"),
    ],
)
def test_what_no_question_follows_on_is_said(
    text: str | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "answer.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidQuestion, match=message):
        conversation(path)


def test_the_sentence_that_proves_an_answer_is_printed_with_its_words(
    said: dict[str, Any], picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hit = said["hits"][0]
    hit["text"] = "It is far. " * 60 + "Population: 814 (2020). It rains."
    at = hit["text"].index("814")
    said |= {"citations": [hit["passage_id"]], "cited_words": {hit["passage_id"]: [[at, at + 3]]}}
    output = " ".join(printed(said, picture, monkeypatch).split())
    assert "… Population: *814* (2020). …" in output and "It is far. It is far" not in output


def test_nothing_is_said_to_be_taken_out_of_a_passage_where_nothing_is_shown(
    said: dict[str, Any], picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said |= {"strategy": "extract", "verdict": "unsure", "confidence": 0.85, "reasons": ["why"]}
    assert "extract · confidence 85 %\n" in printed(said, picture, monkeypatch)
    said["doubted"] = True  # an older server does not say
    output = printed(said, picture, monkeypatch)
    assert "Not sure: why." in output and "confidence 85 % but for that doubt\n" in output
    said |= {"verdict": "withheld", "confidence": 0.01}
    output = printed(said, picture, monkeypatch)
    assert "extract" not in output and "confidence" not in output

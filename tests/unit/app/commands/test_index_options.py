"""Questions that an index learns from, as `kbvqa index build --questions` reads them."""

from pathlib import Path

from app.commands.index_options import asked


def test_questions_to_learn_from_may_have_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "asked.jsonl"
    path.write_text('{"id": "1", "question": "What is the capital of Kenya?"}\n', encoding="utf-8")
    queries = asked(path, None)
    assert queries is not None
    [query] = queries
    assert query.image is None

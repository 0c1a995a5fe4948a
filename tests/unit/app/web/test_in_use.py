"""What the page says it answers with, and what is wrong with it."""

from app.web.in_use import lines_in_use, look
from generator.errors import GeneratorUnavailable
from retriever.errors import IndexUnavailable


def test_what_is_in_use_is_named(pipeline) -> None:
    lines = {line.what: line for line in look(pipeline)}
    assert lines["Checkpoint"].said.startswith("B_preflmr@")
    assert lines["Index"].said == "4 passages (corpus: passages)" and lines["Index"].ok
    assert lines["Generator"].said == "scripted" and lines["Generator"].ok
    assert lines["Device"].said == "cpu, float32"
    # Nothing was fitted for these models, and what to do about that is said.
    assert not lines["Confidence"].ok and "kbvqa evaluate" in lines["Confidence"].said


def test_what_is_away_is_said_with_what_to_do_and_the_rest_is_still_there(
    pipeline, monkeypatch
) -> None:
    def down() -> str:
        raise GeneratorUnavailable("<the server> is not reached: start it.")

    class Gone:
        fingerprint, state = pipeline.index.fingerprint, ""

        @property
        def count(self) -> int:
            raise IndexUnavailable("Qdrant is not reached: start it.")

    monkeypatch.setattr(pipeline.generator, "health", down)
    monkeypatch.setattr(pipeline, "index", Gone())
    html = lines_in_use(look(pipeline))
    assert html.count("data-wrong") == 3
    assert "<code>kbvqa evaluate answers --out DIR</code>" in html
    assert "<strong>Not in order.</strong> &lt;the server&gt; is not reached: start it." in html
    assert "Qdrant is not reached: start it." in html and "B_preflmr@" in html

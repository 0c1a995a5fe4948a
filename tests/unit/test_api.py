"""`import kbvqa`: the public names, and the program that the README shows."""

import dataclasses
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import kbvqa
from corpus.demo.data import demo_dir
from generator.extractive.model import SHIPPED

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", kbvqa.__all__)
def test_a_public_name_is_importable_and_says_what_it_is(name: str) -> None:
    thing = getattr(kbvqa, name)
    documentation = inspect.getdoc(thing)
    assert documentation and not documentation.startswith(f"{name}("), "dataclass's own"
    for method, function in inspect.getmembers(thing, inspect.isroutine):
        own = getattr(function, "__qualname__", "").startswith(thing.__name__ + ".")
        if own and not method.startswith("_"):
            assert inspect.getdoc(function), f"{name}.{method}"


def test_importing_costs_nothing() -> None:
    code = "import sys, kbvqa; print('torch' in sys.modules, 'app' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.split() == ["False", "False"], run.stderr


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Retriever'"):
        kbvqa.Retriever  # noqa: B018


def test_another_package_named_app_is_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("")
    (tmp_path / "app" / "pipeline.py").write_text("Pipeline = 1")
    (tmp_path / "app" / "cli.py").write_text("def main(): print('not ours')")
    code = f"import sys; sys.path.append({str(ROOT)!r}); from kbvqa import Pipeline"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert f"{tmp_path / 'app'} is in the way" in run.stderr and run.returncode
    run = subprocess.run(
        [sys.executable, "-m", "kbvqa", "--help"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    assert "Ask a knowledge question" in run.stdout, run.stderr


@pytest.mark.parametrize("place", ["app/__init__.py", "corpus/__init__.py", "app.py"])
def test_what_is_in_the_way_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("")
    code = f"import sys; sys.path.append({str(ROOT)!r}); import kbvqa; kbvqa.Passage"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    named = tmp_path / place.removesuffix("/__init__.py")
    assert f"ImportError: {named} is in the way" in run.stderr


def test_the_program_in_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [program] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    picture = Image.open(demo_dir() / "examples" / "kenya.png")
    picture.save("flag.png")
    names: dict[str, object] = {}
    exec(program, names)
    [made] = re.findall(r'build\("(.+?)"', program)
    assert (tmp_path / made).is_dir()
    commands = (ROOT / "README.md").read_text().partition("## On the command line")[2]
    assert f"--index {made}" not in commands, "the program deletes what the command has built"
    assert capsys.readouterr().out.startswith("Nairobi (Citation(passage_id='ke'")
    scores, hits = names["scores"], names["hits"]
    assert isinstance(scores, torch.Tensor) and isinstance(hits, list)
    assert scores.shape == (1, 2) and scores[0, 0] > scores[0, 1]
    assert [hit.passage.id for hit in hits] == ["ke", "jp"]
    assert [hit.score for hit in hits] == pytest.approx(scores[0].tolist(), rel=2e-3)  # float16


def test_an_index_of_a_list_becomes_what_is_asked_for(tmp_path: Path) -> None:
    encoder = kbvqa.Encoder.from_pretrained("kbvqa-mini")
    kenya = kbvqa.Passage("ke", "Kenya", "Capital: Nairobi.")
    japan = kbvqa.Passage("jp", "Japan", "Capital: Tokyo.")
    chad = kbvqa.Passage("td", "Chad", "Capital: N'Djamena.")
    with kbvqa.PassageIndex.build(tmp_path / "index", [kenya, japan], encoder) as index:
        first = dict(index.content_hashes())
    with kbvqa.PassageIndex.build(tmp_path / "index", [chad, kenya], encoder) as index:
        assert index.passage_ids() == {"td", "ke"}
        assert index.content_hashes()["ke"] == first["ke"]
    with pytest.raises(ValueError, match="two passages have the id 'ke'"):
        kbvqa.PassageIndex.build(tmp_path / "other", [kenya, kenya], encoder)
    with pytest.raises(ValueError, match="no passages"):
        kbvqa.PassageIndex.build(tmp_path / "other", [], encoder)
    assert not (tmp_path / "other").exists()


def test_passages_come_back_in_their_order_whatever_their_ids() -> None:
    encoder = kbvqa.Encoder.from_pretrained("kbvqa-mini")
    texts = ["The giraffe is a tall mammal of Africa.", "Tea.", "A bear eats fish and honey."]
    passages = [kbvqa.Passage("same", "", text) for text in texts]
    together = encoder.encode_passages(passages)
    assert len(together[1]) < len(together[2]) and len(together[1]) < len(together[0])
    for passage, rows in zip(passages, together, strict=True):
        [alone] = encoder.encode_passages([passage])
        np.testing.assert_allclose(rows, alone, atol=1e-5)


def test_an_index_of_another_checkpoint_is_refused(tmp_path: Path) -> None:
    encoder = kbvqa.Encoder.from_pretrained("kbvqa-mini")
    kenya = kbvqa.Passage("ke", "Kenya", "Capital: Nairobi.")
    with kbvqa.PassageIndex.build(tmp_path / "index", [kenya], encoder) as index:
        kbvqa.Pipeline(encoder, index)
        encoder.checkpoint = dataclasses.replace(encoder.checkpoint, revision="0" * 12)
        with pytest.raises(kbvqa.KbvqaError, match=r"was made with .* not kbvqa-mini@0000"):
            kbvqa.Pipeline(encoder, index)


def test_what_a_program_gets_wrong_is_said(tmp_path: Path) -> None:
    encoder = kbvqa.Encoder.from_pretrained("kbvqa-mini")
    kenya = kbvqa.Passage("ke", "Kenya", "Capital: Nairobi.")
    with pytest.raises(TypeError, match=r"each must be a Query.*not 'text'"):
        encoder.encode_query("text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'\\ud800' holds half of a surrogate pair"):
        encoder.encode_query(kbvqa.Query("\ud800"))
    with pytest.raises(TypeError, match="must be a text, got None"):
        encoder.encode_query(kbvqa.Query(None))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"encoder: a kbvqa\.Encoder is expected, not 'kbvqa-mini'"):
        kbvqa.Pipeline("kbvqa-mini", None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"index: a kbvqa\.PassageIndex is expected, not 'c'"):
        kbvqa.Pipeline(encoder, "c")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a list of Query is expected, not Query"):
        encoder.encode_queries(kbvqa.Query("What?"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"PIL picture.*not 'flag.png'"):
        encoder.encode_query(kbvqa.Query("What?", "flag.png"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"each must be a Passage.*not 'hello'"):
        encoder.encode_passages(["hello"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="a list of Passage is expected, not 'hello'"):
        encoder.encode_passages("hello")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"each must be a Passage.*not 'hello'"):
        kbvqa.PassageIndex.build(tmp_path / "index", ["hello"], encoder)  # type: ignore[list-item]
    assert not (tmp_path / "index").exists()
    with kbvqa.PassageIndex.build(tmp_path / "index", iter([kenya]), encoder) as index:
        for question in (kbvqa.Query("What?"), "What?"):
            with pytest.raises(TypeError, match=r"encoder.encode_query\(...\)"):
                index.search(question, 1)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"filter must be a PassageFilter or None, got \{\}"):
            index.search(encoder.encode_query(kbvqa.Query("What?")), 1, filter={})  # type: ignore[arg-type]
        pipeline = kbvqa.Pipeline(encoder, index)
        with pytest.raises(TypeError, match=r"query: a kbvqa\.Query is expected, not 'What"):
            pipeline.ask("What?", answer=False)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"answering: .* not 'reader'"):
            kbvqa.Pipeline(encoder, index, "reader")  # type: ignore[arg-type]
        for top_k in (0, -1):
            with pytest.raises(ValueError, match=f"top_k must be >= 1, got {top_k}"):
                pipeline.ask(kbvqa.Query("What?"), top_k, answer=False)
        [rows] = encoder.encode_queries(kbvqa.Query(text) for text in ["What?"])
        assert [hit.passage for hit in index.search(rows, 1)] == [kenya]


def test_a_tilde_is_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = kbvqa.Encoder.from_pretrained("kbvqa-mini")
    kenya = kbvqa.Passage("ke", "Kenya", "Capital: Nairobi.")
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    kbvqa.PassageIndex.build("~/index", [kenya], encoder).close()
    assert (tmp_path / "home" / "index").is_dir()
    with kbvqa.PassageIndex.open("~/index") as index:
        assert index.passage_ids() == {"ke"}
    with pytest.raises(kbvqa.KbvqaError, match="no such user's home"):
        kbvqa.PassageIndex.build("~no-such-user/index", [kenya], encoder)
    shutil.copy(SHIPPED, tmp_path / "home")
    read = kbvqa.Reader.from_pretrained(f"~/{SHIPPED.name}")
    assert read.name == kbvqa.Reader.from_pretrained(str(SHIPPED)).name
    with pytest.raises(kbvqa.KbvqaError, match="not a checkpoint directory"):
        kbvqa.Encoder.from_pretrained("~/none")
    assert not list((tmp_path / "here").iterdir())

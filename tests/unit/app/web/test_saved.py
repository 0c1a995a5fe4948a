"""An answer as one file: whole, escaped, and with nothing to load."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace

from PIL import Image

from app.asking.why import explain
from app.pipeline import Pipeline
from app.web.keeping.saved import document, template
from app.web.views import finished
from corpus.types import Hit, Passage, Query

EVIL = Passage(
    id="x",
    title="<script>alert(1)</script>",
    text='An <img src=x onerror="alert(1)"> & "Paris" <!--slot:picture--> ${1}',
    url="javascript:alert(1)",
)
QUESTION = "Which <b>city</b>? <!--slot:answer--></title>"


def saved(pipeline: Pipeline, *, evil: bool = False) -> str:
    query = Query(QUESTION, Image.new("RGB", (32, 24), "red"))
    result = pipeline.ask(query, 2)
    if evil:
        hits = (Hit(EVIL, 3.0), *result.retrieval.hits[1:])
        result = replace(result, retrieval=replace(result.retrieval, hits=hits))
    why = None if evil else explain(pipeline, query, result.retrieval)
    return document(query.image, finished(pipeline, query.question, result, why))


def test_it_has_all_of_the_answer(pipeline: Pipeline) -> None:
    html = saved(pipeline)
    assert "Which &lt;b&gt;city&lt;/b&gt;?" in html
    assert '<p class="kb-text">Paris <a class="kb-chip' in html
    assert html.count('<article class="kb-card') == 2
    assert "B_preflmr@" in html and "confidence" in html and "Asked 20" in html
    assert "kb-why" in html and "data:image/jpeg;base64," in html


def test_it_loads_nothing_and_runs_its_own_script_alone(pipeline: Pipeline) -> None:
    html = saved(pipeline)
    assert not re.search(r'(?:src|srcset)="(?!data:)|@import|url\(|<link', html)
    [script] = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src "
    assert f"{policy}'sha256-{digest}'" in html


def test_what_comes_from_outside_is_escaped_and_fills_no_slot(pipeline: Pipeline) -> None:
    html = saved(pipeline, evil=True)
    assert html.count("<script") == 1 and "<img src=x" not in html and "<b>city" not in html
    assert "javascript:" not in html
    assert "<!--slot:" not in html and "&lt;!--slot:picture--&gt;" in html
    assert html.count("</title>") == 1


def test_the_template_has_the_slots_that_the_browser_fills() -> None:
    slots = set(re.findall(r"<!--slot:(\w+)-->", template()))
    assert slots == {"question", "picture", "answer", "passages", "footer"}


def test_it_is_made_without_the_packages_of_the_page() -> None:
    program = (
        "import sys; sys.modules['gradio'] = sys.modules['fastapi'] = None\n"
        "import app.web.keeping.saved"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_record_says_what_was_asked_and_when(pipeline: Pipeline) -> None:
    result = pipeline.ask(Query("Which city? ", Image.new("RGB", (32, 24))), 2)
    record = finished(pipeline, "Which city? ", result, None).record
    assert record is not None and json.dumps(record)
    assert record["question"] == "Which city?" and record["answer"] == "Paris"
    assert re.fullmatch(r"[0-9a-f]{32}", record["id"]) and record["time"].endswith("+00:00")

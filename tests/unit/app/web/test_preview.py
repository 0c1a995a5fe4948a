"""What a link to the page looks like elsewhere."""

import re
from importlib.resources import files

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.web.serving.own_pages import OwnPages
from app.web.serving.preview import DESCRIPTION


def test_previews_have_our_words_and_nothing_of_gradio() -> None:
    """Of Gradio's own page, as it comes with it."""
    theirs = (files("gradio") / "templates" / "frontend" / "index.html").read_text("utf-8")
    assert "@Gradio" in theirs

    def page(request) -> HTMLResponse:
        return HTMLResponse(theirs)

    def data(request) -> JSONResponse:
        return JSONResponse({"html": '<meta property="og:title" content="Gradio" /></head>'})

    routes = [Route("/", page), Route("/data", data)]
    client = TestClient(Starlette(routes=routes, middleware=[Middleware(OwnPages)]))
    html = client.get("/").text
    tags = re.findall(r"<meta[^>]*(?:og:|twitter:)[^>]*>", html)
    assert tags and not [tag for tag in tags if "radio" in tag]
    assert f'<meta property="og:description" content="{DESCRIPTION}" />' in html
    assert html.count("og:title") == 1 and html.rstrip().endswith("</html>")
    # Nothing else is touched.
    assert "Gradio" in client.get("/data").json()["html"]

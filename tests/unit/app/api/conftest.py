"""The API on the tiny pipeline."""

import base64
import io
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.api.application import Served, build_api
from app.pipeline import Pipeline
from app.settings import Settings
from tests.served_here import HERE


@pytest.fixture(scope="session")
def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 24), "red").save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def encoded(png: bytes) -> str:
    return base64.b64encode(png).decode()


@pytest.fixture
def served(pipeline: Pipeline) -> Served:
    return build_api(pipeline, Settings())


@pytest.fixture
def client(served: Served) -> Iterator[TestClient]:
    with TestClient(served.app, raise_server_exceptions=False, base_url=HERE) as client:
        yield client

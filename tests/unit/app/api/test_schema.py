"""Requests that nobody thought of, made from the OpenAPI document: none is answered with 5xx.

KBVQA_TEST_REQUESTS is how many of each kind.
"""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from app.api.application import build_api
from app.pipeline import Pipeline
from app.settings import Settings

EXAMPLES = int(os.environ.get("KBVQA_TEST_REQUESTS", "50"))
AS_SAID, OTHERWISE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
# Not whether all that the document leaves out is refused: numbers as texts are taken, for example.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        ("POST", "/v1/ask", AS_SAID),
        ("POST", "/v1/ask", OTHERWISE),
        ("POST", "/v1/search", AS_SAID),
        ("POST", "/v1/search", OTHERWISE),
        ("GET", "/v1/passages/{id}", AS_SAID),
        ("GET", "/v1/models", AS_SAID),
        ("GET", "/healthz", AS_SAID),
        ("GET", "/readyz", AS_SAID),
        ("GET", "/metrics", AS_SAID),
    ],
)
def test_no_request_breaks_it(
    pipeline: Pipeline, method: str, path: str, mode: GenerationMode
) -> None:
    ours = Settings(api_requests_per_minute=10**6, allowed_hosts="testserver")
    app = build_api(pipeline, ours).app
    operation = schemathesis.openapi.from_asgi("/v1/openapi.json", app)[path][method]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(mode))
    def check(case: schemathesis.Case) -> None:
        answer = case.call()
        # A request that gives next to no seconds gets what it asked for.
        late = answer.status_code == 504
        case.validate_response(answer, checks=CHECKS[1:] if late else CHECKS)

    check()

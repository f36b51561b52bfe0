"""What the API says of itself is what it does: requests drawn from its OpenAPI description, valid ones and others."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import schemathesis
from helpers.served import SMALL
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cosmos_exp.remote.wire import Extra, JobRequest
from cosmos_exp.serving.api import create_app
from cosmos_exp.serving.config import settings as server_settings
from cosmos_exp.serving.service import Service, opened
from cosmos_exp.serving.store import WorkerInfo

EXAMPLES = int(os.environ.get("COSMOS_EXP_API_EXAMPLES", "6"))
"""Of each operation."""
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("described")
    with opened(server_settings([*SMALL, f"serve.state={folder}/state", f"paths.outputs={folder}"]), 1) as found:
        found.stopping.set()  # streams of events end at once
        found.store.set_worker(WorkerInfo("w0", 0, "cpu", "ready", "", ("render",), 0.0))  # which takes no job
        yield found


def test_every_operation_answers_as_it_is_described(service: Service) -> None:
    app = create_app(service)
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", app)
    job = service.store.submit(JobRequest(backend="render", prompt="rain", extra=Extra(clip="known")))[0].id
    asked = []
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=EXAMPLES < 20,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def ask(case) -> None:
            if "job" in (case.path_parameters or {}) and len(asked) % 2 and case.method != "DELETE":
                case.path_parameters["job"] = job
            asked.append(case.call_and_validate(checks=CHECKS).status_code)

        ask()
    assert ({200, 400, 404} <= set(asked) and max(asked) < 500) or set(asked) - set(range(500)) == {503}

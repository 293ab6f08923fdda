"""Every answer is one that the interface's description has: schemathesis looks for one that is not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import hypothesis
import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance  # whether a workflow can run no schema says

from tests.service.conftest import served

EXAMPLES = 300 if os.environ.get("GRAPHFLOW_TEST_SOAK") else 2
HOST = {"host": "127.0.0.1"}


def test_answers_are_as_described(tmp_path: Path) -> None:
    with served(tmp_path, rate=0) as client:
        schema = schemathesis.openapi.from_asgi("/v1/openapi.json", client.app, headers=HOST)
        operations = [found.ok() for found in schema.get_all_operations()]
        assert len(operations) > 20
        for operation in operations:

            @hypothesis.settings(
                max_examples=EXAMPLES, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
            )
            @hypothesis.given(case=operation.as_strategy())
            def check(case: Any) -> None:
                case.call_and_validate(headers=HOST, excluded_checks=[positive_data_acceptance])

            check()

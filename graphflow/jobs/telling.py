"""Errors as JSON objects: for programs that read a command's output, for the service, and for its record."""

from __future__ import annotations

import math
from typing import Any

from graphflow.errors import GraphflowError, InvalidInputError, NodeError, Problem, WorkflowError


def error_json(error: BaseException) -> dict[str, Any]:
    """Return an error as a JSON object."""
    if not isinstance(error, GraphflowError):
        code = InvalidInputError.exit_code if isinstance(error, OSError) and error.strerror else 1
        return {"event": "error", "message": f"{type(error).__name__}: {error}", "exit_code": code}
    data: dict[str, Any] = {
        "event": "error",
        "message": error.message,
        "where": error.where,
        "advice": error.advice,
        "exit_code": error.exit_code,
    }
    if isinstance(error, WorkflowError):
        data["problems"] = [problem_json(problem) for problem in error.problems]
    if isinstance(error, NodeError):
        data |= {"node": error.node, "node_type": error.node_type, "cause_type": type(error.cause).__name__}
    return data


def problem_json(problem: Problem) -> dict[str, str]:
    """Return a problem as a JSON object."""
    return {"path": problem.path, "message": problem.message, "advice": problem.advice}


def finite(data: Any) -> Any:
    """Return data with ``"-Infinity"`` and the like for numbers that JSON does not have."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return "NaN" if math.isnan(data) else "Infinity" if data > 0 else "-Infinity"
    return data

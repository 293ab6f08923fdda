"""Which HTTP status tells which error, for the service that answers and for the clients that read it."""

from __future__ import annotations

from collections.abc import Mapping

from graphflow.errors import GraphflowError, InvalidInputError, LimitError
from graphflow.jobs.job import JobConflictError, QueueFullError, UnknownJobError

STATUS: Mapping[type[GraphflowError], int] = {
    UnknownJobError: 404,
    JobConflictError: 409,
    QueueFullError: 429,
    LimitError: 413,
    InvalidInputError: 422,  # the first two are of this kind, too
}
"""The status of an answer by the error that it tells, the first that fits; others are a 500."""


def status_of(error: Exception) -> int:
    """Return the status of an answer that tells an error."""
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)


def kind_of(status: int) -> type[GraphflowError]:
    """Return what kind of error an answer of a status tells."""
    return next((kind for kind, told in STATUS.items() if told == status), GraphflowError)

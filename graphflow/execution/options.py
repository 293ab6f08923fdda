"""What planning and running take beside the workflow and its inputs, for functions that pass it on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from graphflow.events import Sink
    from graphflow.execution.environment import Cancellation
    from graphflow.planning.safety import Policy


class PlanOptions(TypedDict, total=False):
    """Options of :meth:`graphflow.session.Session.plan`, which explains them."""

    overrides: Mapping[str, Any] | None
    targets: Iterable[str] | None
    safety: Policy | None
    folder: Path | str | None
    input_folder: Path | str | None


class RunOptions(PlanOptions, total=False):
    """Options of :meth:`graphflow.session.Session.run`, which explains them."""

    out: Path | str
    sink: Sink
    cancellation: Cancellation | None
    previews: bool

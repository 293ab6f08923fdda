"""graphflow: workflow graphs for diffusion models.

JSON node graphs, validated, planned, executed with cached intermediate tensors on Diffusers. Importing this package
imports neither torch nor diffusers; running a workflow does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

# At once, not when it is asked for: the module of this name would stand in its place by then.
from graphflow import runtime as _runtime
from graphflow.document import opening as _opening

if TYPE_CHECKING:
    from graphflow.building.refs import Link
    from graphflow.building.workflow import Workflow
    from graphflow.document.document import NodeEntry
    from graphflow.errors import GraphflowError
    from graphflow.execution.environment import Cancellation
    from graphflow.execution.result import Result
    from graphflow.service.asynchronous import AsyncClient
    from graphflow.service.client import Client
    from graphflow.session import Session, run
    from graphflow.settings import Settings
    from graphflow.spec.decorator import Each, InputFile, ModelName, OneOrMany, Seed, node
    from graphflow.sweeps.results import Swept
    from graphflow.sweeps.sweep import sweep

    _T = TypeVar("_T")
    Ref = Annotated[_T, "link"]  # which to type checkers is the value that it leads to

    __version__: str

__path__.append(str(Path(__file__).parent / "names_of_0_1"))

_HOMES = {
    "AsyncClient": "graphflow.service.asynchronous",
    "Cancellation": "graphflow.execution.environment",
    "Client": "graphflow.service.client",
    "Each": "graphflow.spec.decorator",
    "GraphflowError": "graphflow.errors",
    "InputFile": "graphflow.spec.decorator",
    "Link": "graphflow.building.refs",
    "ModelName": "graphflow.spec.decorator",
    "NodeEntry": "graphflow.document.document",
    "OneOrMany": "graphflow.spec.decorator",
    "Ref": "graphflow.building.refs",
    "Result": "graphflow.execution.result",
    "Seed": "graphflow.spec.decorator",
    "Session": "graphflow.session",
    "Settings": "graphflow.settings",
    "Workflow": "graphflow.building.workflow",
    "Swept": "graphflow.sweeps.results",
    "node": "graphflow.spec.decorator",
    "run": "graphflow.session",
    "sweep": "graphflow.sweeps.sweep",
}

__all__ = [
    "AsyncClient",
    "Cancellation",
    "Client",
    "Each",
    "GraphflowError",
    "InputFile",
    "Link",
    "ModelName",
    "NodeEntry",
    "OneOrMany",
    "Ref",
    "Result",
    "Seed",
    "Session",
    "Settings",
    "Swept",
    "Workflow",
    "node",
    "run",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _from("graphflow.planning.numerics", "version_of")("graphflow-diffusers")
    if name not in _HOMES:
        raise AttributeError(f"module 'graphflow' has no attribute {name!r}")
    return _from(_HOMES[name], name)


def _from(module: str, name: str) -> Any:
    import importlib

    return getattr(importlib.import_module(module), name)


_runtime.make_default_by(lambda: _from("graphflow.session", "default_runtime")())
_opening.open_by(lambda source, keep: _from("graphflow.converters.opening", "open_workflow")(source, keep))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

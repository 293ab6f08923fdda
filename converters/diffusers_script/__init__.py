"""Workflows as plain Diffusers scripts: no graphflow is needed to run them.

>>> from graphflow.converters.diffusers_script import to_script
>>> print(to_script("txt2img.json"))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphflow.document.opening import Openable
from graphflow.planning.expand import Expanded

from .build import build
from .emitters import EMITTERS
from .graph import read_graph
from .render import render
from .script import Script, Style

if TYPE_CHECKING:
    from graphflow.planning.safety import Policy
    from graphflow.session import Session

SUPPORTED = frozenset(EMITTERS)
"""Node types that a script can hold; value nodes and switches are settled before."""

__all__ = ["SUPPORTED", "Exported", "Script", "export", "to_script"]


@dataclass(frozen=True)
class Exported:
    """A script and what to say of it.

    Attributes:
        code: Its text.
        report: What the script does otherwise than the workflow, and what it leaves fixed.
        script: Its parts.
    """

    code: str
    report: tuple[str, ...]
    script: Script


def export(
    workflow: Openable | Expanded,
    *,
    session: Session | None = None,
    inputs: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    style: Style = "exact",
    safety: Policy | None = None,
    folder: Path | None = None,
    input_folder: Path | None = None,
) -> Exported:
    """Make a Diffusers script of a workflow.

    Args:
        workflow: A workflow, or what names one, as for :func:`graphflow.run`.
        session: Where node types, models and settings come from; None makes one.
        inputs: Values for exposed inputs; they become the defaults of the script's arguments.
        overrides: Values for ``node.parameter``.
        style: ``exact`` draws the same picture, with a pipeline call where one does; ``pipeline`` calls a pipeline where
            one is near.
        safety: The safety policy; None is that of the settings.
        folder: The document's folder, in which its file names resolve; that of its file by default.
        input_folder: Another folder in which they resolve.

    Raises:
        WorkflowError: With every problem of the document, or every node that cannot be exported.
        ConversionError: The workflow writes nothing.
    """
    from graphflow.session import Session

    session = session or Session()
    expanded = workflow if isinstance(workflow, Expanded) else session.expand(workflow, inputs, overrides)
    graph = read_graph(expanded, session, safety=safety, folder=folder or expanded.folder, input_folder=input_folder)
    script = build(graph, session.library, style)
    _say_what_is_fixed(script)
    return Exported(render(script), (*script.report, *graph.notices), script)


def to_script(workflow: Openable | Expanded, **options: Any) -> str:
    """Return a Diffusers script of a workflow; see :func:`export`."""
    return export(workflow, **options).code


def _say_what_is_fixed(script: Script) -> None:
    """Name the exposed inputs that the script does not leave open."""
    fixed = [name for name in script.graph.document.inputs if name in script.facts.pinned]
    if fixed:
        script.say(f"Fixed in this script: {', '.join(fixed)}.")

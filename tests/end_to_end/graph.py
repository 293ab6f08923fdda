"""Graphs written as calls, for tests of many small nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphflow import Workflow, events, nodes, workflows
from graphflow.building.refs import Ref
from graphflow.session import Session

PICTURES = workflows.path("img2img").parent / "pictures"


class Graph:
    """A graph under way: ``g.resize(images=…)`` adds that node."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.workflow = Workflow("nodes")

    def __getattr__(self, name: str) -> Callable[..., Ref[Any]]:
        return lambda **arguments: self.workflow.add(getattr(nodes, name), **arguments)

    def picture(self, size: int = 64) -> Ref[Any]:
        return self.resize(images=self.load_image(file="red_circle.png").image, width=size, method="area")

    def values(self, *targets: Ref[Any], folder: Path = PICTURES) -> list[Any]:
        """Run the graph and return what the targets are."""
        self.workflow.document.outputs.clear()
        for number, target in enumerate(targets):
            self.workflow.output(f"output_{number}", target)
        addresses = [target.address for target in targets]
        return list(self.session.run(self.workflow, targets=addresses, folder=folder).outputs.values())

    def write(self, out: Path) -> tuple[list[Path], list[str]]:
        """Run what writes; return the files and the notices."""
        told: list[str] = []
        result = self.session.run(
            self.workflow,
            out=out,
            folder=PICTURES,
            sink=lambda event: told.append(event.message) if isinstance(event, events.Notice) else None,
        )
        return result.paths, told

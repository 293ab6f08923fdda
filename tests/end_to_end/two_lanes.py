"""Packaged workflows on one lane and on several, with as many threads each; random weights for models that are not there."""

from __future__ import annotations

from pathlib import Path

from graphflow import events
from graphflow.document.document import read
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.workflows import path

SMALL = {"steps": 4, "width": 64, "height": 64, "megapixels": 0.01}


def drawn(name: str, folder: Path, devices: str) -> tuple[dict[str, bytes], set[str]]:
    """Run a workflow with few steps, small; returns its files, and the lanes on which nodes ran."""
    known = read(path(name)).inputs
    settings = Settings.model_validate({"models": (), "cache_dir": folder / "cache", "device": "cpu", "stand_in": True})
    lanes: set[str] = set()

    def sink(event: events.Event) -> None:
        if isinstance(event, events.NodeStarted) and event.lane:
            lanes.add(event.lane)

    with Session(settings, devices=devices) as session:
        inputs = {input: SMALL[input] for input in SMALL if input in known}
        result = session.run(name, inputs, out=folder / "out", folder=path(name).parent, sink=sink, safety="off")
    return {file.name: file.read_bytes() for file in result.paths}, lanes

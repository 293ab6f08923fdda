"""``graphflow show``: how a file was made, as it tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphflow.cli.failures import json_errors, print_json
from graphflow.cli.options import AsJson
from graphflow.cli.terminal import add_row, console, count, literal, print_table, size, styled, table

if TYPE_CHECKING:
    from graphflow.reproduce.carried import Carried

EPILOG = "Examples: graphflow show out/txt2img_00001.png · graphflow show theirs.png --json"

AUTOV2 = 10
"""Digits of a SHA-256 that Civitai calls AutoV2."""

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE…", show_default=False, help="Pictures, sounds, videos or latents that a run wrote."),
]


def show(files: Files, as_json: AsJson = False) -> None:
    """Show how files were made: values, models with their SHA-256, versions, circumstances, marks.

    Parameters that other programs wrote into a picture (AUTOMATIC1111, ComfyUI) are shown too.
    """
    from graphflow.reproduce.carried import carried

    with json_errors(as_json):
        found = [carried(path) for path in files]
    if as_json:
        print_json([to_json(item) for item in found], indent=2)
        return
    target = console()
    for index, item in enumerate(found):
        if index:
            target.print()
        target.print(styled(item.path, "bold"), soft_wrap=True)
        rows = table("", "")
        rows.show_header = False
        for name, value in told(item):
            add_row(rows, styled(name, "cyan"), value)
        print_table(target, rows)


def to_json(item: Carried) -> dict[str, Any]:
    """Return what a file tells as a JSON object."""
    from graphflow.document.infotext import parse

    info = parse(item.infotext)
    return {
        "file": str(item.path),
        "mark": item.mark or None,
        "content_credentials": item.signed,
        "workflow": item.workflow or None,
        "record": item.record or None,
        "grid_of": [path.relative_to(item.path.parent).as_posix() for path in item.pictures],
        "comfyui": sorted(item.texts.keys() & {"prompt", "workflow"}),
        "infotext": None
        if info is None
        else {"prompt": info.prompt, "negative_prompt": info.negative, "settings": dict(info.settings)},
    }


def told(item: Carried) -> Iterator[tuple[str, str]]:
    """Yield name and value of all that a file tells."""
    from graphflow.document.infotext import parse

    yield from _of_workflow(item.workflow)
    yield from _of_record(item.record)
    if item.pictures:
        yield "grid of", "\n".join(path.relative_to(item.path.parent).as_posix() for path in item.pictures)
    if (info := parse(item.infotext)) is not None:
        yield "prompt", info.prompt
        yield "negative prompt", info.negative
        yield from info.settings.items()
        yield "", "written by AUTOMATIC1111 or its kin; `graphflow import` makes a workflow of it"
    if item.texts.keys() & {"prompt", "workflow"}:
        yield "ComfyUI", "carries " + " and ".join(sorted(item.texts.keys() & {"prompt", "workflow"}))
    yield "mark", item.mark or "none: nothing says that a model made it"
    if item.signed:
        yield "content credentials", "signed (C2PA); graphflow does not check the signature"


def _of_workflow(workflow: dict[str, Any]) -> Iterator[tuple[str, str]]:
    nodes = workflow.get("nodes")
    if not isinstance(nodes, dict):
        return
    yield "workflow", f"{workflow.get('name') or 'without a name'}, {count(len(nodes), 'node')}"
    for name, value in input_values(workflow).items():
        yield name, value if isinstance(value, str) else literal(value)


def input_values(workflow: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a workflow's inputs, as far as its nodes say them."""
    nodes, inputs = workflow.get("nodes"), workflow.get("inputs")
    found = {}
    for name, exposed in inputs.items() if isinstance(inputs, dict) and isinstance(nodes, dict) else ():
        targets = exposed.get("to") if isinstance(exposed, dict) else None
        for target in targets if isinstance(targets, list) else ():
            node, _, parameter = str(target).partition(".")
            entry = nodes.get(node) if isinstance(nodes, dict) else None
            params = entry.get("params") if isinstance(entry, dict) else None
            if isinstance(params, dict) and parameter in params:
                found[name] = params[parameter]
                break
    return found


def _of_record(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    models = record.get("models")
    for name, model in models.items() if isinstance(models, dict) else ():
        files = model.get("files", {}) if isinstance(model, dict) else {}
        hub = f", {model['hub']} on the Hub" if isinstance(model, dict) and "hub" in model else ""
        if not isinstance(files, dict) or not files:
            continue
        weights = {inside: file for inside, file in files.items() if not inside.endswith((".json", ".txt"))}
        for inside, file in weights.items():
            digest, bytes_ = str(file.get("sha256", "")), file.get("size", 0)
            label = f"model {name}" if len(files) == 1 else f"model {name}/{inside}"
            yield label, f"AutoV2 {digest[:AUTOV2]}, SHA-256 {digest}, {size(bytes_)}{hub}"
        if len(files) > len(weights):
            more = count(len(files) - len(weights), "configuration")
            yield f"model {name}", f"and {more}, whose SHA-256 --json tells"
    safety = record.get("safety")
    if isinstance(safety, dict):
        yield (
            "safety",
            f"policy {safety.get('policy')}: {safety.get('verdict', 'checked' if safety.get('checked') else 'not checked')}",
        )
    for name in ("device", "processor", "dtype", "attention", "measures", "threads", "instructions", "platform"):
        if record.get(name):
            yield name, _plain(record[name])
    if record.get("batched"):
        yield "sampled", "with other variants"
    if record.get("deterministic"):
        yield "deterministic", "on"
    mixed = record.get("mixed")
    for name, values in mixed.items() if isinstance(mixed, dict) else ():
        yield name, f"parts differ: {' and '.join(map(_plain, values))}"
    versions = record.get("versions")
    shown = {"graphflow": record.get("graphflow"), **(versions if isinstance(versions, dict) else {})}
    if text := ", ".join(f"{name} {version}" for name, version in shown.items() if version):
        yield "versions", text
    if record.get("content"):
        yield "content", f"SHA-256 {record['content']}"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(show)

"""``graphflow export``: a workflow as a Diffusers script, builder code, a notebook, or a ComfyUI file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from graphflow.cli.options import (
    Device,
    DtypeOption,
    InputDir,
    Inputs,
    ModelDirs,
    Offline,
    Packs,
    SafetyOption,
    Sets,
    WorkflowName,
    make_session,
)
from graphflow.cli.output import answers
from graphflow.cli.source import input_values, load, named, overrides
from graphflow.cli.terminal import clean, console, styled
from graphflow.cli.writing import file_to_write, write_text
from graphflow.errors import InvalidInputError

if TYPE_CHECKING:
    from graphflow.converters.diffusers_script import Exported
    from graphflow.document.document import Document
    from graphflow.planning.expand import Expanded
    from graphflow.session import Session

EPILOG = """Examples: graphflow export txt2img -o picture.py · graphflow export my.json --to notebook -o my.ipynb · graphflow export my.json --check -o my.py"""

Form = Literal["diffusers", "python", "notebook", "comfyui", "comfyui-ui"]
Target = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", dir_okay=False, metavar="FILE", help="The file to write; standard output without it, or with -."
    ),
]
To = Annotated[
    Form,
    typer.Option(
        "--to",
        help="diffusers: a script that needs no graphflow. python: code that builds the workflow. notebook: the script in cells. comfyui: an API prompt. comfyui-ui: a graph with a layout, for ComfyUI's front end.",
    ),
]
StyleOption = Annotated[
    Literal["exact", "pipeline"],
    typer.Option(
        "--style",
        help="exact draws the same picture; pipeline prefers pipeline calls that are near, and says what differs.",
    ),
]
Check = Annotated[
    bool,
    typer.Option(
        "--check",
        metavar="",
        help="Run the workflow and the script, and compare their pictures; exit 1 where they differ.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--force", metavar="", help="Write over a file that is there.")]


def export(
    workflow: WorkflowName,
    to: To = "diffusers",
    out: Target = None,
    style: StyleOption = "exact",
    check: Check = False,
    force: Overwrite = False,
    inputs: Inputs = None,
    sets: Sets = None,
    input_dir: InputDir = None,
    packs: Packs = None,
    safety: SafetyOption = None,
    device: Device = None,
    dtype: DtypeOption = None,
    models: ModelDirs = None,
    offline: Offline = False,
) -> None:
    """Write a workflow in another form. Names every node that cannot be written; writes the file whole or not at all."""
    if check and to != "diffusers":
        raise InvalidInputError(f"--check compares scripts, not --to {to}", advice="leave one out")
    out = file_to_write(out, force=force)
    session = make_session(packs=packs, device=device, dtype=dtype, models=models, offline=offline, no_cache=True)
    loaded = load(workflow)
    report: tuple[str, ...] = ()
    with named(loaded):
        expanded = session.expand(loaded.document, input_values(inputs), overrides(sets))
        if to == "python":
            text = _builder_code(expanded.document if inputs or sets else loaded.document, session)
        elif to in ("comfyui", "comfyui-ui"):
            text, report = _comfyui_file(expanded, session, layout=to == "comfyui-ui")
        else:
            made = _script(expanded, session, style, safety, loaded.folder, input_dir)
            text, report = _notebook(made) if to == "notebook" else made.code, made.report
    if out is None:
        answers().write(text)
    else:
        write_text(out, text)
        console(error=True).print(styled(f"wrote {clean(str(out))}", "green"))
    for note in report:
        console(error=True).print(styled(f"note: {note}", "yellow"))
    if check:
        from graphflow.cli.export_check import compare

        compared = compare(text, expanded, session, safety, loaded.folder, input_dir)
        console(error=True).print(styled(compared.say(), "green" if compared.ok else "red"))
        raise typer.Exit(0 if compared.ok else 1)


def _script(
    expanded: Expanded,
    session: Session,
    style: Literal["exact", "pipeline"],
    safety: Literal["auto", "require", "off"] | None,
    folder: Path | None,
    input_folder: Path | None,
) -> Exported:
    from graphflow.converters.diffusers_script import export as make

    return make(expanded, session=session, style=style, safety=safety, folder=folder, input_folder=input_folder)


def _notebook(made: Exported) -> str:
    from graphflow.converters.diffusers_script.notebook import to_notebook

    text: str = to_notebook(made)
    return text


def _builder_code(document: Document, session: Session) -> str:
    from graphflow.converters.builder_code import to_python

    text: str = to_python(document, registry=session.registry)
    return text


def _comfyui_file(expanded: Expanded, session: Session, *, layout: bool) -> tuple[str, tuple[str, ...]]:
    import json

    from graphflow.converters.comfyui import to_comfyui
    from graphflow.converters.comfyui.export import export_prompt

    made = export_prompt(expanded.document, registry=session.registry)
    data = to_comfyui(expanded.document, format="ui", registry=session.registry) if layout else made.prompt
    return json.dumps(data, indent=2) + "\n", tuple(f"{node}: {what}" for node, what in made.notes)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(export)

"""``graphflow import``: a ComfyUI file as a native workflow or an API prompt, with a report of every node."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from graphflow.basics.regular import open_regular
from graphflow.cli import imported
from graphflow.cli.failures import json_errors, print_json
from graphflow.cli.options import AsJson, ModelDirs, Offline, Packs, make_session
from graphflow.cli.source import STANDARD_INPUT
from graphflow.cli.terminal import clean, console, styled
from graphflow.cli.writing import file_to_write, write_text
from graphflow.errors import ConversionError, InvalidInputError

if TYPE_CHECKING:
    from graphflow.converters.comfyui import Flattened
    from graphflow.document.opening import Opened
    from graphflow.session import Session

EPILOG = """Examples: graphflow import theirs.png -o mine.json · graphflow import theirs.json --report · graphflow import --coverage workflows/"""

Target = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", dir_okay=False, metavar="FILE", help="The file to write; standard output without it, or with -."
    ),
]

ChoicesSeed = Annotated[
    int | None,
    typer.Option(
        "--choices-seed", metavar="N", show_default=False,
        help="Draw {a|b} in prompts from this number; the same number draws the same. Without it, the first option is taken.",
    ),
]  # fmt: skip


def import_(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="A ComfyUI workflow: JSON of either kind, or a PNG, WebP, JPEG, MP4 or WebM that carries one; or a picture or text with the parameters of AUTOMATIC1111.",
        ),
    ] = None,
    out: Target = None,
    to: Annotated[
        Literal["native", "api"],
        typer.Option("--to", help="native: a graphflow workflow. api: ComfyUI's own prompt format, flat."),
    ] = "native",
    report: Annotated[
        bool, typer.Option("--report", metavar="", help="Say what became of every node, and which models it names.")
    ] = False,
    coverage: Annotated[
        Path | None,
        typer.Option(
            "--coverage", exists=True, file_okay=False, metavar="DIR", help="Count instead, over all files of a folder."
        ),
    ] = None,
    choices_seed: ChoicesSeed = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="TYPE",
            help="Leave out the nodes of this ComfyUI type: what reads them gets what they take, where that is of the same kind. Repeat for more.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Write over a file that is there.")] = False,
    packs: Packs = None,
    models: ModelDirs = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Turn a ComfyUI workflow, or the parameters of AUTOMATIC1111, into a native workflow, without these programs.

    Exits 2 where a node that an output needs is not supported, and names all of them.
    """
    with json_errors(as_json):
        if (file is None) == (coverage is None):
            raise InvalidInputError("name one FILE, or a folder with --coverage", where="graphflow import")
        out = file_to_write(out, force=force)
        session = make_session(packs=packs, models=models, offline=offline)
        if coverage is not None:
            from graphflow.cli.coverage import show_coverage

            show_coverage(coverage, session, as_json)
            return
        if to == "native" and (opened := _from_infotext(str(file))) is not None:
            _write_words(opened, str(file), out, report, as_json, session)
            return
        now = datetime.now() if to == "api" else None  # a native workflow keeps the tokens of dates
        flattened = _flattened(str(file), choices_seed, now, without or ())
        complete = True
        if to == "api":
            _write_prompt(flattened, out)
        else:
            complete = _write_native(flattened, str(file), out, report, as_json, session)
    if not complete:
        raise typer.Exit(ConversionError.exit_code)


def _from_infotext(file: str) -> Opened | None:
    """Return the workflow in what AUTOMATIC1111 and its kin wrote; None where that is not what the file has."""
    from graphflow.converters.opening import from_infotext

    if file == STANDARD_INPUT or not Path(file).is_file():
        return None
    with open_regular(Path(file)) as stream:
        return from_infotext(stream, Path(file).name)


def _flattened(file: str, choices_seed: int | None, now: datetime | None, left_out: Sequence[str]) -> Flattened:
    from graphflow.converters.comfyui import Choices, to_prompt
    from graphflow.converters.comfyui.without import without

    flattened = to_prompt(imported.given(file), choices=Choices(seed=choices_seed), now=now)
    return without(flattened, left_out) if left_out else flattened


def _write_words(opened: Opened, file: str, out: Path | None, wanted: bool, as_json: bool, session: Session) -> None:
    """Say what became of settings in words, and write the workflow."""
    document, told = opened.document, wanted or as_json
    if told:
        imported.show_words(document, session, Path(file).parent, as_json)
    else:
        for remark in document.notices:
            console(error=True).print(styled(f"note: {remark}", "yellow"), soft_wrap=True)
    if out is not None or not told:
        _write(document.to_json(), out)


def _write_prompt(flattened: Flattened, out: Path | None) -> None:
    _write(flattened.prompt, out)
    for problem in flattened.problems:
        console(error=True).print(styled(f"note: {problem}", "yellow"))


def _write_native(
    flattened: Flattened, file: str, out: Path | None, wanted: bool, as_json: bool, session: Session
) -> bool:
    """Say what became of the file, and write its native form; return whether there is one."""
    from graphflow.converters.comfyui import to_native
    from graphflow.converters.comfyui.decision import Trial, decide
    from graphflow.converters.comfyui.models import model_needs

    name = None if file == STANDARD_INPUT else Path(file).stem
    result = to_native(flattened, registry=session.registry, name=name)
    models = model_needs(result.document, session.registry, session.library)
    told = wanted or as_json
    folder = None if file == STANDARD_INPUT else Path(file).parent
    decision = decide(result.document, Trial(session), report=result.report, folder=folder) if told else None
    result = replace(result, report=replace(result.report, models=models, decision=decision))
    if as_json:
        print_json(result.report.to_json(), indent=2)
    elif wanted:
        imported.show_report(console(), result.report)
    else:
        imported.show_summary(console(error=True), result.report)
        imported.show_missing_models(console(error=True), result.report)
    if as_json and not result.report.complete:
        return False  # the report says all of it; an error beside it would break the JSON
    document = result.require()
    if out is not None or not told:
        _write(document.to_json(), out)
    return True


def _write(data: dict[str, Any], out: Path | None) -> None:
    if out is None:
        print_json(data, indent=2)
    else:
        write_text(out, json.dumps(data, ensure_ascii=False, indent=2) + "\n")
        console(error=True).print(styled(f"wrote {clean(str(out))}", "green"))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import", epilog=EPILOG)(import_)

"""``graphflow demo``: the first picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphflow.cli.options import make_session
from graphflow.cli.run import carry_out
from graphflow.cli.source import load
from graphflow.cli.summary import shown_path
from graphflow.cli.terminal import console, styled

EPILOG = "Example: graphflow demo --out pictures --open"
WORKFLOW = "txt2img"
PROMPT = "a green star on a black background"
SEED = 5


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", file_okay=False, metavar="DIR", help="The folder to write the picture to.")
    ] = Path("out"),
    show: Annotated[bool, typer.Option("--open", metavar="", help="Open the picture when it is there.")] = False,
) -> None:
    """Make a first picture, offline, with the small model that comes with graphflow."""
    from graphflow.planning.expand import Text

    target = console()
    target.print(styled(f"Running the packaged workflow {WORKFLOW!r} with the prompt {PROMPT!r} and the seed {SEED}."))
    target.print(
        styled(
            "It uses the small model that comes with graphflow, which draws simple shapes; nothing is downloaded.\n",
            "dim",
        )
    )
    session = make_session(offline=True)
    result = carry_out(session, load(WORKFLOW), {"prompt": Text(PROMPT), "seed": Text(str(SEED))}, {}, out=out)
    if not result.paths:
        return
    picture = result.paths[0]
    target.print()
    target.print(styled("The picture is ", ""), styled(shown_path(picture), "bold green"), sep="", soft_wrap=True)
    target.print(styled("It carries its workflow and a record of how it was made.\n"))
    target.print(styled("Try next:", "bold"))
    for command, meaning in (
        ("graphflow demo", "again: nothing has to run, the picture is up to date"),
        (f'graphflow run {WORKFLOW} -i prompt="a large red circle on a white background"', "another picture"),
        (f"graphflow plan {WORKFLOW} -i seed=8", "what another seed would run, and why"),
        (f"graphflow run {shown_path(picture)} --set sample.steps=10", "run the picture's own workflow, changed"),
        ("graphflow nodes", "what a workflow can be made of"),
    ):
        target.print(styled(f"  {command}", "cyan"), soft_wrap=True)
        target.print(styled(f"      {meaning}", "dim"))
    if show:
        typer.launch(str(picture))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(demo)

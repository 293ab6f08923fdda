"""``graphflow lock`` and ``graphflow env``: exactly which files and versions a workflow was made with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphflow.cli.options import What, Where
from graphflow.cli.output import answers
from graphflow.cli.source import STANDARD_INPUT, input_values, load, named, overrides
from graphflow.cli.spread import spread
from graphflow.cli.terminal import clean, console, count, styled
from graphflow.cli.writing import file_to_write, write_text
from graphflow.errors import InvalidInputError, WorkflowError

if TYPE_CHECKING:
    from graphflow.document.opening import Opened
    from graphflow.planning.expand import Expanded, Text
    from graphflow.reproduce.lock import Lock
    from graphflow.session import Session

EPILOG = (
    "Examples: graphflow lock mine.json · graphflow lock mine.json --update style.safetensors · "
    "graphflow run mine.json --locked · graphflow env mine.lock.json > requirements.txt"
)

Update = Annotated[
    list[str] | None,
    typer.Option(
        "--update",
        metavar="NAME",
        help="Take over only this model or file, or 'versions' or 'numerics', into the lock that is there. Repeat for more.",
    ),
]
Results = Annotated[
    bool,
    typer.Option(
        "--results",
        metavar="",
        help="Run the workflow too, and lock digests of what it writes, for `graphflow verify`.",
    ),
]
LockFile = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", dir_okay=False, metavar="FILE", help="The lock's file; without it, WORKFLOW.lock.json beside it."
    ),
]


@spread
def lock(
    what: What,
    where: Where,
    update: Update = None,
    results: Results = False,
    out: LockFile = None,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Write over a lock that is there.")] = False,
) -> None:
    """Write down which model files (with SHA-256), versions and numerics a workflow uses: WORKFLOW.lock.json.

    `run --locked` refuses where anything is not as locked; `fetch --locked` downloads exactly these files.
    """
    from graphflow.reproduce.lock import path_beside, read_lock, updated
    from graphflow.reproduce.results import results_of

    if what.workflow == STANDARD_INPUT and out is None:
        raise InvalidInputError(
            "standard input has no name for its lock", where="graphflow lock", advice="name one with -o"
        )
    path = out or path_beside(what.workflow)
    old = read_lock(path) if update else None
    file_to_write(path, force=force or bool(update))
    session = where.session()
    loaded = load(what.workflow, report=what.report)
    with named(loaded):
        expanded = session.expand(loaded.document, input_values(what.inputs), overrides(what.sets))
        made = locked_now(session, loaded, expanded, replace(what, targets=None))
    if old is not None:
        made = updated(old, made, list(update or ()))
    given = {"inputs": _texts(what.inputs, input_values), "overrides": _texts(what.sets, overrides)}
    made = made.model_copy(update=given)
    if results:
        with replace(where, no_cache=True).session() as own:
            found = results_of(
                own,
                expanded,
                targets=what.targets,
                safety=what.safety,
                folder=loaded.folder,
                input_folder=what.input_dir,
            )
        made = made.model_copy(update={"results": found})
    write_text(path, made.text())
    shown = f"wrote {clean(path)}: {count(len(made.models), 'model')}, {count(sum(len(model.files) for model in made.models.values()), 'file')}"
    console(error=True).print(styled(shown, "green"), soft_wrap=True)


def _texts(given: list[str] | None, read: Callable[[list[str] | None], Mapping[str, Text]]) -> dict[str, str]:
    return {name: value.text for name, value in sorted(read(given).items())}


def locked_now(session: Session, loaded: Opened, expanded: Expanded, what: What) -> Lock:
    """Return the lock of what is here now.

    Raises:
        WorkflowError: The workflow cannot be planned.
        InvalidInputError: A model is not here.
    """
    from graphflow.reproduce.lock import make_lock

    plan = session.plan(
        expanded, targets=what.targets, safety=what.safety, folder=loaded.folder, input_folder=what.input_dir
    )
    name = Path(what.workflow).name if loaded.folder is not None else what.workflow
    return make_lock(session, plan, name)


def require_locked(session: Session, loaded: Opened, expanded: Expanded, what: What) -> None:
    """Refuse to go on where anything is not as the workflow's lock says.

    Raises:
        WorkflowError: With every difference.
        InvalidInputError: There is no lock.
    """
    from graphflow.reproduce.lock import differences, path_beside, read_lock

    path = path_beside(what.workflow)
    locked = read_lock(path)
    found = differences(locked, locked_now(session, loaded, expanded, what))
    if found:
        raise WorkflowError([difference.problem() for difference in found], source=str(path))


def env(
    file: Annotated[Path, typer.Argument(metavar="LOCK", show_default=False, help="A lock, WORKFLOW.lock.json.")],
) -> None:
    """Print the versions of a lock as pip's requirements."""
    from graphflow.reproduce.lock import read_lock, requirements

    answers().write(requirements(read_lock(file)))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=EPILOG)(lock)
    app.command(epilog=EPILOG)(env)

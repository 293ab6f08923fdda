"""``graphflow serve``: jobs over HTTP."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from graphflow.cli.options import SafetyOption, Where
from graphflow.cli.output import answers
from graphflow.cli.spread import spread
from graphflow.cli.terminal import console, styled
from graphflow.errors import InvalidInputError
from graphflow.service.options import DEFAULT_PORT, ServiceOptions

EPILOG = "Examples: graphflow serve · graphflow serve --port 8000 · graphflow serve --host 0.0.0.0 --allow-host pictures.example"

SERVICE = "The service"

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", file_okay=False, metavar="DIR", rich_help_panel=SERVICE, show_default=False,
        help="Where jobs, their files and uploads are kept; default: graphflow/service in the platform's data folder.",
    ),
]  # fmt: skip


@spread
def serve(
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="ADDRESS", rich_help_panel=SERVICE,
            help="Where to listen. At an address that others reach, clients must show a token: GRAPHFLOW_TOKEN, or that of the file token in the data folder.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, rich_help_panel=SERVICE, help="0 takes a free one.")
    ] = DEFAULT_PORT,
    data: Data = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="NAME", rich_help_panel=SERVICE, help="A name by which clients may call it. Repeat for more."
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin", metavar="ORIGIN", rich_help_panel=SERVICE,
            help="An origin whose web pages may call it, such as https://app.example. Repeat for more.",
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs", min=1, max=64, rich_help_panel=SERVICE,
            help="How many jobs are carried out at the same time; they share the device.",
        ),
    ] = 1,
    frontend: Annotated[
        Path | None,
        typer.Option(
            "--comfyui-frontend", file_okay=False, metavar="DIR", rich_help_panel=SERVICE, show_default=False,
            help="Show ComfyUI's own front end at /: your copy of it, the folder that has its index.html.",
        ),
    ] = None,
    previews: Annotated[
        bool,
        typer.Option(
            "--previews/--no-previews", rich_help_panel=SERVICE,
            help="Whether clients of ComfyUI's websocket are sent pictures of what is sampled; some take any picture for the result.",
        ),
    ] = True,
    stdio: Annotated[
        bool,
        typer.Option(
            "--stdio", metavar="", rich_help_panel=SERVICE,
            help="Listen nowhere: read what is asked from standard input and answer on standard output, a JSON object a line, for a program that starts it.",
        ),
    ] = False,
    safety: SafetyOption = None,
    where: Where = Where(),  # noqa: B008  # it is frozen
) -> None:  # fmt: skip
    """Answer requests over HTTP: workflows are checked, queued, carried out and kept, also where it is stopped in between.

    Needs the extra serve: pip install "graphflow-diffusers[serve]". Its interface is described at /v1/openapi.json.
    """
    try:
        from graphflow.service.app import Service, make_app
        from graphflow.service.comfyui.frontend import FrontEnd
        from graphflow.service.comfyui.routes import comfyui_router
        from graphflow.service.lines import Lines
        from graphflow.service.native import native_router
        from graphflow.service.openai import openai_router
        from graphflow.service.serving import listen, token_of
        from graphflow.service.serving import serve as answer
    except ModuleNotFoundError as error:
        raise InvalidInputError(
            f"the package {error.name} is missing", where="serve", advice='pip install "graphflow-diffusers[serve]"'
        ) from error
    from graphflow.settings import default_service_dir

    session = where.session({} if safety is None else {"safety": safety})
    folder = data or default_service_dir()
    options = ServiceOptions(
        host=host, port=port, hosts=tuple(allow_host or ()), origins=tuple(allow_origin or ()), previews=previews
    )
    if stdio:
        with Service(session, folder, options, workers=jobs) as service:
            Lines(service, _write).serve(sys.stdin.buffer)
        return
    front = None if frontend is None else FrontEnd(frontend)
    token, place = token_of(folder, wanted=not options.local)
    with (
        listen(host, port) as listening,
        Service(session, folder, replace(options, token=token), workers=jobs) as service,
    ):

        def ready(address: str) -> None:
            _write(f"{address}\n")
            told = f"; clients show the token in {place}" if token else ""
            console(error=True).print(styled(f"graphflow serves at {address}{told}; Ctrl-C ends it"), soft_wrap=True)

        routers = [native_router(service), openai_router(service), comfyui_router(service)]
        app = make_app(service, routers)
        if front is not None:
            app.mount("/", front)
        answer(app, listening, ready)


def _write(line: str) -> None:
    answers().write(line)
    answers().flush()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(serve)

"""``graphflow models``: the models that names resolve to, what is known of one, and converting pickle files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from graphflow.cli import completing
from graphflow.cli.failures import print_json
from graphflow.cli.options import AsJson, ModelDirs, make_session
from graphflow.cli.terminal import add_row, clean, console, count, literal, print_table, size, styled, table, weights

if TYPE_CHECKING:
    from rich.console import Console

EPILOG = (
    "Examples: graphflow models · graphflow models shapes · graphflow models convert old.ckpt · graphflow models quantise"
    " flux1-dev --to nvfp4"
)


_LONG = 40
"""Characters of a value that are shown without ``--all``."""
_WORST = 8
"""Layers whose errors are shown without ``--all``."""


class _NameOrCommand(TyperGroup):
    """Takes ``graphflow models NAME`` for ``graphflow models show NAME``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        return [
            *super().shell_complete(ctx, incomplete),
            *self.commands["show"].params[0].shell_complete(ctx, incomplete),
        ]


@dataclass(frozen=True)
class _Before:
    """The options that stand before a name or a command."""

    models: tuple[Path, ...]
    as_json: bool


app = typer.Typer(
    name="models",
    cls=_NameOrCommand,
    help="List the models, explain one (`graphflow models NAME`), convert a pickle file to safetensors, or quantise one.",
    epilog=EPILOG,
    invoke_without_command=True,
)


@app.callback()
def everything(context: typer.Context, models: ModelDirs = None, as_json: AsJson = False) -> None:
    """List the models in the model folders and in the Hub's cache."""
    if context.invoked_subcommand is not None:
        context.obj = _Before(tuple(models or ()), as_json)
        return
    from graphflow.library.listing import list_models

    session = make_session(models=models)
    found = list_models(session.library)
    if as_json:
        print_json(found, indent=2)
        return
    target = console()
    rows = table("name", "kind", "family", "weights", "")
    for row in found:
        family = row.get("variant") or row.get("family") or ""
        note = row.get("problem") or ("pickle: `graphflow models convert` it" if row.get("needs_conversion") else "")
        by_dtype = row.get("bytes_by_dtype") or {}
        add_row(
            rows,
            styled(row["name"], "cyan"),
            row["kind"].replace("_", " "),
            family,
            weights(by_dtype) if by_dtype else "",
            styled(note, "yellow"),
        )
    if found:
        print_table(target, rows)
        target.print()
    target.print(styled(count(len(found), "model"), "dim"))
    for root in session.library.roots:
        target.print(
            styled(f"  in {root.path}" + ("" if root.path.is_dir() else " (there is no such folder)"), "dim"),
            soft_wrap=True,
        )
    target.print(
        styled("GRAPHFLOW_MODELS or `models` in the settings file names other folders, e.g. ComfyUI's.", "dim")
    )


@app.command()
def show(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            show_default=False,
            help="A model's name, or a path.",
            autocompletion=completing.model_names,
        ),
    ],
    everything: Annotated[
        bool, typer.Option("--all", metavar="", help="Also show the values that a Diffusers folder's own files have.")
    ] = False,
    models: ModelDirs = None,
    as_json: AsJson = False,
) -> None:
    """Explain one model: its parts, and where each value that its files do not say comes from."""
    from graphflow.library.listing import show_model

    before: _Before = context.obj
    row = show_model(make_session(models=[*before.models, *(models or ())]).library, name)
    if as_json or before.as_json:
        print_json(row, indent=2)
    else:
        _explain(console(), row, everything)


def _explain(target: Console, row: dict[str, Any], everything: bool) -> None:
    what = " ".join(
        part
        for part in (row["kind"].replace("_", " "), row.get("family"), row.get("variant"), f"({row['layout']})")
        if part
    )
    target.print(styled(row["name"], "bold cyan"), styled(what))
    target.print(
        styled(
            f"{row['path'] or 'not downloaded yet'}\n{weights(row['bytes_by_dtype'])}, fingerprint {row['fingerprint']}",
            "dim",
        ),
        soft_wrap=True,
    )
    if row["parts"]:
        rows = table("part", "class", "tensors", "weights", right=["tensors"])
        for name, part in row["parts"].items():
            add_row(rows, styled(name, "cyan"), part["class"], f"{part['tensors']:,}", weights(part["bytes_by_dtype"]))
        target.print()
        print_table(target, rows)
        _explain_formats(target, row["parts"])
    guesses = [guess for guess in row["guesses"] if everything or guess["source"] != "config"]
    if guesses:
        rows = table("value", "", "from")
        for guess in guesses:
            origin = guess["source"] + (f" ({guess['reason']})" if guess["reason"] else "")
            add_row(
                rows,
                guess["field"],
                _short(literal(guess["value"]), everything),
                styled(origin, "" if guess["certain"] else "yellow"),
            )
        target.print()
        print_table(target, rows)
        if not all(guess["certain"] for guess in guesses):
            target.print(styled("Yellow is a guess; a file NAME.json beside the model settles it.", "dim"))
    for warning in row["warnings"]:
        target.print(styled(f"note: {warning}", "yellow"))


def _explain_formats(target: Console, parts: dict[str, Any]) -> None:
    """Say how the weights are quantised, and which are not."""
    rows = table("part", "layers", "format", "tensors", "bits", "weights", right=["tensors", "bits"])
    for name, part in parts.items():
        for group in part["formats"]:
            add_row(
                rows,
                styled(name, "cyan"),
                group["name"],
                group["format"] if group["quantised"] else styled(f"{group['format']} (not quantised)", "dim"),
                f"{group['tensors']:,}",
                f"{group['bits']:.2f}",
                size(group["bytes"]),
            )
    if any(part["formats"] for part in parts.values()):
        target.print()
        print_table(target, rows)


def _short(text: str, everything: bool) -> str:
    return text if everything or len(text) <= _LONG else text[: _LONG - 1] + "…"


@app.command()
def convert(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", show_default=False, help="A pickle file (.ckpt, .pt, .pth, .bin): its name or path."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            dir_okay=False,
            metavar="FILE",
            help="The file to write; by default beside it, ending in .safetensors.",
        ),
    ] = None,
    models: ModelDirs = None,
) -> None:
    """Turn a pickle file into safetensors.

    The file is opened so that it can hold tensors and plain values only; one that wants to run code is refused.
    """
    from graphflow.cli.pickles import to_safetensors

    before: _Before = context.obj
    found = make_session(models=[*before.models, *(models or ())]).library.resolve(name, trusted=True)
    written, tensors, dropped = to_safetensors(found.path, name, output)
    target = console()
    target.print(styled(f"{written}: {count(tensors, 'tensor')}, {size(written.stat().st_size)}"), soft_wrap=True)
    if dropped:
        shown = ", ".join(dropped[:5]) + (" …" if len(dropped) > 5 else "")
        target.print(styled(f"note: left out what is no tensor: {clean(shown)}", "yellow"))


@app.command()
def quantise(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            show_default=False,
            help="A checkpoint, diffusion model or text encoder: its name or path.",
            autocompletion=completing.model_names,
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            show_default=False,
            help="fp8, fp8_scaled, int8, int8_convrot, mxfp8, nvfp4, convrot_w4a4, w4a8, w6a8, awq_w4a16, svdquant_w4a4, or"
            " gguf: with Q8_0, Q6_K, Q5_K, Q4_K or Q4_0.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", dir_okay=False, metavar="FILE", help="The file to write; by default beside the model."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", metavar="", help="Show the error of every layer.")] = False,
    evaluate: Annotated[
        bool, typer.Option("--evaluate/--no-evaluate", help="Evaluate both files once, and tell the difference.")
    ] = True,
    models: ModelDirs = None,
    as_json: AsJson = False,
) -> None:
    """Write a model's linear layers in fewer bits, without calibration, as ComfyUI and graphflow read them.

    Embeddings, norms and the first and last layers stay as they are, and convolutions, but in GGUF files of Stable
    Diffusion; modulation keeps eight bits, but in GGUF.
    """
    from graphflow.cli.quantising import write_quantised

    before: _Before = context.obj
    session = make_session(models=[*before.models, *(models or ())])
    written, report = write_quantised(session, name, to, output, evaluate=evaluate)
    errors = sorted(report.errors.items(), key=lambda item: -item[1])
    if as_json or before.as_json:
        print_json({"path": str(written), **asdict(report)}, indent=2)
        return
    target = console()
    rows = table("layer", "relative error", right=["relative error"])
    for layer, error in errors if everything else errors[:_WORST]:
        add_row(rows, styled(layer, "cyan"), f"{error:.4f}")
    print_table(target, rows)
    if len(errors) > _WORST and not everything:
        target.print(styled(f"and {len(errors) - _WORST} layers of less error (--all shows them)", "dim"))
    mean = sum(report.errors.values()) / len(errors)
    told = f"{written}: {count(len(errors), 'layer')} in {to}, {size(written.stat().st_size)}, mean error {mean:.4f}"
    target.print(styled(told), soft_wrap=True)
    if report.evaluation is not None:
        target.print(f"one evaluation differs by {report.evaluation:.4f} of its largest value")
    elif report.evaluation_missing:
        target.print(
            styled(f"note: it was not evaluated: {clean(report.evaluation_missing)}", "yellow"), soft_wrap=True
        )
    for reason in report.kept.values():
        target.print(styled(f"note: not quantised: {reason}", "yellow"))

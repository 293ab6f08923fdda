"""``graphflow nodes``: which node types there are, and what each takes and gives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphflow.basics.wording import did_you_mean
from graphflow.cli import completing
from graphflow.cli.failures import print_json
from graphflow.cli.options import AsJson, Packs, make_session
from graphflow.cli.terminal import add_row, clean, console, count, literal, paragraph, print_table, styled, table
from graphflow.errors import InvalidInputError
from graphflow.service.catalogue import node_json

if TYPE_CHECKING:
    from rich.console import Console

    from graphflow.spec.decorator import InputSpec, NodeSpec
    from graphflow.spec.registry import Registry

EPILOG = "Examples: graphflow nodes · graphflow nodes sample · graphflow nodes --search upscale --category images"

_SECTIONS = re.compile(r"^(?:Args|Returns|Raises|Yields|Examples?):\s*$", re.MULTILINE)
_BOUNDS = (
    ("minimum", "≥ {}"),
    ("exclusiveMinimum", "> {}"),
    ("maximum", "≤ {}"),
    ("exclusiveMaximum", "< {}"),
    ("multipleOf", "a multiple of {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
)


def nodes(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", show_default=False, help="A node type to explain.", autocompletion=completing.node_types
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            "--search", "-s", metavar="WORD", help="List those with this in their name, description or inputs."
        ),
    ] = None,
    category: Annotated[
        str | None,
        typer.Option(
            "--category",
            "-c",
            metavar="NAME",
            help="List those of one category, e.g. latents.",
            autocompletion=completing.node_categories,
        ),
    ] = None,
    packs: Packs = None,
    as_json: AsJson = False,
) -> None:
    """List the node types, or explain one: its inputs with ranges and defaults, and its outputs."""
    registry = make_session(packs=packs).registry
    if name is None:
        _list(_chosen(registry, search or "", category), as_json)
        return
    if search is not None or category is not None:
        raise InvalidInputError("NAME explains one type, --search and --category list several", where=name)
    spec = registry.get(name)
    if spec is None:
        near = registry.nearest(name)
        raise InvalidInputError(
            "there is no such node type",
            where=name,
            advice=f"did you mean {near!r}?" if near else "`graphflow nodes` lists them; --nodes adds a pack",
        )
    if as_json:
        print_json(node_json(spec), indent=2)
    else:
        _explain(spec)


def _chosen(registry: Registry, word: str, category: str | None) -> list[NodeSpec]:
    """Return the types of a category that have all words of a text in their name, description or inputs."""
    specs = sorted(registry.specs.values(), key=lambda spec: (spec.category, spec.type))
    categories = sorted({spec.category for spec in specs})
    if category is not None and category not in categories:
        advice = did_you_mean(category, categories) or "there are " + ", ".join(categories)
        raise InvalidInputError("there is no such category", where=category, advice=advice)
    words = word.lower().replace("_", " ").split()
    return [
        spec
        for spec in specs
        if category in (None, spec.category)
        and all(part in " ".join((spec.type, spec.doc, *spec.inputs)).lower().replace("_", " ") for part in words)
    ]


def _list(specs: list[NodeSpec], as_json: bool) -> None:
    if as_json:
        print_json([node_json(spec) for spec in specs], indent=2)
        return
    target = console()
    running = [spec for spec in specs if spec.waits is None]
    waiting = [spec for spec in specs if spec.waits is not None]
    _print_by_category(target, running)
    if waiting:
        target.print(
            styled(
                "\nWait for something to be built, mostly a family of models; a run refuses them, but for what `graphflow nodes NAME` tells:\n",
                "bold",
            )
        )
        _print_by_category(target, waiting)
    more = f", and {len(waiting)} that wait" if waiting else ""
    explained = ". `graphflow nodes NAME` explains one." if specs else "; other words may find some"
    target.print(styled(f"\n{count(len(running), 'node type')}{more}{explained}", "dim"))


def _print_by_category(target: Console, specs: list[NodeSpec]) -> None:
    rows = table("type", "does")
    rows.show_header = False
    category = None
    for spec in specs:
        if spec.category != category:
            if category is not None:
                rows.add_row()
            category = spec.category
            add_row(rows, styled(category.replace("_", " "), "bold"), "")
        add_row(rows, styled(f"  {spec.type}", "cyan"), spec.summary)
    print_table(target, rows)


def _explain(spec: NodeSpec) -> None:
    target = console()
    target.print(
        styled(spec.type, "bold cyan"), styled(f"version {spec.version}, {spec.category}, pack {spec.pack}", "dim")
    )
    paragraph(target, styled(_for_people(spec.doc)), indent=2)
    if spec.waits_for is not None:
        _, advice = spec.refusal(spec.waits_for)
        target.print(styled(f"It cannot run yet: it waits for {spec.waits_for}. {advice}.", "yellow"))
    target.print()
    if spec.inputs:
        rows = table("input", "type", "default", "meaning")
        for parameter in spec.inputs.values():
            add_row(rows, styled(parameter.name, "cyan"), _type(parameter), _default(parameter), _meaning(parameter))
        print_table(target, rows)
    if spec.outputs:
        rows = table("output", "type", "meaning")
        for output in spec.outputs:
            main = "what a bare link means" if output.name == spec.primary and len(spec.outputs) > 1 else ""
            add_row(
                rows,
                styled(output.name, "green"),
                str(output.type),
                "; ".join(part for part in (output.description, main) if part),
            )
        target.print()
        print_table(target, rows)


def _for_people(doc: str) -> str:
    """Return a docstring without the sections that are for callers in Python."""
    return _SECTIONS.split(doc, maxsplit=1)[0].replace("``", "`").rstrip()


def _type(parameter: InputSpec) -> str:
    if parameter.many:
        return f"links to {parameter.type}"
    return f"link to {parameter.type}" if parameter.linked else str(parameter.type)


def _default(parameter: InputSpec) -> str:
    if parameter.required:
        return "required"
    return "none" if parameter.default is None else literal(parameter.default)


def _meaning(parameter: InputSpec) -> str:
    parts = [parameter.description] if parameter.description else []
    if parameter.choices:
        parts.append("one of " + ", ".join(str(choice) for choice in parameter.choices))
    elif not parameter.linked:
        parts.extend(_ranges(parameter.json_schema()))
    return clean("; ".join(parts))


def _ranges(schema: dict[str, Any]) -> list[str]:
    shown = [
        form.format(f"{schema[key]:,}" if isinstance(schema[key], int) else schema[key])
        for key, form in _BOUNDS
        if key in schema
    ]
    for part in schema.get("anyOf", ()):
        shown.extend(_ranges(part))
    return shown


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(nodes)

"""Workflows as Python code that builds them: ``--to python``. The code makes the very same document."""

from __future__ import annotations

import importlib
import keyword
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from graphflow.document.document import Document, NodeEntry, split_address
from graphflow.document.flatten import PREFIX
from graphflow.spec.decorator import NodeSpec
from graphflow.spec.registry import Registry, installed

from ..diffusers_script.layout import Expression, call, docstring, lay_out, listed, literal, mapped, quoted

__all__ = ["to_python"]

_OWN = frozenset({"id", "title", "note"})
"""Arguments of ``Workflow.add`` that are no inputs of nodes."""
_FRAME = frozenset({"nodes", "g", "Workflow", "Link", "NodeEntry", "entry", "main"})
Home = Callable[[NodeSpec], "str | None"]


def to_python(document: Document, *, registry: Registry | None = None) -> str:
    """Return code that builds a document; its variable ``g`` is the :class:`graphflow.Workflow`.

    ``g.document == document`` holds, with the order of nodes and inputs. What the builder cannot say is set on
    ``g.document``.

    Args:
        document: The document.
        registry: The known node types; None is every installed pack.
    """
    known = registry if registry is not None else installed()
    writer = _Writer(known)
    functions = [line for name, inner in _inner(document) for line in writer.function(name, inner)]
    body = list(writer.graph(document, 0))
    parts = ["\n".join(docstring([(document.name or "A workflow") + "."])), "\n".join(writer.imports())]
    head = "\n\n".join(parts)
    functions = functions and ["\n\n".join("\n".join(block) for block in _blocks(functions))]
    text = "\n\n\n".join([head, *functions, "\n".join(body)]) if functions else head + "\n\n" + "\n".join(body)
    return text + "\n"


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in lines:
        if line.startswith("def ") and block:
            yield [*block, ""]
            block = []
        block.append(line)
    yield block


def _inner(document: Document) -> Iterator[tuple[str, Document]]:
    """Inner workflows, those inside them first; a name is the path to one."""
    for name, inner in document.workflows.items():
        for below, deeper in _inner(inner):
            yield f"{name}_{below}", deeper
        yield name, inner


@dataclass
class _Writer:
    registry: Registry
    nodes: bool = False
    modules: dict[str, str] = field(default_factory=dict)
    links: bool = False
    entries: bool = False
    functions: dict[int, str] = field(default_factory=dict)

    def imports(self) -> Iterator[str]:
        used = {"Link": self.links, "NodeEntry": self.entries, "Workflow": True, "nodes": self.nodes}
        yield f"from graphflow import {', '.join(name for name, is_used in used.items() if is_used)}"

    def function(self, name: str, document: Document) -> Iterator[str]:
        taken = set(self.functions.values()) | _FRAME
        wanted = _identifier(f"make_{name}", taken)
        self.functions[id(document)] = wanted
        yield f"def {wanted}() -> Workflow:"
        yield from self.graph(document, 1)
        yield "    return g"

    def graph(self, document: Document, depth: int) -> Iterator[str]:
        options = {} if document.description is None else {"description": literal(document.description)}
        named: list[Expression] = [] if document.name is None else [literal(document.name)]
        yield from lay_out("g = ", call("Workflow", *named, **options), depth=depth)
        for name, inner in document.workflows.items():
            yield from lay_out("", call("g.embed", quoted(name), f"{self.functions[id(inner)]}()"), depth=depth)
        variables: dict[str, str] = {}
        unversioned = bool(document.nodes) and all(entry.version is None for entry in document.nodes.values())
        for node_id, entry in document.nodes.items():
            yield from self._node(document, node_id, entry, variables, depth, unversioned)
        if unversioned and variables:
            yield from lay_out("for entry in g.document.nodes.values():", "", depth=depth)
            yield from lay_out("entry.version = None", "", depth=depth + 1)
        for name, exposed in document.inputs.items():
            said: dict[str, Expression] = {}
            if exposed.description is not None:
                said["description"] = literal(exposed.description)
            targets = [quoted(target) for target in exposed.to]
            yield from lay_out("", call("g.expose", quoted(name), *targets, **said), depth=depth)
        for name, address in document.outputs.items():
            shown = self._link(address, variables, document)
            yield from lay_out("", call("g.output", quoted(name), shown), depth=depth)
        yield from _rest(document, depth)

    def _node(
        self,
        document: Document,
        node_id: str,
        entry: NodeEntry,
        variables: dict[str, str],
        depth: int,
        unversioned: bool,
    ) -> Iterator[str]:
        spec = self.registry.get(entry.type)
        place = f"g.document.nodes[{quoted(node_id)}]"
        if spec is None or not _sayable(entry, spec):
            self.entries = True
            yield from lay_out(f"{place} = ", _entry(entry), depth=depth)
            return
        function = self._function(spec)
        if function is None:
            self.entries = True
            yield from lay_out(f"{place} = ", _entry(entry), depth=depth)
            return
        arguments: dict[str, Expression] = {name: literal(value) for name, value in entry.params.items()}
        for name, link in entry.links.items():
            several = isinstance(link, list)
            parts = [self._link(part, variables, document) for part in (link if isinstance(link, list) else [link])]
            arguments[name] = listed(parts) if several else parts[0]
        arguments["id"] = quoted(node_id)
        if entry.title is not None:
            arguments["title"] = literal(entry.title)
        if entry.note is not None:
            arguments["note"] = literal(entry.note)
        variable = _identifier(node_id, set(variables.values()) | _FRAME | set(self.functions.values()))
        variables[node_id] = variable
        yield from lay_out(f"{variable} = ", call("g.add", function, **arguments), depth=depth)
        if not unversioned and entry.version != spec.version:
            yield from lay_out(f"{place}.version = ", literal(entry.version), depth=depth)
        if entry.meta is not None:
            yield from lay_out(f"{place}.meta = ", literal(entry.meta), depth=depth)

    def _function(self, spec: NodeSpec) -> str | None:
        """How code names a node function; None where it cannot."""
        pack = importlib.import_module("graphflow.nodes")
        name = spec.function.__name__
        if getattr(pack, name, None) is spec.function:
            self.nodes = True
            return f"nodes.{name}"
        return None

    def _link(self, address: str, variables: Mapping[str, str], document: Document) -> str:
        """A link: an attribute of the variable where that says the same, else the address as it stands."""
        node_id, output = split_address(address)
        entry = document.nodes.get(node_id)
        spec = self.registry.get(entry.type) if entry is not None else None
        if node_id in variables and spec is not None:
            if output is None:
                return variables[node_id]
            fine = output.isidentifier() and not keyword.iskeyword(output) and not hasattr(_Taken, output)
            if output in spec.output_types and output != spec.primary and fine:
                return f"{variables[node_id]}.{output}"
        self.links = True
        return f"Link({quoted(address)})"


class _Taken:
    """Attributes that a Ref has of its own."""

    node = spec = output = address = None


def _sayable(entry: NodeEntry, spec: NodeSpec) -> bool:
    """Whether ``Workflow.add`` can make an entry as it is."""
    if entry.type.startswith(PREFIX):
        return False
    names = [*entry.params, *entry.links]
    if len(set(names)) < len(names) or any(name in _OWN or keyword.iskeyword(name) for name in names):
        return False
    if any(name not in spec.inputs for name in names) or any(link == [] for link in entry.links.values()):
        return False
    return not any(value is None and spec.inputs[name].linked for name, value in entry.params.items())


def _entry(entry: NodeEntry) -> Expression:
    parts = entry.model_dump(mode="json", exclude_defaults=True)
    return call("NodeEntry", **{name: literal(value) for name, value in parts.items()})


def _rest(document: Document, depth: int) -> Iterator[str]:
    """What the builder has no word for."""
    if document.requires:
        yield from lay_out(
            "g.document.requires = ", mapped({k: quoted(v) for k, v in document.requires.items()}), depth=depth
        )
    if document.meta is not None:
        yield from lay_out("g.document.meta = ", literal(document.meta), depth=depth)
    for name, value in (document.model_extra or {}).items():
        yield from lay_out("", call("setattr", "g.document", quoted(name), literal(value)), depth=depth)


def _identifier(text: str, taken: set[str]) -> str:
    plain = re.sub(r"\W", "_", text, flags=re.ASCII).strip("_").lower() or "node"
    plain = f"node_{plain}" if plain[0].isdigit() else plain
    wanted, number = plain, 1
    while wanted in taken or keyword.iskeyword(wanted):
        number += 1
        wanted = f"{plain}_{number}"
    return wanted

"""Checks an expanded document against the registry and returns every problem at once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from graphflow.basics.wording import LISTED, meant, nearest, shorten, with_article
from graphflow.document.document import Document, NodeEntry, split_address
from graphflow.document.flatten import PREFIX
from graphflow.errors import Problem, WorkflowError
from graphflow.planning.checked import Checked, CheckedNode, Source
from graphflow.planning.links import check_types, order
from graphflow.spec.decorator import InputSpec, NodeSpec
from graphflow.spec.link_types import fits
from graphflow.spec.registry import Registry


def validate(document: Document, registry: Registry) -> Checked:
    """Check a flat document.

    Args:
        document: Expanded, without inner workflows.
        registry: The known node types.
    """
    checked = Checked()
    with suppress(WorkflowError):  # more problems than are told at once; those that are told stand in it
        _check(document, registry, checked)
    return checked


def _check(document: Document, registry: Registry, checked: Checked) -> None:
    specs = {node_id: registry.get(entry.type) for node_id, entry in document.nodes.items()}
    for node_id, entry in document.nodes.items():
        spec = specs[node_id]
        if spec is None:
            if entry.type.startswith(PREFIX):
                continue  # unfolding has said what is wrong with it
            near = registry.nearest(entry.type)
            advice = (
                f"did you mean {near!r}?" if near else "`graphflow nodes` lists the known types; --nodes adds a pack"
            )
            checked.problems.append(
                Problem(f"nodes.{node_id}.type", f"the node type {shorten(entry.type)} is unknown", advice)
            )
        else:
            checked.nodes[node_id] = _check_node(node_id, entry, spec, document, specs, checked)
    order(checked)
    check_types(checked, registry)
    _check_document(document, checked, registry)
    _check_packs(document, registry, checked)


def _check_node(
    node_id: str,
    entry: NodeEntry,
    spec: NodeSpec,
    document: Document,
    specs: Mapping[str, NodeSpec | None],
    checked: Checked,
) -> CheckedNode:
    place = f"nodes.{node_id}"
    given = _migrated(place, entry, spec, checked)
    params: dict[str, Any] = {}
    links: dict[str, tuple[Source, ...]] = {}
    for name, value in given.items():
        parameter = spec.inputs.get(name)
        if parameter is None:
            checked.problems.append(_unknown_input(f"{place}.params.{name}", name, spec))
        elif parameter.linked:
            if value is not None or not parameter.optional:
                message = f"{name!r} takes a link to {with_article(parameter.type)}, got {shorten(value)}"
                checked.problems.append(Problem(f"{place}.params.{name}", message, 'put an address under "links"'))
        elif name in entry.links:
            checked.problems.append(
                Problem(f"{place}.params.{name}", f"{name!r} stands in params and in links", "remove one")
            )
        else:
            params[name], wrong = parameter.check(value)
            if wrong is not None:
                checked.problems.append(Problem(f"{place}.params.{name}", wrong, _choice_hint(spec, parameter, value)))
    for name, link in entry.links.items():
        parameter = spec.inputs.get(name)
        if parameter is None:
            checked.problems.append(_unknown_input(f"{place}.links.{name}", name, spec))
            continue
        if isinstance(link, list) and not parameter.many:
            checked.problems.append(
                Problem(f"{place}.links.{name}", f"{name!r} takes one link, got a list of {len(link)}")
            )
            continue
        addresses = link if isinstance(link, list) else [link]
        sources = [_source(f"{place}.links.{name}", address, document, specs, checked) for address in addresses]
        links[name] = tuple(source for source in sources if source is not None)
    for name, parameter in spec.inputs.items():
        if parameter.required and name not in given and name not in entry.links:
            what = f"a link to {with_article(parameter.type)}" if parameter.linked else f"a value ({parameter.type})"
            checked.problems.append(
                Problem(
                    f"{place}.{'links' if parameter.linked else 'params'}.{name}",
                    f"{spec.type} needs {what} for {name!r}",
                    _offer(node_id, parameter, document, specs),
                )
            )
    many = frozenset(name for name, link in entry.links.items() if isinstance(link, list))
    return CheckedNode(node_id, spec, params, links, many, entry.title)


def _migrated(place: str, entry: NodeEntry, spec: NodeSpec, checked: Checked) -> dict[str, Any]:
    if entry.version is None or entry.version == spec.version:
        return dict(entry.params)
    if entry.version > spec.version:
        message = f"{spec.type} version {entry.version} is newer than the installed {spec.version}"
        checked.problems.append(Problem(f"{place}.version", message, f"upgrade the pack {spec.pack!r}"))
        return dict(entry.params)
    if spec.migrate is not None:
        try:
            return spec.migrate(entry.version, dict(entry.params))
        except Exception as error:  # the parameters are not checked yet, and a pack's function may stumble over them
            message = f"{spec.type} cannot take over the parameters of version {entry.version}: {error!r}"
            checked.problems.append(Problem(place, message, f"see `graphflow nodes {spec.type}` for those of today"))
            return {}
    checked.notices.append(
        f"{place}: made for {spec.type} version {entry.version}, runs with {spec.version}; the result may differ"
    )
    return dict(entry.params)


def _unknown_input(place: str, name: str, spec: NodeSpec) -> Problem:
    near = nearest(name, spec.inputs)
    return Problem(
        place,
        f"{spec.type} has no input {name!r}",
        f"did you mean {near!r}?" if near else "it has " + (", ".join(spec.inputs) or "none"),
    )


def _choice_hint(spec: NodeSpec, parameter: InputSpec, value: Any) -> str:
    listed = f"`graphflow nodes {spec.type}` lists them" if len(parameter.choices) > LISTED else ""
    return meant(parameter.near(value)) or listed


def _offer(node_id: str, parameter: InputSpec, document: Document, specs: Mapping[str, NodeSpec | None]) -> str:
    """Name an output of another node that would fit a missing link."""
    if not parameter.linked:
        return ""
    for other in document.nodes:
        spec = specs[other] if other != node_id else None
        for output in spec.outputs if spec is not None else ():
            if output.type.name != "any" and fits(output.type, parameter.type):
                return f"{other + '.' + output.name!r} would fit"
    return ""


def _source(
    place: str, address: str, document: Document, specs: Mapping[str, NodeSpec | None], checked: Checked
) -> Source | None:
    node_id, output = split_address(address)
    if node_id not in document.nodes:
        near = nearest(node_id, document.nodes)
        checked.problems.append(
            Problem(
                place,
                f"there is no node {node_id!r}",
                f"did you mean {near!r}?" if near else "add it or remove the link",
            )
        )
        return None
    spec = specs[node_id]
    if spec is None:
        return None
    if output is None:
        if not spec.outputs:
            checked.problems.append(Problem(place, f"{node_id!r} ({spec.type}) has no output"))
            return None
        return Source(node_id, spec.primary)
    if output not in spec.output_types:
        near = nearest(output, spec.output_types)
        known = ", ".join(spec.output_types)
        checked.problems.append(
            Problem(
                place, f"{spec.type} has no output {output!r}", f"did you mean {near!r}?" if near else f"it has {known}"
            )
        )
        return None
    return Source(node_id, output)


def _check_document(document: Document, checked: Checked, registry: Registry) -> None:
    for name, exposed in document.inputs.items():
        for target in exposed.to:
            node_id, parameter = split_address(target)
            node = checked.nodes.get(node_id)
            if node is not None and parameter is None:
                checked.problems.append(
                    Problem(f"inputs.{name}.to", f"{target!r} names a node, not a parameter", "write NODE.PARAMETER")
                )
            elif node is not None and parameter not in node.spec.inputs:
                checked.problems.append(_unknown_input(f"inputs.{name}.to", parameter or "", node.spec))
            elif node_id not in document.nodes and not any(key.startswith(f"{node_id}:") for key in document.nodes):
                near = nearest(node_id, document.nodes)
                checked.problems.append(
                    Problem(
                        f"inputs.{name}.to", f"there is no node {node_id!r}", f"did you mean {near!r}?" if near else ""
                    )
                )
    for name, address in document.outputs.items():
        node_id, output = split_address(address)
        if node_id not in document.nodes:
            near = nearest(node_id, document.nodes)
            checked.problems.append(
                Problem(f"outputs.{name}", f"there is no node {node_id!r}", f"did you mean {near!r}?" if near else "")
            )
        elif (
            output is not None
            and (node := checked.nodes.get(node_id)) is not None
            and output not in node.spec.output_types
        ):
            checked.problems.append(
                Problem(
                    f"outputs.{name}",
                    f"{node.spec.type} has no output {output!r}",
                    "it has " + ", ".join(node.spec.output_types),
                )
            )
    if not checked.targets(document) and all(node_id in checked.nodes for node_id in document.nodes):
        message = (
            "the workflow has no node that writes and no outputs" if document.nodes else "the workflow has no nodes"
        )
        writers = _writers_for(checked, registry)
        add = f"add one that writes ({', '.join(writers[:3])}), or " if writers else ""
        checked.problems.append(Problem("nodes", message, f'{add}name an address under "outputs"'))


def _writers_for(checked: Checked, registry: Registry) -> list[str]:
    """Name the types that write, those first that take what no node of the workflow reads."""
    read = {source for node in checked.nodes.values() for source in node.sources}
    unread = [
        output.type
        for node in checked.nodes.values()
        if not any(Source(node.id, output.name) in read for output in node.spec.outputs)
        for output in node.spec.outputs
    ]
    writers = [spec for spec in registry.specs.values() if spec.effect]

    def suits(spec: NodeSpec) -> bool:
        return any(
            fits(made, parameter.type)
            for made in unread
            for parameter in spec.inputs.values()
            if parameter.linked and parameter.type.name != "any"
        )

    return [spec.type for spec in sorted(writers, key=lambda spec: (not suits(spec), spec.type))]


def _check_packs(document: Document, registry: Registry, checked: Checked) -> None:
    """Check the packs that the document requires, e.g. ``{"builtin": ">=0.1"}``."""
    for pack, wanted in document.requires.items():
        place = f"requires.{pack}"
        if pack not in registry.versions:
            near = nearest(pack, registry.versions)
            checked.problems.append(
                Problem(
                    place,
                    "this node pack is not installed",
                    f"did you mean {near!r}?" if near else "install it, or name its file with --nodes",
                )
            )
            continue
        try:
            specifier = SpecifierSet(wanted)
        except InvalidSpecifier:
            checked.problems.append(
                Problem(place, f"{wanted!r} is no version specifier", 'write for example ">=1.2,<2"')
            )
            continue
        version = registry.versions[pack]
        if version and not specifier.contains(version, prereleases=True):
            checked.problems.append(
                Problem(place, f"the workflow wants {wanted}, installed is {version}", "install a version that fits")
            )

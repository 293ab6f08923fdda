"""Node packs: where node types come from. Names resolve here and nowhere else."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from graphflow.basics.wording import nearest
from graphflow.errors import GraphflowError, PackError
from graphflow.spec.decorator import NodeSpec, is_node, spec_of

ENTRY_POINTS = "graphflow.nodes"
"""The entry point group in which a package names its pack: a module with a ``NODES`` list of node functions."""


@dataclass(frozen=True)
class Registry:
    """Node types by name.

    Attributes:
        specs: The types.
        versions: Version of each pack, by pack.
    """

    specs: Mapping[str, NodeSpec] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def get(self, type: str) -> NodeSpec | None:
        """Return the spec of a type, or None."""
        return self.specs.get(type)

    def nearest(self, type: str) -> str | None:
        """Return the known type whose name is nearest, or None where none is near."""
        return nearest(type, self.specs)

    def with_nodes(self, functions: Iterable[Any], *, pack: str, version: str = "") -> Registry:
        """Return the registry with more node functions.

        Raises:
            PackError: A type is already there, from another pack.
        """
        specs = dict(self.specs)
        for function in functions:
            spec = replace(spec_of(function), pack=pack)
            known = specs.get(spec.type)
            if known is not None and known.function is not spec.function:
                raise PackError(
                    f"the node type {spec.type!r} is already in the pack {known.pack!r}",
                    where=f"pack {pack!r}",
                    advice="rename it",
                )
            specs[spec.type] = spec
        return Registry(specs, {**self.versions, pack: version})


def installed() -> Registry:
    """Return the node types of every installed pack.

    Raises:
        PackError: A pack cannot be imported, or two packs have a type of the same name.
    """
    registry = Registry()
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        try:
            module = entry.load()
        except GraphflowError:
            raise
        except (Exception, SystemExit) as error:
            raise PackError(
                f"the node pack cannot be imported: {type(error).__name__}: {error}",
                where=f"pack {entry.name!r}",
                advice=f"update or uninstall {entry.dist.name if entry.dist is not None else entry.value}",
            ) from error
        version = entry.dist.version if entry.dist is not None else ""
        registry = registry.with_nodes(_functions(module), pack=entry.name, version=version)
    return registry


def distributions(packs: Collection[str]) -> dict[str, str]:
    """Return the versions of the distributions that installed packs come from, by the distributions' names."""
    entries = [entry for entry in importlib.metadata.entry_points(group=ENTRY_POINTS) if entry.name in packs]
    return dict(sorted((entry.dist.name, entry.dist.version) for entry in entries if entry.dist is not None))


def from_file(path: Path) -> list[Any]:
    """Return the node functions of a Python file that the user named.

    This runs the file, so only the command line and Python callers may ask for it, never a document.

    Raises:
        PackError: The file cannot be read or run, or has no node.
    """
    if not path.is_file():
        raise PackError("there is no such file", where=str(path), advice="--nodes takes a Python file")
    name = f"graphflow_pack_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PackError("this is no Python file", where=str(path), advice="--nodes takes a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except GraphflowError:
        raise
    except (Exception, SystemExit) as error:
        raise PackError(
            f"the node pack cannot be run: {type(error).__name__}: {error}",
            where=str(path),
            advice="--traceback shows where in the file",
        ) from error
    functions = _functions(module)
    if not functions:
        raise PackError("the file has no node", where=str(path), advice='decorate a function with @node("name")')
    return functions


def _functions(module: ModuleType) -> list[Any]:
    listed = getattr(module, "NODES", None)
    if listed is not None:
        return list(listed)
    return [value for value in vars(module).values() if is_node(value) and value.__module__ == module.__name__]

"""Which pipeline classes Diffusers has and what each one's call takes, read from its source without importing it.

The classes are those that ``diffusers/pipelines/__init__.py`` lists for lazy import; a class's file is parsed when its
signature is first asked for. Both are remembered while the process runs, per installation.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from graphflow.basics.wording import nearest
from graphflow.errors import InvalidInputError

_NO_CALL = frozenset(
    {
        "DiffusionPipeline",
        "AutoPipelineForImage2Image",
        "AutoPipelineForInpainting",
        "AutoPipelineForText2Image",
        "AutoPipelineForText2Audio",
    }
)
_BOUNDS = re.compile(
    r"must\s+be\s+(?:between|in\s+the\s+range(?:\s+of)?)\s+`*[\[(]?\s*(-?\d+(?:\.\d+)?)\s*(?:,|and|to)\s*(-?\d+(?:\.\d+)?)",
    re.IGNORECASE,
)
_SCALARS = {
    "int": "int",
    "float": "float",
    "bool": "bool",
    "str": "str",
    "list": "list",
    "List": "list",
    "tuple": "list",
    "Tuple": "list",
    "dict": "dict",
    "Dict": "dict",
    "None": "null",
    "Any": "any",
}
_SCALARS |= {"Sequence": "list", "Iterable": "list", "Mapping": "dict", "Literal": "any"}


@dataclass(frozen=True)
class Argument:
    """One argument of a pipeline's call.

    Attributes:
        name: Its name.
        annotation: The annotation as the source has it; empty where there is none.
        kinds: Which JSON values it takes: ``int``, ``float``, ``bool``, ``str``, ``list``, ``dict``, ``null``, ``any``;
            ``object`` stands for what JSON cannot hold (tensors, pictures, generators).
        items: For lists: which values they hold; empty is any.
        required: Whether it has no default.
        default: The default as the source has it.
        bounds: Lowest and highest number that the docstring allows, where it names them.
    """

    name: str
    annotation: str
    kinds: frozenset[str]
    items: frozenset[str]
    required: bool
    default: str
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Signature:
    """What a pipeline class takes and makes.

    Attributes:
        pipeline: The class.
        module: The module that defines it, e.g. ``diffusers.pipelines.flux.pipeline_flux``.
        arguments: Of its ``__call__``, in order.
        returns: The return annotation as the source has it.
    """

    pipeline: str
    module: str
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    returns: str = ""


def pipeline_names() -> tuple[str, ...]:
    """Return the names of all pipeline classes of the installed Diffusers, sorted.

    Raises:
        InvalidInputError: Diffusers is not installed.
    """
    return tuple(sorted(_listed(_root() / "pipelines")))


def scheduler_names() -> tuple[str, ...]:
    """Return the names of all scheduler classes of the installed Diffusers, sorted.

    Raises:
        InvalidInputError: Diffusers is not installed.
    """
    folder = _root() / "schedulers"
    return tuple(sorted(name for name in _exports(folder / "__init__.py") if name.endswith("Scheduler")))


def pipeline_folders() -> tuple[str, ...]:
    """Return the names of the folders in which Diffusers keeps its pipelines; an index calls their classes by them.

    Raises:
        InvalidInputError: Diffusers is not installed.
    """
    return tuple(sorted(path.name for path in (_root() / "pipelines").iterdir() if path.is_dir()))


def require_known(name: str, known: tuple[str, ...], what: str) -> None:
    """Check a class name against the allow-list.

    Raises:
        InvalidInputError: It is not there; the advice names the nearest.
    """
    if name not in known:
        near = nearest(name, known)
        raise InvalidInputError(
            f"Diffusers has no {what} {name!r}",
            advice=f"did you mean {near!r}?" if near else f"it has {len(known)}, e.g. {known[0]}",
        )


@lru_cache(maxsize=512)
def signature(pipeline: str) -> Signature:
    """Return what a pipeline class's call takes.

    Raises:
        InvalidInputError: Diffusers has no such pipeline, or it has no call that can be read.
    """
    require_known(pipeline, pipeline_names(), "pipeline")
    root = _root()
    folder = root / "pipelines" / _listed(root / "pipelines")[pipeline]
    for path in _files(folder):
        found = _signature_in(path, pipeline, root, set())
        if found is not None:
            return found
    raise InvalidInputError(f"the call of {pipeline} cannot be read from the source of Diffusers")


# ------------------------------------------------------------------------------------------------- names


@lru_cache(maxsize=1)
def _root() -> Path:
    spec = importlib.machinery.PathFinder.find_spec("diffusers") or importlib.util.find_spec("diffusers")
    if spec is None or spec.origin is None:
        raise InvalidInputError("Diffusers is not installed", advice="install it with: pip install diffusers")
    return Path(spec.origin).parent


@lru_cache(maxsize=4)
def _listed(folder: Path) -> dict[str, str]:
    """Return the pipeline classes under a folder, with the subfolder or module that defines each."""
    return {
        name: place
        for name, place in _exports(folder / "__init__.py").items()
        if name.endswith("Pipeline") and name not in _NO_CALL
    }


def _exports(path: Path) -> dict[str, str]:
    """Read ``_import_structure[PLACE] = [NAME, …]`` and its kin: names with their places."""
    exports: dict[str, str] = {}
    for statement in ast.walk(ast.parse(path.read_text("utf-8"))):
        place, names = _entry(statement)
        if place is not None and names is not None:
            exports.update(dict.fromkeys(_strings(names), place))
    return exports


def _entry(statement: ast.AST) -> tuple[str | None, ast.expr | None]:
    match statement:
        case ast.Assign(
            targets=[ast.Subscript(value=ast.Name(id="_import_structure"), slice=ast.Constant(value=str() as place))],
            value=names,
        ):
            return place, names
        case ast.Call(
            func=ast.Attribute(
                value=ast.Subscript(value=ast.Name(id="_import_structure"), slice=ast.Constant(value=str() as place)),
                attr="extend",
            ),
            args=[names],
        ):
            return place, names
    return None, None


def _strings(names: ast.expr) -> Iterator[str]:
    for item in names.elts if isinstance(names, ast.List | ast.Tuple) else ():
        if isinstance(item, ast.Constant) and isinstance(item.value, str):
            yield item.value


# -------------------------------------------------------------------------------------------- signatures


def _files(place: Path) -> list[Path]:
    if place.is_dir():
        return sorted(place.rglob("*.py"))
    return [place.with_suffix(".py")]


def _signature_in(path: Path, name: str, root: Path, seen: set[str]) -> Signature | None:
    """Return the signature of a class that a file defines, or inherits from a class of a pipeline's file."""
    if name in seen or not path.is_file():
        return None
    seen.add(name)
    text = path.read_text("utf-8")
    if not re.search(rf"^class {re.escape(name)}\b", text, re.MULTILINE):
        return None
    for statement in ast.parse(text).body:
        if not isinstance(statement, ast.ClassDef) or statement.name != name:
            continue
        for method in statement.body:
            if isinstance(method, ast.FunctionDef) and method.name == "__call__":
                return _read_call(method, name, path, root)
        for base in statement.bases:
            inherited = _base_signature(ast.unparse(base).rpartition(".")[2], path, root, seen)
            if inherited is not None:
                module = ".".join(("diffusers", *path.relative_to(root).with_suffix("").parts))
                return Signature(name, module, inherited.arguments, inherited.returns)
    return None


def _base_signature(base: str, path: Path, root: Path, seen: set[str]) -> Signature | None:
    candidates = [path]
    place = _listed(root / "pipelines").get(base)
    if place is not None:
        candidates += _files(root / "pipelines" / place)
    for candidate in candidates:
        found = _signature_in(candidate, base, root, seen - {base})
        if found is not None:
            return found
    return None


def _read_call(method: ast.FunctionDef, name: str, path: Path, root: Path) -> Signature:
    taken = method.args
    positional = [*taken.posonlyargs, *taken.args][1:]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(taken.defaults))
    defaults += taken.defaults[-len(positional) :] if positional else []
    arguments: dict[str, Argument] = {}
    bounds = _documented_bounds(ast.get_docstring(method) or "")
    for argument, default in [
        *zip(positional, defaults, strict=True),
        *zip(taken.kwonlyargs, taken.kw_defaults, strict=True),
    ]:
        kinds, items = _kinds(argument.annotation)
        if isinstance(default, ast.Constant) and default.value is None:
            kinds |= {"null"}
        arguments[argument.arg] = Argument(
            name=argument.arg,
            annotation="" if argument.annotation is None else ast.unparse(argument.annotation),
            kinds=frozenset(kinds),
            items=frozenset(items),
            required=default is None,
            default="" if default is None else ast.unparse(default),
            bounds=bounds.get(argument.arg),
        )
    module = ".".join(("diffusers", *path.relative_to(root).with_suffix("").parts))
    return Signature(name, module, arguments, "" if method.returns is None else ast.unparse(method.returns))


def _documented_bounds(docstring: str) -> dict[str, tuple[float, float]]:
    """Return the ranges that a docstring says its arguments must lie in."""
    parts = re.split(r"^ *(\w+) \(", docstring, flags=re.MULTILINE)
    matches = {name: _BOUNDS.search(text) for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    return {name: (float(match[1]), float(match[2])) for name, match in matches.items() if match is not None}


def _kinds(annotation: ast.expr | None) -> tuple[set[str], set[str]]:
    """Return which JSON values an annotation takes, and which values lists of it hold."""
    match annotation:
        case None:
            return {"any"}, set()
        case ast.Constant(value=None):
            return {"null"}, set()
        case ast.Constant(value=str() as quoted):
            return _kinds(ast.parse(quoted, mode="eval").body)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union([left, right])
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            kinds, items = _kinds(inner)
            return kinds | {"null"}, items
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=members)):
            return _union(members)
        case ast.Subscript(value=ast.Name(id=container), slice=inner):
            kind = _SCALARS.get(container, "object")
            members = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return {kind}, (_union(members)[0] if kind == "list" else set())
        case ast.Name(id=name):
            return {_SCALARS.get(name, "object")}, set()
    return {"object"}, set()


def _union(members: list[ast.expr]) -> tuple[set[str], set[str]]:
    """Unite members; lists whose items may be anything unite with lists of something to the former."""
    kinds: set[str] = set()
    items: set[str] = set()
    open_list = False
    for member in members:
        more, inner = _kinds(member)
        kinds |= more
        items |= inner
        open_list = open_list or ("list" in more and not inner)
    return kinds, set() if open_list else items

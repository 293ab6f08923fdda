"""Code that scripts carry: the engine's own functions and this package's helpers, cut out of their files.

The text stands as it is, but for what a script has no use for: annotations of arguments, results and variables, what
docstrings say after their summary, decorators that check what users set, and methods that nothing in the script mentions.
The files are read, never imported.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import symtable
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

from graphflow import errors
from graphflow.modelfiles.families import installed
from graphflow.modelfiles.family import Family

from .layout import INDENT, WIDTH

_HERE = Path(__file__).resolve().parent
_ENGINE = Path(errors.__file__).resolve().parent
_FILES: Mapping[str, tuple[Path, tuple[str, ...]]] = {
    "graphflow.sampling": (
        _ENGINE / "sampling",
        (
            "levels", "flow_levels", "continuous_levels", "latent_space", "schedules", "changed_levels", "variance_exploding", "guidance",
            "guiders", "modifiers", "geometry",
        ),
    ),
    "graphflow.sampling.samplers": (_ENGINE / "sampling/samplers", ("*",)),
    "graphflow.loading.codes": (_ENGINE / "loading/codes", ("*",)),
    "graphflow.modelfiles.quantised": (_ENGINE / "modelfiles/quantised", ("nunchaku_names",)),
    "graphflow.basics": (_ENGINE / "basics", ("tekken", "tiles")),
    "graphflow.vision": (_ENGINE / "vision", ("clip_pixels", "style")),
    "graphflow.pixels": (_ENGINE / "pixels", ("*",)),
    __package__ + ".helpers": (_HERE / "helpers", ("*",)),
}  # fmt: skip
"""Where carried code stands: the folder of a package, and its modules in the order in which a script has them. What
families declare as `ScriptTraits.sources` follows."""

CHECKS = "graphflow.sampling.checks"
"""Decorators from here refuse what a user of the engine may set; scripts leave them out."""


@dataclass(frozen=True)
class Import:
    """One imported name.

    Attributes:
        module: Where from.
        name: What; empty imports the module itself.
        alias: What it is called; empty as it is.
    """

    module: str
    name: str = ""
    alias: str = ""

    @property
    def bound(self) -> str:
        """The name that it binds."""
        return self.alias or self.name or self.module.partition(".")[0]


@dataclass(frozen=True)
class Part:
    """Some source text: a function, a method, or a class without its methods.

    Attributes:
        source: The text, from the left edge.
        needs: Names of pieces.
        imports: What it imports.
        mentions: Attributes that it names.
        foreign: Names of the engine's that stand in no file with carried code.
    """

    source: str
    needs: frozenset[str] = frozenset()
    imports: frozenset[Import] = frozenset()
    mentions: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Piece:
    """One function, class or constant.

    Attributes:
        name: Its name.
        order: Its place among all pieces.
        head: What of it is always carried.
        methods: A class's methods; those that nothing mentions are left out, where it may be.
        bases: Pieces that it derives from.
        whole: Whether all its methods are carried: others than the script call them.
        constant: Whether it is an assignment.
    """

    name: str
    order: tuple[int, int]
    head: Part
    methods: Mapping[str, Part] = field(default_factory=dict)
    bases: tuple[str, ...] = ()
    whole: bool = False
    constant: bool = False

    @property
    def needs(self) -> frozenset[str]:
        """What all its parts need."""
        return self.head.needs.union(*(part.needs for part in self.methods.values()))

    def parts(self, mentioned: frozenset[str] | None) -> list[Part]:
        """The parts that a script carries which mentions these attributes; None is all."""
        return [
            self.head,
            *(
                part
                for name, part in self.methods.items()
                if self.whole or mentioned is None or name in mentioned or name.startswith("__")
            ),
        ]


@dataclass(frozen=True)
class Carried:
    """A piece as a script carries it."""

    name: str
    source: str
    imports: frozenset[Import]
    constant: bool

    @property
    def names(self) -> frozenset[str]:
        """The names that a script binds with it."""
        return frozenset({self.name, *(made.bound for made in self.imports)})


def carry(names: Iterable[str], mentioned: Iterable[str] | None = None) -> list[Carried]:
    """The pieces of these names and all that they need, each after what it needs.

    Args:
        names: What a script calls.
        mentioned: Attributes that the script names itself; None keeps all methods.
    """
    known, wanted = library(), sorted(set(names), key=lambda name: library()[name].order)
    seen = None if mentioned is None else frozenset(mentioned)
    while True:
        done: dict[str, list[Part]] = {}
        for name in wanted:
            _add(known[name], known, seen, done)
        if seen is None:
            break
        more = seen.union(*(part.mentions for parts in done.values() for part in parts))
        if more == seen:
            break
        seen = more
    return [
        Carried(
            name,
            "\n\n".join(part.source for part in parts),
            frozenset().union(*(part.imports for part in parts)),
            known[name].constant and not parts[0].needs,
        )
        for name, parts in done.items()
    ]


def mentions(text: str) -> frozenset[str]:
    """The attributes that source text names."""
    return frozenset(re.findall(r"\.([^\W\d]\w*)", text))


def _add(
    piece: Piece, known: Mapping[str, Piece], mentioned: frozenset[str] | None, done: dict[str, list[Part]]
) -> None:
    """Add a piece after what it needs; what needs itself in a circle is added once."""
    if piece.name in done:
        return
    parts = piece.parts(mentioned)
    order = {name: known[name].order for part in parts for name in part.needs if name != piece.name}
    waiting = done.setdefault(piece.name, parts)
    for name in sorted(order, key=order.__getitem__):
        _add(known[name], known, mentioned, done)
    done[piece.name] = done.pop(piece.name, waiting)


@cache
def library() -> dict[str, Piece]:
    """All pieces by name; what needs more of the engine than its files of carried code is none.

    Raises:
        ValueError: Two have one name.
    """
    modules = dict(_modules())
    found: dict[str, Piece] = {}
    for number, (name, module) in enumerate(modules.items()):
        for index, statement in enumerate(module.statements):
            piece = _piece(module, statement, (number, index), modules)
            if piece.name in found:
                raise ValueError(f"{piece.name} of {name} is the name of another piece, too")
            found[piece.name] = piece
    engines = {name for name, piece in found.items() if any(part.foreign for part in piece.parts(None))}
    while more := {name for name, piece in found.items() if piece.needs & engines} - engines:
        engines |= more
    found = {name: piece for name, piece in found.items() if name not in engines}
    called = {name for name, piece in found.items() if piece.methods and _is_called_by_others(piece, found)}
    return {name: replace(piece, whole=name in called) for name, piece in found.items()}


def _is_called_by_others(piece: Piece, known: Mapping[str, Piece]) -> bool:
    """Whether it, or a class that shares a base or an heir with it, derives from a library's class."""
    family, grown = {piece.name}, True
    while grown:
        heirs = {name for name, other in known.items() if family & set(other.bases)}
        bases = {base for name in family for base in known[name].bases if base in known}
        grown = not heirs | bases <= family
        family |= heirs | bases
    return any(base not in known for name in family for base in known[name].bases)


@dataclass
class _Module:
    name: str
    lines: list[bytes]
    statements: list[ast.stmt]
    imports: dict[str, Import]
    left_out: set[str] = field(default_factory=set)

    @cached_property
    def own(self) -> frozenset[str]:
        """The names of its pieces."""
        return frozenset(map(_name, self.statements))


def _modules() -> Iterator[tuple[str, _Module]]:
    for package, (folder, patterns) in _FILES.items():
        for pattern in patterns:
            for path in sorted(folder.glob(f"{pattern}.py")):
                if path.stem != "__init__":
                    name = f"{package}.{path.stem}"
                    yield name, _read(name, path.read_text("utf-8"))
    for source in dict.fromkeys(name for family in installed().values() for name in sources_of(family)):
        spec = find_spec(source)
        assert spec is not None and spec.origin is not None, source
        yield source, _read(source, Path(spec.origin).read_text("utf-8"))


def sources_of(family: Family) -> tuple[str, ...]:
    """The modules of a family whose functions scripts may carry."""
    return () if family.scripts is None else family.scripts.sources


def _read(name: str, text: str) -> _Module:
    module = _Module(name, [line.encode() for line in text.splitlines()], [], {})
    for statement in ast.parse(text).body:
        match statement:
            case ast.Import(names=names):
                for alias in names:
                    made = Import(alias.name, alias=alias.asname or "")
                    module.imports[made.bound] = made
            case ast.ImportFrom(module=source, names=names, level=level) if source != "__future__":
                parents = name.split(".")[:-level] if level else []
                for alias in names:
                    made = Import(".".join([*parents, *([source] if source else [])]), alias.name, alias.asname or "")
                    module.imports[made.bound] = made
            case ast.FunctionDef() | ast.ClassDef() | ast.Assign() | ast.AnnAssign(value=ast.expr()):
                if _is_left_out(statement):
                    module.left_out.add(_name(statement))
                else:
                    module.statements.append(statement)
    return module


def _is_left_out(statement: ast.stmt) -> bool:
    """Whether it is what scripts do without: a type for annotations, or a table from which the engine chooses."""
    match statement:
        case ast.ClassDef(bases=[ast.Name(id="Protocol")]):
            return True
        case ast.Assign(value=ast.Subscript(value=ast.Name(id="Callable" | "Literal"))):
            return True
        case ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar" | "ParamSpec"))):
            return True
        case ast.AnnAssign(value=ast.Call(func=ast.Name(id="MappingProxyType"))):
            return True
    return False


def _name(statement: ast.stmt) -> str:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    raise ValueError(f"line {statement.lineno} is no piece")


def _piece(module: _Module, statement: ast.stmt, order: tuple[int, int], modules: Mapping[str, _Module]) -> Piece:
    name = _name(statement)
    if not isinstance(statement, ast.ClassDef):
        head = _part(module, _text(module, statement), modules, name)
        return Piece(name, order, head, constant=not isinstance(statement, ast.FunctionDef))
    members = list(statement.body)
    head_text = b"\n".join(module.lines[_first_line(statement) - 1 : members[0].lineno - 1]).decode()
    if ast.get_docstring(statement) is not None:
        head_text += "\n" + _text(module, members.pop(0))
    methods = {member.name: member for member in members if isinstance(member, ast.FunctionDef)}
    fields = [member for member in members if isinstance(member, ast.Assign | ast.AnnAssign)]
    if fields:
        head_text += "\n" + "".join("\n" + _text(module, member, is_field=True) for member in fields)
    return Piece(
        name,
        order,
        _part(module, head_text, modules, name),
        {key: _part(module, _text(module, method), modules, name) for key, method in methods.items()},
        tuple(ast.unparse(base) for base in statement.bases),
    )


def _first_line(statement: ast.stmt) -> int:
    decorated = isinstance(statement, ast.FunctionDef | ast.ClassDef) and statement.decorator_list
    return decorated[0].lineno if decorated else statement.lineno


def _part(module: _Module, source: str, modules: Mapping[str, _Module], itself: str) -> Part:
    """Source text with what it needs beside itself."""
    plain = textwrap.dedent(source)
    needs: set[str] = set()
    imports: set[Import] = set()
    foreign: set[str] = set()
    for name in set(_globals(symtable.symtable(plain, module.name, "exec"))) - {itself}:
        made = module.imports.get(name)
        if name in module.own:
            needs.add(name)
        elif made is not None and made.module in modules:
            needs.add(made.name)
        elif name in module.left_out or (made is not None and made.module.startswith("graphflow")):
            foreign.add(name)
        elif made is not None:
            imports.add(made)
    return Part(source, frozenset(needs), frozenset(imports), mentions(plain), frozenset(foreign))


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    """Names that code reads from its module: parameters of the same name do not count."""
    top = table.get_type() == "module"
    yield from (found.get_name() for found in table.get_symbols() if top or found.is_global())
    for inner in table.get_children():
        yield from _globals(inner)


# ------------------------------------------------------------------------------------------ text

_Edit = tuple[int, int, int, int, str]
"""First line, counted from 1, and column in bytes, last line and column, and the new text."""


def _text(module: _Module, statement: ast.stmt, *, is_field: bool = False) -> str:
    """The text of a statement without annotations, and with docstrings that are a summary."""
    before = _first_line(statement) - 1
    lines = module.lines[before : statement.end_lineno]
    for first, start, last, end, new in sorted(_edits(module, statement, is_field), reverse=True):
        changed = lines[first - before - 1][:start] + new.encode() + lines[last - before - 1][end:]
        lines[first - before - 1 : last - before] = changed.split(b"\n")
    return b"\n".join(lines).decode()


def _edits(module: _Module, statement: ast.stmt, is_field: bool) -> Iterator[_Edit]:
    if isinstance(statement, ast.Expr):
        yield from _summary(statement)
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef):
            yield from _checks(module, node)
            yield from _header(module, node)
            if ast.get_docstring(node) is not None:
                yield from _summary(node.body[0])
        elif isinstance(node, ast.AnnAssign) and is_field:
            known = {name for name, made in module.imports.items() if not made.module.startswith("graphflow")}
            named = {part.id for part in ast.walk(node.annotation) if isinstance(part, ast.Name)}
            if not named <= known | set(dir(builtins)):
                yield (*_span(node.annotation, node.annotation), "object")
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            _, _, line, column = _span(node.target, node.target)
            yield line, column, node.value.lineno, node.value.col_offset, " = "


def _span(first: ast.expr | ast.stmt, last: ast.expr | ast.stmt) -> tuple[int, int, int, int]:
    assert last.end_lineno is not None and last.end_col_offset is not None
    return first.lineno, first.col_offset, last.end_lineno, last.end_col_offset


def _summary(docstring: ast.stmt) -> Iterator[_Edit]:
    """A docstring in one line: its first paragraph."""
    assert isinstance(docstring, ast.Expr) and isinstance(docstring.value, ast.Constant)
    first, *_ = inspect.cleandoc(str(docstring.value.value)).split("\n\n")
    if docstring.end_lineno != docstring.lineno:
        yield (*_span(docstring, docstring), f'"""{" ".join(first.split())}"""')


def _header(module: _Module, function: ast.FunctionDef) -> Iterator[_Edit]:
    """The line that begins a function, without annotations, laid out as formatters do."""
    given = function.args
    everything = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    if function.returns is None and not any(argument and argument.annotation for argument in everything):
        return
    defaults: list[ast.expr | None] = [None] * (len(given.args) - len(given.defaults)) + [*given.defaults]
    items = [_argument(module, *pair) for pair in zip(given.args, defaults, strict=True)]
    if given.vararg or given.kwonlyargs:
        items.append(f"*{given.vararg.arg if given.vararg else ''}")
    items += [_argument(module, *pair) for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    items += [f"**{given.kwarg.arg}"] if given.kwarg else []
    space = " " * function.col_offset
    header = f"def {function.name}({', '.join(items)}):"
    if len(space + header) > WIDTH:
        inner = f"{space}{INDENT}{', '.join(items)}"
        if len(inner) > WIDTH:
            inner = "\n".join(f"{space}{INDENT}{item}," for item in items)
        header = f"def {function.name}(\n{inner}\n{space}):"
    parts = [part for part in (*everything, *given.defaults, *given.kw_defaults, function.returns) if part is not None]
    line, column = max((part.end_lineno or 0, part.end_col_offset or 0) for part in parts)
    while b":" not in module.lines[line - 1][column:]:
        line, column = line + 1, 0
    colon = module.lines[line - 1].index(b":", column)
    yield function.lineno, function.col_offset, line, colon + 1, header


def _checks(module: _Module, function: ast.FunctionDef) -> Iterator[_Edit]:
    """The decorators that are the engine's checks."""
    for decorator in function.decorator_list:
        made = module.imports.get(decorator.id) if isinstance(decorator, ast.Name) else None
        if made is not None and made.module == CHECKS:
            yield decorator.lineno, 0, decorator.lineno + 1, 0, ""


def _argument(module: _Module, argument: ast.arg, default: ast.expr | None) -> str:
    if default is None:
        return argument.arg
    first, start, last, end = _span(default, default)
    assert first == last, "defaults are short"
    return f"{argument.arg}={module.lines[first - 1][start:end].decode()}"

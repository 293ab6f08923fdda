"""Helper code that scripts carry: pieces of source, each with the imports and the other pieces that it needs.

The pieces are Python files beside this module that are read, never imported: a script gets the source text.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent / "pieces"


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
class Piece:
    """One function, class or constant.

    Attributes:
        name: Its name.
        source: Its source text.
        needs: Names of other pieces.
        imports: What it imports.
        order: Its place among all pieces.
        constant: Whether it is an assignment of one line.
    """

    name: str
    source: str
    needs: frozenset[str] = frozenset()
    imports: frozenset[Import] = frozenset()
    order: tuple[str, int] = ("", 0)
    constant: bool = False

    @property
    def names(self) -> frozenset[str]:
        """The names that a script binds with it."""
        return frozenset({self.name, *(made.bound for made in self.imports)})


@dataclass
class _Module:
    imports: dict[str, Import] = field(default_factory=dict)
    statements: list[tuple[str, ast.stmt]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


@cache
def library() -> dict[str, Piece]:
    """All pieces by name."""
    modules = {path.stem: _read(path) for path in sorted(_FOLDER.glob("*.py"))}
    known = {name for module in modules.values() for name, _ in module.statements}
    for module in modules.values():
        module.imports = {name: made for name, made in module.imports.items() if made.module not in modules}
    found: dict[str, Piece] = {}
    for stem, module in modules.items():
        for index, (name, statement) in enumerate(module.statements):
            source = _source(module, statement)
            names = set(_globals(symtable.symtable(source, stem, "exec")))
            found[name] = Piece(
                name=name,
                source=source,
                needs=frozenset((names & known) - {name}),
                imports=frozenset(module.imports[used] for used in names if used in module.imports),
                order=(stem, index),
                constant=isinstance(statement, ast.Assign),
            )
    return found


def with_needs(names: Iterable[str]) -> list[Piece]:
    """The pieces of these names and all that they need, each after what it needs."""
    known = library()
    done: dict[str, Piece] = {}

    def add(name: str) -> None:
        if name in done:
            return
        piece = known[name]
        for other in sorted(piece.needs, key=lambda needed: known[needed].order):
            add(other)
        done[name] = piece

    for name in sorted(set(names), key=lambda wanted: known[wanted].order):
        add(name)
    return list(done.values())


def _read(path: Path) -> _Module:
    text = path.read_text("utf-8")
    module = _Module(lines=text.splitlines())
    for statement in ast.parse(text).body:
        match statement:
            case ast.Import(names=names):
                for alias in names:
                    made = Import(alias.name, alias=alias.asname or "")
                    module.imports[made.bound] = made
            case ast.ImportFrom(module=str() as source, names=names, level=0) if source != "__future__":
                for alias in names:
                    made = Import(source, alias.name, alias.asname or "")
                    module.imports[made.bound] = made
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                module.statements.append((name, statement))
            case ast.Assign(targets=[ast.Name(id=name)]):
                module.statements.append((name, statement))
    return module


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    """Names that code reads from its module: parameters of the same name do not count."""
    top = table.get_type() == "module"
    yield from (found.get_name() for found in table.get_symbols() if top or found.is_global())
    for inner in table.get_children():
        yield from _globals(inner)


def _source(module: _Module, statement: ast.stmt) -> str:
    first = statement.lineno
    if isinstance(statement, ast.FunctionDef | ast.ClassDef) and statement.decorator_list:
        first = statement.decorator_list[0].lineno
    assert statement.end_lineno is not None
    return "\n".join(module.lines[first - 1 : statement.end_lineno])

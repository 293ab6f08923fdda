"""Writes converters/diffusers_script/pieces/f_nodes.py from the nodes that compute on pictures and masks.

A node of this kind is a function on tensors once its value classes are taken off: ``images.pixels`` becomes ``images``,
``Mask(values=x)`` becomes ``x``. Checks of limits and shapes are left out. Run with --check to see whether the file is
up to date.
"""

from __future__ import annotations

import ast
import builtins
import re
from dataclasses import dataclass, field

from graphflow.converters.diffusers_script.emitters.functions import TENSOR_NODES
from tools.pieces import PIECES, ROOT, first_paragraph, formatted, without_annotations, write_or_check

TARGET = PIECES / "f_nodes.py"
MODULES = (
    "resampling", "batches", "batching", "channels", "filters", "pasting", "colors", "masks", "masks_edit", "images",
    "images_shape", "images_filter", "images_mix", "images_alpha", "images_batch", "images_color", "sizes", "inpainting",
    "latents_shape", "latents_mix", "preprocessing", "canny", "masked_content",
)  # fmt: skip
ELSEWHERE = {"batches": "graphflow/sampling/batches.py", "canny": "graphflow/families/canny.py"}
"""Modules that are not in nodes."""

MASKED = ("fill_masked_latent",)
"""Functions that read the noise mask of their latents; they get it as an argument."""

ALSO = ("dilate", "resample", *MASKED)

IMPORTS = """import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as functional
from scipy import ndimage
"""
KNOWN = {"math", "Mapping", "Sequence", "MappingProxyType", "np", "PIL", "torch", "functional", "ndimage"} | set(
    dir(builtins)
)
FIELDS = {"pixels", "samples"}
VALUES = {"Image": "pixels", "Mask": "values", "Latent": "samples"}
HEAD = '''"""Pictures and masks, made by tools/make_node_pieces.py from the nodes of the same names."""

# mypy: ignore-errors

'''


@dataclass
class _Module:
    name: str
    statements: dict[str, ast.stmt] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)
    tuples: set[str] = field(default_factory=set)


def read(name: str) -> _Module:
    """Read one module of nodes."""
    module = _Module(name)
    for statement in ast.parse((ROOT / ELSEWHERE.get(name, f"nodes/{name}.py")).read_text("utf-8")).body:
        match statement:
            case ast.ImportFrom(module=str() as source, names=names, level=1):
                module.imported |= {alias.asname or alias.name: source for alias in names}
            case ast.ClassDef(name=defined, bases=[ast.Name(id="NamedTuple")]):
                module.tuples.add(defined)
            case ast.FunctionDef(name=defined):
                module.statements[defined] = statement
                for inner in ast.walk(statement):
                    if isinstance(inner, ast.ImportFrom) and str(inner.module).rpartition(".")[2] in ELSEWHERE:
                        module.imported |= {alias.name: str(inner.module).rpartition(".")[2] for alias in inner.names}
            case ast.Assign(targets=[ast.Name(id=defined)]):
                module.statements[defined] = statement
            case ast.AnnAssign(target=ast.Name(id=defined), value=ast.expr() as value):
                module.statements[defined] = ast.Assign(
                    [ast.Name(defined, ast.Store())], value, lineno=statement.lineno
                )
    return module


class _Plain(ast.NodeTransformer):
    """Takes value classes, annotations, checks and local imports off."""

    def __init__(self, module: _Module) -> None:
        self.module = module
        self.masked = False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.decorator_list = []
        self.masked = node.name in MASKED
        if self.masked:
            node.args.args.insert(1, ast.arg("noise_mask"))
        without_annotations(node)
        text = ast.get_docstring(node)
        self.generic_visit(node)
        if text:
            node.body[0] = ast.Expr(ast.Constant(re.sub(r"``?", "", first_paragraph(text))))
        return node

    def visit_Import(self, node: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        return None if node.value is None else ast.Assign([node.target], node.value, lineno=node.lineno)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if all(isinstance(part, ast.Raise) for part in node.body) and not node.orelse:
            return None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc = ast.Call(ast.Name("ValueError", ast.Load()), node.exc.args[:1], [])
        node.cause = None
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        call = node.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id.startswith("require_"):
            return None
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        called_values = isinstance(node.func, ast.Attribute) and node.func.attr == "values"
        if called_values:
            node.args = [self.visit(part) for part in node.args]
            return node
        self.generic_visit(node)
        name = getattr(node.func, "id", "")
        keywords = {part.arg: part.value for part in node.keywords}
        if name in VALUES and VALUES[name] in keywords:
            return keywords[VALUES[name]]
        if name == "replace" and keywords.keys() & {"pixels", "samples"}:
            return keywords.get("pixels") or keywords["samples"]
        if name in self.module.tuples:
            return ast.Tuple([*node.args, *keywords.values()])
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if self.masked and node.attr == "noise_mask":
            return ast.Name(node.attr, ast.Load())
        return node.value if node.attr in FIELDS or node.attr == "values" else node


def collect(wanted: tuple[str, ...]) -> tuple[list[tuple[str, ast.stmt]], list[str]]:
    """The statements that these nodes need, renamed so that names are unique, and the nodes that cannot be taken."""
    modules = {name: read(name) for name in MODULES}
    homes = {name: module for module in modules.values() for name in module.statements if not name.startswith("_")}
    found: dict[tuple[str, str], ast.stmt] = {}
    left_out: list[str] = []
    for name in wanted:
        taken: dict[tuple[str, str], ast.stmt] = {}
        if name in homes and _take(homes[name], name, modules, taken):
            found |= taken
        else:
            left_out.append(name)
    order = {name: index for index, name in enumerate(MODULES)}
    rows = sorted(found.items(), key=lambda item: (order[item[0][0]], item[1].lineno))
    return [(_renamed(module, name), statement) for (module, name), statement in rows], left_out


def _renamed(module: str, name: str) -> str:
    if not name.startswith("_"):
        return name
    return f"{module.upper()}{name}" if name.isupper() else f"{module}{name}"


def _take(module: _Module, name: str, modules: dict[str, _Module], taken: dict[tuple[str, str], ast.stmt]) -> bool:
    """Add a statement and all it needs; False where something is not known."""
    if (module.name, name) in taken:
        return True
    if name not in module.statements:
        return False
    copy = ast.parse(ast.unparse(module.statements[name])).body[0]
    copy.lineno = module.statements[name].lineno
    line = copy.lineno
    statement = _Plain(module).visit(copy)
    ast.fix_missing_locations(statement)
    statement.lineno = line
    taken[module.name, name] = statement
    bound = {node.arg for node in ast.walk(statement) if isinstance(node, ast.arg)}
    bound |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(statement):
        if not isinstance(node, ast.Name) or node.id in bound or node.id in KNOWN:
            continue
        home = modules.get(module.imported.get(node.id, module.name))
        if node.id == name:
            node.id = _renamed(module.name, name)
            continue
        if home is None or not _take(home, node.id, modules, taken):
            return False
        node.id = _renamed(home.name, node.id)
    if isinstance(statement, ast.FunctionDef):
        statement.name = _renamed(module.name, name)
    return True


def make() -> tuple[str, list[str]]:
    """Return the file's text, formatted, and the nodes that it lacks."""
    rows, left_out = collect((*TENSOR_NODES, *ALSO))
    for name, statement in rows:
        if isinstance(statement, ast.Assign):
            statement.targets = [ast.Name(name, ast.Store())]
    body = "\n\n\n".join(ast.unparse(statement) for _, statement in rows)
    text = HEAD + IMPORTS + "\n\n" + body + "\n"
    return formatted(text, TARGET, "--unsafe-fixes", "--extend-select", "F841,RUF059"), left_out


def text() -> str:
    """Return the file's text, and print which nodes it lacks."""
    made, left_out = make()
    print("left out:", ", ".join(left_out) or "none")
    return made


if __name__ == "__main__":
    write_or_check(TARGET, text)

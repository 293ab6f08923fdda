"""Writes converters/diffusers_script/pieces/c_modifiers.py from graphflow.sampling: what changes guidance.

Exported scripts carry the guiders and modifiers that they need. Their code is this package's own, without what scripts do
not have: flow models, annotations of arguments. Run with --check to see whether the file is up to date.
"""

from __future__ import annotations

import ast

from tools.pieces import PIECES, ROOT, first_paragraph, formatted, without_annotations, write_or_check

SOURCES = ROOT / "graphflow/sampling"
TARGET = PIECES / "c_modifiers.py"
FILES = ("guidance", "guiders", "modifiers")
LEFT_OUT = {"Evaluate", "Guider", "Unguided"}
NAMES = {
    "model_sampling": "denoise",
    "ModelSampling": "Denoiser",
    "Evaluate": "Callable",
    "_velocity_maps": "velocity_maps",
    "_length": "length_of",
}
"""What scripts call otherwise; their denoiser knows the noise levels."""

SIDES = {"POSITIVE": "positive", "NEGATIVE": "negative", "MIDDLE": "middle", "EMPTY": "empty"}
IMPORTS = """from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from c_denoiser import Denoiser
"""
HEAD = '''"""What changes guidance, made by tools/make_guidance_pieces.py from graphflow.sampling."""

# mypy: ignore-errors

'''


class _ForScripts(ast.NodeTransformer):
    """Takes out annotations of arguments and flow models, and has docstrings end with their first paragraph."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        if node.name == "sides":
            return None
        without_annotations(node)
        node.name = NAMES.get(node.name, node.name)
        self.generic_visit(node)
        _shorten(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        _shorten(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        match node.target:
            case ast.Name(id="sides"):
                return None
            case ast.Name(id="variation"):
                node.annotation = ast.Name("Callable")
        return node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        if "is_flow" in ast.unparse(node.test):
            return [self.visit(part) for part in node.orelse] or None
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(SIDES[node.id]) if node.id in SIDES else ast.Name(NAMES.get(node.id, node.id), node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        node.attr = NAMES.get(node.attr, node.attr)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = NAMES.get(node.arg, node.arg)
        return node


def _shorten(node: ast.FunctionDef | ast.ClassDef) -> None:
    text = ast.get_docstring(node)
    if text:
        node.body[0] = ast.Expr(ast.Constant(first_paragraph(text)))


def make() -> str:
    """Return the file's text, formatted."""
    body: list[str] = []
    for name in FILES:
        for statement in ast.parse((SOURCES / f"{name}.py").read_text("utf-8")).body:
            if isinstance(statement, ast.FunctionDef | ast.ClassDef) and statement.name not in LEFT_OUT:
                body.append(ast.unparse(ast.fix_missing_locations(_ForScripts().visit(statement))))
    text = HEAD + IMPORTS + "\n\n" + "\n\n\n".join(body) + "\n"
    return formatted(text, TARGET)


if __name__ == "__main__":
    write_or_check(TARGET, make)

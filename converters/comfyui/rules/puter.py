"""Power Puter (rgthree): code that only computes, as the nodes that compute the same. The pack is under the MIT licence."""

from __future__ import annotations

import ast
import copy
import textwrap
from collections.abc import Mapping
from typing import Any

from ..building import Builder, Const, Ref, RefusedError, Source, Value
from .rule import AnyRule, Made
from .values import expression

_KINDS = ("INT", "FLOAT", "BOOLEAN", "STRING", "*")
_DEEPEST = 200
"""Characters of code times this are the most that filled-in names may make of it."""


class _Filled(ast.NodeTransformer):
    """Puts what was assigned to a name in its place."""

    def __init__(self, known: Mapping[str, ast.expr]) -> None:
        self._known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return copy.deepcopy(self._known.get(node.id, node))


def _result(code: str) -> ast.expr:
    """Return what code gives, as one expression.

    Raises:
        RefusedError: It does more than assign and compute.
    """
    body = textwrap.indent(textwrap.dedent(code), "    ")
    try:
        (function,) = ast.parse(f"def puter():\n{body}\n").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RefusedError("its code is no Python that is understood here") from error
    assert isinstance(function, ast.FunctionDef)
    known: dict[str, ast.expr] = {}
    for number, statement in enumerate(function.body):
        last = number == len(function.body) - 1
        if isinstance(statement, ast.Expr | ast.Return) and statement.value is not None and last:
            found = _Filled(known).visit(statement.value)
            assert isinstance(found, ast.expr)
            return found
        if (
            isinstance(statement, ast.Assign)
            and len(statement.targets) == 1
            and isinstance(statement.targets[0], ast.Name)
        ):
            filled = _Filled(known).visit(statement.value)
            if len(ast.dump(filled)) > _DEEPEST * max(100, len(code)):
                raise RefusedError("its code becomes too long when it is written as one expression")
            known[statement.targets[0].id] = filled
        else:
            raise RefusedError("its code does more than assign and compute, which is left to Python")
    raise RefusedError("its code gives nothing")


def _pieces(node: ast.expr) -> list[str | ast.expr]:
    """Return texts and values whose concatenation a text is."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_pieces(node.left), *_pieces(node.right)]
    if isinstance(node, ast.JoinedStr):
        return [piece for part in node.values for piece in _pieces(part)]
    if isinstance(node, ast.FormattedValue) and node.conversion == -1 and node.format_spec is None:
        return [node.value]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str" and len(node.args) == 1:
        return [node.args[0]]
    return [node]


def _text(builder: Builder, source: Source, node: ast.expr, values: Mapping[str, Value], suffix: str) -> Value:
    template = ""
    given: dict[str, Value] = {}
    for piece in _pieces(node):
        if isinstance(piece, str):
            template += piece.replace("{", "{{").replace("}", "}}")
            continue
        if isinstance(piece, ast.Name) and piece.id in values:
            value: Value = values[piece.id]
        else:
            real, whole, _ = _number(builder, source, piece, values)
            value = whole if _is_whole(builder, piece, values) else real
        letter = next((name for name, known in given.items() if known == value), None)
        if letter is None:
            if len(given) == 4:
                raise RefusedError("its text has more than four values")
            letter = "abcd"[len(given)]
            given[letter] = value
        template += f"{{{letter}}}"
    return builder.add(source, "text_format", {"template": template, **given}, suffix=suffix)


def _is_whole(builder: Builder, node: ast.expr, values: Mapping[str, Value]) -> bool:
    """Say whether Python gives a whole number, which a text shows without decimals."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int)
    if isinstance(node, ast.Name):
        value = values.get(node.id)
        return (
            isinstance(value.value, int)
            if isinstance(value, Const)
            else isinstance(value, Ref) and builder.type_of(value).name == "int"
        )
    if isinstance(node, ast.BinOp):
        return not isinstance(node.op, ast.Div | ast.Pow) and all(
            _is_whole(builder, side, values) for side in (node.left, node.right)
        )
    if isinstance(node, ast.UnaryOp):
        return _is_whole(builder, node.operand, values)
    if isinstance(node, ast.IfExp):
        return all(_is_whole(builder, side, values) for side in (node.body, node.orelse))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        own = node.func.id in ("int", "floor", "ceil") or (node.func.id == "round" and len(node.args) == 1)
        return own or (
            node.func.id in ("min", "max", "abs") and all(_is_whole(builder, part, values) for part in node.args)
        )
    return False


def _number(builder: Builder, source: Source, node: ast.expr, values: Mapping[str, Value]) -> list[Value]:
    for inner in ast.walk(node):
        if isinstance(
            inner, ast.Attribute | ast.Subscript | ast.Lambda | ast.ListComp | ast.GeneratorExp | ast.DictComp
        ):
            raise RefusedError("its code reads parts of values, which is left to Python")
    return expression(builder, source, ast.unparse(node), values)


def _computed(builder: Builder, source: Source) -> list[Value]:
    told: Any = source.literal("outputs", ["*"])
    told = told.get("outputs", ["*"]) if isinstance(told, Mapping) else told
    kinds = [str(kind) for kind in told] if isinstance(told, list) and told else [str(told)]
    code = source.text("code")
    values = {
        name: value
        for name in source.inputs
        if name not in ("code", "outputs") and (value := source.get(name)) is not None
    }
    found = _result(code)
    parts = found.elts if len(kinds) > 1 and isinstance(found, ast.Tuple | ast.List) else [found]
    if len(parts) != len(kinds):
        raise RefusedError(f"its code gives {len(parts)} values for {len(kinds)} outputs")
    made: list[Value] = []
    for number, (kind, part) in enumerate(zip(kinds, parts, strict=True)):
        if isinstance(part, ast.Name) and part.id in values:
            made.append(values[part.id])
        elif kind == "STRING" or (
            isinstance(part, ast.JoinedStr | ast.Constant) and isinstance(getattr(part, "value", ""), str)
        ):
            made.append(_text(builder, source, part, values, suffix=f"{number}" if number else ""))
        elif kind in _KINDS:
            real, whole, truth = _number(builder, source, part, values)
            made.append({"INT": whole, "BOOLEAN": truth}.get(kind, real))
        else:
            raise RefusedError(f"an output of the kind {kind} has no native counterpart")
    return made


RULES: tuple[AnyRule, ...] = (
    Made("Power Puter (rgthree)", ("expression", "text_format"), _computed, says="expression or text_format", pack="rgthree-comfy"),
)  # fmt: skip
"""By ComfyUI type."""

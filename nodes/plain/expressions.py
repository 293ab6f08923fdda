"""Arithmetic expressions from strangers: parsed by Python's own grammar, evaluated by a small walk over the tree."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from graphflow.errors import InvalidInputError

Number: TypeAlias = int | float | bool

LARGEST = 2**64
"""Whole numbers reach less far than this; without a bound a few powers fill the memory."""

_CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e}
_FUNCTIONS: Mapping[str, tuple[Callable[..., Number], int, int]] = {
    "abs": (abs, 1, 1),
    "ceil": (math.ceil, 1, 1),
    "clamp": (lambda x, low, high: max(low, min(x, high)), 3, 3),
    "cos": (math.cos, 1, 1),
    "exp": (math.exp, 1, 1),
    "float": (float, 1, 1),
    "floor": (math.floor, 1, 1),
    "int": (int, 1, 1),
    "log": (math.log, 1, 2),
    "log2": (math.log2, 1, 1),
    "log10": (math.log10, 1, 1),
    "max": (max, 2, 20),
    "min": (min, 2, 20),
    "pow": (lambda x, y: _power(x, y), 2, 2),
    "round": (lambda x, digits=0: _rounded(x, int(digits)) if digits else round(x), 1, 2),
    "sin": (math.sin, 1, 1),
    "sqrt": (math.sqrt, 1, 1),
    "tan": (math.tan, 1, 1),
}
"""Functions with how few and how many arguments they take."""

_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: lambda x, y: _power(x, y),
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Number]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
}
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def evaluate(text: str, names: Mapping[str, Number]) -> Number:
    """Compute an expression.

    Args:
        text: Python's operators, comparisons, ``and``, ``or``, ``not``, ``x if y else z``, `_FUNCTIONS`, pi and e.
        names: What further names mean.

    Raises:
        InvalidInputError: It is no such expression, divides by zero, or the result is no number or too large.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
        result = _value(tree.body, names)
    except (SyntaxError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "it is nested too deeply"
        raise InvalidInputError(f"this is no expression: {reason}", where="expression") from error
    except ZeroDivisionError as error:
        raise InvalidInputError("it divides by zero", where="expression") from error
    except OverflowError as error:
        raise InvalidInputError("the result is too large", where="expression") from error
    except (ValueError, TypeError) as error:
        raise InvalidInputError(f"it cannot be computed: {error}", where="expression") from error
    return result


def within_64_bits(value: Number) -> Number:
    """Return a number that is finite and, where it is whole, has at most 64 bits.

    Raises:
        InvalidInputError: It is not.
    """
    if isinstance(value, int) and abs(value) >= LARGEST:
        raise InvalidInputError("the result is too large", advice="whole numbers have at most 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInputError("the result is too large, or no number")
    return value


def _value(tree: ast.expr, names: Mapping[str, Number]) -> Number:
    match tree:
        case ast.Constant(value=bool() | int() | float() as value):
            return within_64_bits(value)
        case ast.Name(id=name):
            if name in names:
                return names[name]
            if name in _CONSTANTS:
                return _CONSTANTS[name]
            known = ", ".join((*names, *_CONSTANTS))
            raise InvalidInputError(f"there is no name {name!r}", where="expression", advice=f"use {known}")
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return within_64_bits(_BINARY[type(op)](_value(left, names), _value(right, names)))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand, names))
        case ast.BoolOp(op=op, values=values):
            result = _value(values[0], names)
            for part in values[1:]:
                if bool(result) is isinstance(op, ast.Or):
                    break
                result = _value(part, names)
            return result
        case ast.Compare(left=left, ops=ops, comparators=comparators) if all(type(op) in _COMPARE for op in ops):
            sides = [_value(side, names) for side in (left, *comparators)]
            return all(_COMPARE[type(op)](a, b) for op, a, b in zip(ops, sides, sides[1:], strict=False))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _value(body if _value(test, names) else orelse, names)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            function, fewest, most = _FUNCTIONS[name]
            if not fewest <= len(arguments) <= most:
                raise InvalidInputError(f"{name} takes other arguments", where="expression")
            return within_64_bits(function(*(_value(argument, names) for argument in arguments)))
    raise InvalidInputError(
        f"{ast.unparse(tree)!r} is not allowed in an expression",
        where="expression",
        advice="use numbers, names, operators, and the functions " + ", ".join(_FUNCTIONS),
    )


def _rounded(number: Number, digits: int) -> Number:
    """Round to so many digits. Python writes out all that are asked for, however many a number has."""
    if abs(digits) > 400:
        raise InvalidInputError(f"round takes at most 400 digits, got {digits}", where="expression")
    return round(number, digits)


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        if abs(base) > 1 and exponent * math.log2(abs(base)) > 64:
            raise InvalidInputError("the result is too large", advice="whole numbers have at most 64 bits")
        return int(base**exponent)
    result = base**exponent
    if isinstance(result, complex):
        raise InvalidInputError("a root of a negative number is no number", where="expression")
    return float(result)

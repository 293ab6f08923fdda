"""Functions that cannot be nodes are refused where they are written, with what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from graphflow.errors import NodeDefinitionError
from graphflow.spec.decorator import node, spec_of
from graphflow.values import Files, Image


class Stranger:
    """No value type."""


class Two(NamedTuple):
    image: Image
    text: str


def plain(x: int = 0) -> int:
    """Return it."""
    return x


def no_docstring(x: int) -> int:
    return x


def no_annotation(x) -> int:  # type: ignore[no-untyped-def]
    """Return it."""
    return int(x)


def no_return_annotation(x: int):  # type: ignore[no-untyped-def]
    """Return it."""
    return x


def nothing(x: int) -> None:
    """Return nothing."""


def many(*x: int) -> int:
    """Return their number."""
    return len(x)


def keywords(**x: int) -> int:
    """Return their number."""
    return len(x)


def positional(x: int, /) -> int:
    """Return it."""
    return x


def strange(x: Stranger) -> int:
    """Return one."""
    return 1


def unresolved(x: Nowhere) -> int:  # type: ignore[name-defined]  # noqa: F821
    """Return one."""
    return 1


async def later(x: int) -> int:
    """Return it later."""
    return x


def one_by_one(x: int) -> Any:
    """Give it."""
    yield x


def file(x: int) -> Files:
    """Write it."""
    return Files(files=())


def two(image: Image) -> Two:
    """Return two."""
    return Two(image, "")


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        (no_docstring, {}, "a node has a docstring"),
        (no_annotation, {}, r"\(x\): the annotation is missing"),
        (no_return_annotation, {}, "the return annotation is missing"),
        (nothing, {}, "the return annotation is missing"),
        (many, {}, r"\(x\): a node has named parameters only"),
        (keywords, {}, r"\(x\): a node has named parameters only"),
        (positional, {}, r"\(x\): a node has named parameters only"),
        (strange, {}, "Stranger'> is neither a value type nor something that JSON can hold"),
        (unresolved, {}, "name 'Nowhere' is not defined"),
        (later, {}, "neither async nor a generator"),
        (one_by_one, {}, "neither async nor a generator"),
        (plain, {"effect": True}, "a node with an effect returns Files"),
        (plain, {"lane": "gpu"}, "there is no lane 'gpu'; there are device, cpu, inline"),
        (plain, {"version": "2"}, "whole number from 1 on, got '2'"),
        (plain, {"version": 0}, "whole number from 1 on, got 0"),
        (two, {"primary": "mask"}, "the primary output 'mask' is none of its outputs"),
    ],
)
def test_what_is_wrong_is_said(function: Callable[..., Any], options: dict[str, Any], said: str) -> None:
    with pytest.raises(NodeDefinitionError, match=said) as caught:
        node("wrong", **options)(function)
    assert caught.value.exit_code == 2
    assert function.__name__ in str(caught.value)


@pytest.mark.parametrize("name", ["Film Grain", "filmGrain", "1film", "film-grain", "film.", ""])
def test_a_type_name_is_lower_case_with_underscores(name: str) -> None:
    with pytest.raises(NodeDefinitionError, match="is not lower_case_with_underscores"):
        node(name)(plain)


def test_a_decorator_without_parentheses_says_so() -> None:
    with pytest.raises(NodeDefinitionError, match=r'plain: a node has a type name \(write @node\("name"\)\)'):
        node(plain)  # type: ignore[arg-type]


def test_what_is_right_is_a_node() -> None:
    spec = spec_of(node("right", primary="text")(two))
    assert (spec.primary, list(spec.output_types), list(spec.inputs)) == ("text", ["image", "text"], ["image"])
    assert spec_of(node("written", effect=True)(file)).effect
    with pytest.raises(NodeDefinitionError, match="this function is no node"):
        spec_of(plain)

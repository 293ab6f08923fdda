"""A node pack without torch, for tests of the engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import Field

from graphflow import runtime
from graphflow.spec.decorator import InputFile, Seed, node
from graphflow.values import EncodedFile, Files

T = TypeVar("T")

CALLS: list[tuple[str, Any]] = []
"""(node type, what it got), in the order of the calls; tests clear it."""


@node("toy_number", fold=True)
def number(value: int) -> int:
    """Return a number."""
    return value


@node("toy_text", fold=True)
def text(value: str) -> str:
    """Return a text."""
    return value


@node("toy_load")
def load(name: str = "model", scale: float = 1.0) -> float:
    """Return a number that stands for a model."""
    CALLS.append(("load", name))
    return scale


@node("toy_sample", lane="device", generates=True)
def sample(
    model: float,
    seed: Seed = 0,
    steps: Annotated[int, Field(ge=1, le=1000, description="steps to take")] = 3,
    sampler: Literal["euler", "heun"] = "euler",
) -> float:
    """Take steps and return a number."""
    CALLS.append(("sample", seed))
    for step in range(steps):
        runtime.current().report(step + 1, steps, None)
    return model * 1000 + seed + steps / 1000


@node("toy_add")
def add(x: float, y: float = 1) -> float:
    """Add two numbers."""
    CALLS.append(("add", (x, y)))
    return x + y


@node("toy_sum")
def total(parts: list[Any]) -> float:
    """Add up many numbers."""
    CALLS.append(("sum", tuple(parts)))
    return sum(parts)


class Pair(NamedTuple):
    """Two outputs."""

    low: float
    high: float


@node("toy_split")
def split(x: float) -> Pair:
    """Split a number in two."""
    CALLS.append(("split", x))
    return Pair(x - 0.5, x + 0.5)


@node("toy_range")
def counted(count: Annotated[int, Field(ge=0, le=100)], start: int = 0) -> Sequence[int]:
    """Return a sequence of numbers."""
    return tuple(range(start, start + count))


@node("toy_double", map=True)
def double(x: int, plus: int = 0) -> int:
    """Double one number, or each of a sequence."""
    CALLS.append(("double", x))
    return 2 * x + plus


@node("toy_switch", chooser=lambda params: ("on_true" if params["select"] else "on_false", None))
def switch(select: bool, on_false: T, on_true: T) -> T:
    """Take one of two."""
    return on_true if select else on_false


@node("toy_pick", chooser=lambda params: ("options", params["index"]))
def pick(index: int, options: list[Any]) -> Any:
    """Take one of many."""
    return options[index]


@node("toy_positive")
def positive(x: float) -> bool:
    """Tell whether a number is positive."""
    CALLS.append(("positive", x))
    return x > 0


@node("toy_fail")
def fail(x: float, message: str = "broken") -> float:
    """Fail."""
    raise RuntimeError(message)


@node("toy_slow", lane="cpu")
def slow(x: float, seconds: float = 0.05) -> float:
    """Wait, and look for cancellation while waiting."""
    CALLS.append(("slow", threading.current_thread().name))
    for step in range(10):
        runtime.current().report(step + 1, 10, None)
        time.sleep(seconds / 10)
    return x


@node("toy_read")
def read(file: Annotated[str, InputFile("text")]) -> str:
    """Read a user's file."""
    CALLS.append(("read", file))
    return runtime.current().path_of(file).read_text("utf-8")


@node("toy_write", effect=True)
def write(x: Any, name: Annotated[str, Field(min_length=1)] = "toy") -> Files:
    """Write a value to a text file."""
    CALLS.append(("write", x))
    return Files(files=(EncodedFile(stem=name, suffix=".txt", data=repr(x).encode()),))


NODES = [
    add,
    counted,
    double,
    fail,
    load,
    number,
    pick,
    positive,
    read,
    sample,
    slow,
    split,
    switch,
    text,
    total,
    write,
]

"""Going on inside a node where an interrupted run has left off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from graphflow.errors import StaleTapeError
from graphflow.spec.decorator import NodeSpec
from graphflow.store import Store
from graphflow.store.tapes import Tape

T = TypeVar("T")


@contextmanager
def taping(store: Store, key: str, spec: NodeSpec) -> Iterator[Tape | None]:
    """Have the tape of a step that samples until the block ends; it goes with the step's result, and stays without one."""
    tape = store.tape(key) if spec.generates and spec.persist else None
    if tape is None:
        yield None
        return
    try:
        yield tape
    except BaseException:
        tape.close()
        raise
    tape.remove()


def resumed(call: Callable[[], T], tape: Tape) -> T:
    """Call what asks a tape; once more where the tape turns out to be of another computation."""
    tape.rewind()
    try:
        result = call()
        tape.finish()
    except StaleTapeError:
        tape.rewind()
        return call()
    return result

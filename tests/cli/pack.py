"""A node pack without torch, for tests of the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import Annotated, Any

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError, SafetyError
from graphflow.spec.decorator import Seed, node
from graphflow.values import EncodedFile, Files


@node("pack_draw", persist=True)
def draw(seed: Seed = 0, steps: Annotated[int, Field(ge=1, le=100_000)] = 3, wait: float = 0.0) -> float:
    """Draw a number, in steps."""
    for step in range(steps):
        runtime.current().report(step + 1, steps, None)
        time.sleep(wait)
    return seed + steps / 8


@node("pack_add", persist=True)
def add(x: float, by: float = 1.0) -> float:
    """Add to a number."""
    return x + by


@node("pack_say", persist=True)
def say(text: str = "hello") -> str:
    """Return a text, and tell the user something."""
    runtime.current().notice("said something")
    return text


@node("pack_print", cache=False)
def print_(x: float = 1.0) -> float:
    """Print, as packs and libraries do: in its thread, in another one, past Python, in a child."""
    print("printed by the node")
    other = threading.Thread(target=print, args=("printed by its thread",))
    other.start()
    other.join()
    os.write(1, b"printed past Python\n")
    subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
    return x


@node("pack_fail")
def fail(x: float) -> float:
    """Fail as a program with a mistake does."""
    raise ZeroDivisionError("by design")


@node("pack_refuse")
def refuse(x: float) -> float:
    """Refuse what it gets."""
    raise InvalidInputError("this number is not welcome", advice="give another one")


@node("pack_withhold", effect=True)
def withhold(x: Any, name: str = "number") -> Files:
    """Withhold everything."""
    raise SafetyError("the safety checker withheld 1 of 1", advice="another seed or prompt may pass")


@node("pack_save", effect=True)
def save(x: Any, name: Annotated[str, Field(min_length=1)] = "number", wait: float = 0.0) -> Files:
    """Save a value to a text file."""
    time.sleep(wait)
    return Files(files=(EncodedFile(stem=name, suffix=".txt", data=repr(x).encode()),))

"""How steps are counted in expressions."""

from __future__ import annotations

from typing import Any

from .script import Script

FULL_STRENGTH = 0.9999
"""Strengths above are the whole schedule."""


def total_steps(script: Script, steps: str, strength: Any) -> str:
    """The number of steps of the whole schedule, of which ``steps`` are taken."""
    shown = script.value(strength)
    if shown.startswith("args.") or steps.startswith("args."):
        return script.assign("total_steps", f"int({steps} / {shown})")
    return str(int(int(steps) / (1.0 if strength.value > FULL_STRENGTH else strength.value)))


def share_of(steps: str, total: str) -> str:
    """A strength of which Diffusers makes int(total * strength) == steps evaluations, in spite of rounding."""
    if steps == total:
        return "1.0"
    if steps.isdigit() and total.isdigit() and int(int(total) * (int(steps) / int(total))) == int(steps):
        return f"{steps} / {total}"
    return f"min(({steps} + 0.5) / {total}, 1.0)"


def sliced(variable: str, *, start: str = "", end: str = "") -> str:
    """A slice from or to some place, with spaces where formatters put them."""
    simple = (start + end).isidentifier() or (start + end).isdigit()
    return f"{variable}[{start}:{end}]" if simple else f"{variable}[{start} :]" if start else f"{variable}[: {end}]"


def plus_one(number: str) -> str:
    """The number behind one."""
    return str(int(number) + 1) if number.isdigit() else f"{number} + 1"


def next_seed(shown: str) -> str:
    """The seed beside one; 0 follows the highest."""
    return str((int(shown) + 1) % 2**64) if shown.isdigit() else f"({shown} + 1) % 2**64"


def step_seed(shown: str, rule: str) -> str:
    """Where the noise of steps starts by a value of `step_noise`."""
    return next_seed(shown) if rule == "seed + 1" else shown

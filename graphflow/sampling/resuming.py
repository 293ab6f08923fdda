"""Evaluations that an interrupted run has made are taken from its tape, and sampling goes on from the last.

Taped is what the networks answer, before guidance and what modifies it: those repeat in milliseconds, as noise and the
sampler's arithmetic do, and may remember earlier steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from graphflow.planning.numerics import version_of
from graphflow.runtime import Tape


class Remembering(Protocol):
    """Something beside a network that its evaluations change, such as the generator that a hook draws from."""

    def get_state(self) -> Tensor:
        """Return what it is now."""
        ...

    def set_state(self, state: Tensor) -> object:
        """Be again what it was."""
        ...


@dataclass(eq=False)
class Resuming:
    """Answers from a tape, as long as there are any.

    Attributes:
        tape: The tape.
        states: What evaluations change, see :class:`Remembering`.
        device: Where the network computes.
        notice: Is told where the run goes on.
    """

    tape: Tape
    states: Sequence[Remembering]
    device: torch.device | str
    notice: Callable[[str], None]
    _recalled: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        device = torch.device(self.device)
        self._circumstances = repr(
            [
                version_of("graphflow-diffusers"),
                torch.__version__,
                torch.get_num_threads(),
                str(device),
                torch.cuda.get_device_name(device)
                if device.type == "cuda"
                else torch.backends.cpu.get_cpu_capability(),
                len(self.states),
            ]
        )

    def __call__(
        self, x: Tensor, sigma: Tensor, sides: int, variation: str | None, evaluate: Callable[[], list[Tensor]]
    ) -> list[Tensor]:
        """Return the answers of an evaluation.

        Args:
            x: (B, C, ...) the noisy latent.
            sigma: Its scalar noise level.
            sides: How many answers there are, (B, C, ...) each.
            variation: Name of a variation of the network.
            evaluate: Asks the network.

        Raises:
            StaleTapeError: The tape is another computation's.
        """
        told = [self._circumstances, tuple(x.shape), float(sigma), sides, variation]
        question = hashlib.blake2b(repr(told).encode())
        question.update(x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        found = self.tape.recall(question.digest())
        if found is None:
            if self._recalled:
                self.notice(f"sampling goes on after {self._recalled} evaluations that an interrupted run had made")
                self._recalled = 0
            answers = evaluate()
            states = {f"state {index}": state.get_state() for index, state in enumerate(self.states)}
            self.tape.keep(question.digest(), {"answers": torch.stack(answers).cpu(), **states})
            return answers
        self._recalled += 1
        for index, state in enumerate(self.states):
            state.set_state(found[f"state {index}"])
        return list(found["answers"].to(x.device).unbind())

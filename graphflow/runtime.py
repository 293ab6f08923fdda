"""What a running node may ask of the engine: models, progress, cancellation, where things are.

The current runtime travels in a context variable: the executor sets it for each node; a node function that is
called directly from Python gets a default one, made from the settings on first use.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


class ModelProvider(Protocol):
    """Where modules come from. ``graphflow.loading.manager`` has the one that loads real files."""

    @property
    def device(self) -> str:
        """The device that models compute on, as torch calls it."""
        ...

    @property
    def measures(self) -> Collection[str]:
        """What was done to save memory, by the names in :mod:`graphflow.loading.offload`."""
        ...

    def use(self, recipe: Any, /) -> AbstractContextManager[Any]:
        """Have the module of a :class:`graphflow.values.Recipe` in place until the block ends."""
        ...

    def exchanging(self, model: Any, /) -> AbstractContextManager[Any]:
        """Have what makes other weights for a model in use, see :mod:`graphflow.sampling.scheduled_weights`."""
        ...

    def find(self, name: str, kind: str, *, part: str, options: dict[str, Any] | None = None) -> Any:
        """Resolve a model name to a :class:`graphflow.values.ModelFile`: one part, its family and fingerprint."""
        ...

    def parts(self, name: str, kind: str) -> tuple[str, ...]:
        """Return which parts a model has, e.g. ``("unet", "text_encoder", "vae", "safety_checker")``."""
        ...

    def family_of(self, files: Sequence[Any]) -> str:
        """Return the family whose models read all of these text encoders; empty where one of several reads a single one."""
        ...

    def preprocessor(self, method: str) -> AbstractContextManager[Any]:
        """Have a detector that draws what a ControlNet reads, by the name of its method, until the block ends."""
        ...

    def fits(self, nbytes: int) -> bool:
        """Tell whether weights of so many bytes may stay in memory together."""
        ...

    def retrying(self, call: Callable[[], Any]) -> Any:
        """Call a function; where the device runs out of memory, free some and call it again."""
        ...

    def inference(self) -> AbstractContextManager[Any]:
        """Return the context in which nodes run: no gradients."""
        ...


class Tape(Protocol):
    """Keeps what takes long while a node runs, so that an interrupted run goes on: answers to questions in their order."""

    def recall(self, question: bytes, /) -> Mapping[str, torch.Tensor] | None:
        """Return what an interrupted run was answered here; None where it did not come so far."""
        ...

    def keep(self, question: bytes, answer: Mapping[str, torch.Tensor], /) -> None:
        """Keep an answer that was not recalled."""
        ...


def _no_progress(step: int, total: int, preview: Any) -> None:
    """Report nothing."""


def _never() -> None:
    """Never cancel."""


def _no_notice(message: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What one node sees while it runs.

    Attributes:
        models: Where modules come from.
        report: Called with (step, total, preview or None); previews are (B, 3, h, w) tensors in [0, 1].
        check_cancelled: Raises CancelledError once the user has stopped the run; long loops call it at each step.
        notice: Tells the user something that is no error.
        inexact: Called when a memory measure changed the numbers beyond rounding, so that the result is not stored.
        record: The facts that saved files carry (JSON), without times and hosts, as far as planning knows them.
        complete: Adds to the record what is known when a file is written; may wait for the digests of models.
        previews: Whether anybody looks at previews.
        files: For each file name that the node's parameters hold: where planning found it.
        tape: Keeps evaluations of networks for a run that goes on after this one was interrupted; None keeps nothing.
        trusted: Names that the user gave and that may be any path; None trusts every name (plain Python calls).
    """

    models: ModelProvider
    report: Callable[[int, int, torch.Tensor | None], None] = _no_progress
    check_cancelled: Callable[[], None] = _never
    notice: Callable[[str], None] = _no_notice
    inexact: Callable[[str], None] = _no_notice
    record: dict[str, Any] = field(default_factory=dict)
    complete: Callable[[dict[str, Any]], dict[str, Any]] = dict
    previews: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    tape: Tape | None = None
    trusted: frozenset[str] | None = None

    def carried(self, *, embed: bool = True) -> dict[str, Any]:
        """Return what a file carries that is written now: ``workflow``, ``record`` and ``mark``, as far as there are such.

        Args:
            embed: Whether it carries the workflow and the record; the mark of what a model made is there in any case.
        """
        if not embed:
            return {"mark": self.record["mark"]} if "mark" in self.record else {}
        return self.complete(self.record)

    def path_of(self, name: str) -> Path:
        """Return where a user's file is; nodes open files by this path only."""
        return Path(self.files.get(name, name))

    def trusts(self, name: str) -> bool:
        """Tell whether a name is the user's own and may be any path."""
        return self.trusted is None or name in self.trusted


_CURRENT: ContextVar[Runtime | None] = ContextVar("graphflow_runtime", default=None)
_defaults: list[Callable[[], Runtime]] = []


def make_default_by(make: Callable[[], Runtime]) -> None:
    """Say what makes the runtime of node functions that are called outside any run; the last word holds."""
    _defaults[:] = [make]


def current() -> Runtime:
    """Return the runtime of the node that is running, or a default one outside any run."""
    return _CURRENT.get() or _defaults[0]()


class using:  # noqa: N801  # a context manager; as a generator it would be several times as slow, at each node
    """Make ``runtime`` the current one until the block ends."""

    __slots__ = ("_runtime", "_token")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def __enter__(self) -> Runtime:
        self._token: Token[Runtime | None] = _CURRENT.set(self._runtime)
        return self._runtime

    def __exit__(self, *_: object) -> None:
        _CURRENT.reset(self._token)

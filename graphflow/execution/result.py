"""What a run gave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from graphflow.basics import markup
from graphflow.basics.measures import count, duration
from graphflow.basics.wording import shorten
from graphflow.execution.environment import Outcome
from graphflow.execution.output import WrittenFile
from graphflow.planning.checked import Source
from graphflow.planning.steps import Constant, Plan
from graphflow.values.media import Image
from graphflow.values.types import is_tensor, type_name

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

T = TypeVar("T")

PICTURE_ENDINGS = frozenset({".png", ".webp", ".jpg", ".jpeg", ".gif"})
"""Endings of files that are pictures."""


@dataclass(frozen=True, repr=False)
class Result:
    """What a run gave. Its values are shared with the session's store: copy a tensor before writing to it.

    Printed, it tells what it has; in a notebook, it shows its pictures too.

    Attributes:
        outputs: The document's named outputs.
        values: The values of the named outputs and of what was asked for with ``targets``, by address.
        files: Files that effect nodes wrote or found up to date, by node.
        seconds: Time of each node that ran.
        cached: Tier of each node whose value came from the store.
        withheld: By effect node: how many items the safety filter took out.
        plan: The last plan.
        run_id: The run, as its events have it.
        nodes: The type of each node of the plan, in its order.
        seeds: The numbers drawn for seeds that said ``"random"``, by address of the parameter.
        notices: What planning and nodes had to tell, as ``notice`` events do.
    """

    outputs: Mapping[str, Any]
    values: Mapping[str, Any]
    files: Mapping[str, list[WrittenFile]]
    seconds: Mapping[str, float]
    cached: Mapping[str, str]
    withheld: Mapping[str, int]
    plan: Plan
    run_id: str
    nodes: Mapping[str, str]
    seeds: Mapping[str, int]
    notices: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        plan: Plan,
        outcome: Outcome,
        run_id: str,
        notices: Iterable[str] = (),
        *,
        source_of: Callable[[Source], Source] = lambda source: source,
    ) -> Result:
        """Return what a run gave, or one of several that were carried out as one.

        Args:
            plan: Its last plan.
            outcome: What was done.
            run_id: The run.
            notices: What nodes had to tell.
            source_of: Where the outcome has the value of a source of the plan.
        """
        values = outcome.values
        homes = {node: source_of(Source(node, "")).node for node in plan.steps}
        outputs = {
            name: end.value if isinstance(end, Constant) else values[source_of(end)]
            for name, end in plan.outputs.items()
            if isinstance(end, Constant) or source_of(end) in values
        }
        return cls(
            outputs=outputs,
            values={str(end): values[source_of(end)] for end in plan.targets if source_of(end) in values},
            files=_here(outcome.files, homes),
            seconds=_here(outcome.seconds, homes),
            cached=_here(outcome.cached, homes),
            withheld=_here(outcome.withheld, homes),
            plan=plan,
            run_id=run_id,
            nodes={step.id: step.spec.type for step in plan.steps.values()},
            seeds=plan.expanded.seeds,
            notices=tuple(dict.fromkeys([*plan.notices, *notices])),
        )

    @property
    def paths(self) -> list[Path]:
        """All files, in the order of the effect nodes."""
        return [file.path for files in self.files.values() for file in files]

    @property
    def ran(self) -> list[str]:
        """The nodes that ran, in the order of the plan."""
        return [node for node in self.nodes if self.done(node) in ("ran", "written")]

    @property
    def images(self) -> list[Picture]:
        """The pictures, opened anew: those that were written, or where there are none, those among the values.

        Raises:
            OSError: A file that was written is gone.
            NonFiniteError: A pixel of a value is NaN or infinite.
        """
        import PIL.Image

        from graphflow.basics.eight_bits import to_pictures

        written = [path for path in self.paths if path.suffix.lower() in PICTURE_ENDINGS]
        if written:
            return [PIL.Image.open(BytesIO(path.read_bytes())) for path in written]
        return [picture for image in _images(self.given.values()) for picture in to_pictures(image.pixels)]

    @property
    def given(self) -> Mapping[str, Any]:
        """The named outputs, and by address what else was asked for with ``targets``."""
        named = {str(end) for end in self.plan.outputs.values()} if self.values else set()
        return {**self.outputs, **{address: value for address, value in self.values.items() if address not in named}}

    def done(self, node: str) -> str | None:
        """Say what happened to a node; None where nothing did."""
        files = self.files.get(node)
        if files is not None:
            hows = {file.how for file in files}
            return hows.pop() if len(hows) == 1 else "written"
        if node in self.cached:
            return f"stored ({self.cached[node]})"
        return "ran" if node in self.seconds else None

    def totals(self) -> str:
        """Return one line: how many nodes ran, were stored, and how many files there are."""
        what = list(map(self.done, self.nodes))
        ran = what.count("ran")
        stored = sum(item is not None and item.startswith("stored") for item in what)
        hows = [file.how for files in self.files.values() for file in files]
        parts = [f"{count(ran, 'node')} ran" if ran else "nothing had to run"]
        if stored:
            parts.append(f"{stored} taken from the store")
        for how in ("written", "copied", "up to date"):
            if number := hows.count(how):
                parts.append(f"{count(number, 'file')} {how}" + (" from the store" if how == "copied" else ""))
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Return what a run gave as a JSON object: its last event. Values that are no JSON are described."""
        return {
            "event": "result",
            "run_id": self.run_id,
            "files": [
                {"node": node, "path": str(file.path), "how": file.how}
                for node, files in self.files.items()
                for file in files
            ],
            "outputs": {name: value if _plain(value) else describe(value) for name, value in self.given.items()},
            "seconds": dict(self.seconds),
            "cached": dict(self.cached),
            "withheld": {node: number for node, number in self.withheld.items() if number},
            "seeds": dict(self.seeds),
        }

    def __repr__(self) -> str:
        return "\n  ".join([f"Result: {self.totals()}", *self._told()])

    def _repr_html_(self) -> str:
        try:
            shown = markup.thumbnails(self.images, self.paths)
        except Exception as error:  # a file that was moved, pixels that are no numbers: the rest is shown still
            shown = markup.paragraph(error)
        times = {node: duration(self.seconds[node]) for node in self.ran if node in self.seconds}
        rows = [(node, self.done(node) or "", times.get(node, "")) for node in self.nodes if self.done(node)]
        told = "".join(map(markup.paragraph, (self.totals(), *self._told())))
        return shown + told + markup.table(("node", "what", "time"), rows)

    def _told(self) -> Iterator[str]:
        """Yield what it has, one line a kind."""
        parts: dict[str, Sequence[object]] = {
            "ran": self.ran,
            "cached": [f"{node} ({tier})" for node, tier in self.cached.items()],
            "files": self.paths,
            "seeds": [f"{address} = {seed}" for address, seed in self.seeds.items()],
            "values": [f"{name} = {describe(value)}" for name, value in self.given.items()],
            "withheld": [f"{node}: {number}" for node, number in self.withheld.items() if number],
        }
        yield from (f"{name}: {', '.join(map(str, items))}" for name, items in parts.items() if items)
        yield from (f"note: {notice}" for notice in self.notices)


def _here(by_step: Mapping[str, T], homes: Mapping[str, str]) -> dict[str, T]:
    return {node: by_step[step] for node, step in homes.items() if step in by_step}


def describe(value: Any) -> str:
    """Show a value in one line: literals as they are, tensors by shape."""
    if is_tensor(value):
        return "tensor " + " × ".join(map(str, value.shape))
    name = type_name(type(value))
    if name is None:
        return shorten(value, 200)
    shapes = [f"{key} {' × '.join(map(str, part.shape))}" for key, part in vars(value).items() if is_tensor(part)]
    return f"{name}" + (f" ({', '.join(shapes)})" if shapes else "")


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | str)


def _images(values: Any) -> Iterator[Image]:
    """Yield the image values among others, also those in sequences."""
    for value in values:
        if isinstance(value, Image):
            yield value
        elif isinstance(value, tuple):
            yield from _images(value)

"""What is varied: values by name, side by side or each with each."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import prod
from pathlib import Path
from typing import Any

from graphflow.basics import jsontools
from graphflow.basics.measures import count
from graphflow.errors import InvalidInputError, LimitError, Problem, Problems, WorkflowError
from graphflow.limits import LIMITS
from graphflow.planning.expand import Text

_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\.\.({_NUMBER})(?:\.\.({_NUMBER}))?\s*")
_FORM = 'write NAME=1..8, NAME=3,5,7, NAME=0..1..0.25, NAME=@FILE (a value a line) or NAME=["a, b", "c"]'

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Axis:
    """Values that change together.

    Attributes:
        names: Exposed inputs or ``node.parameter``.
        rows: For each place on the axis: values by name; a name that is missing keeps what the workflow says.
        told: For each place, where its values were given, as errors say it.
    """

    names: tuple[str, ...]
    rows: tuple[Row, ...]
    told: tuple[str, ...]


class Variants(Sequence[Row]):
    """Each place of an axis with each of the others; the last axis changes fastest. No axis is one variant.

    Args:
        axes: The axes.

    Raises:
        InvalidInputError: Two axes have a name in common.
        LimitError: There are too many.
    """

    def __init__(self, axes: Iterable[Axis]) -> None:
        self.axes = tuple(axes)
        names = [name for axis in self.axes for name in axis.names]
        for name in names:
            if names.count(name) > 1:
                raise InvalidInputError("is varied twice", where=name, advice="give all its values at once")
        self._length = prod(len(axis.rows) for axis in self.axes)
        if self._length > LIMITS.variants:
            raise LimitError(
                f"{self._length:,} variants are more than {LIMITS.variants:,}", advice="split the sweep into several"
            )

    def __len__(self) -> int:
        return self._length

    def places(self, number: int) -> tuple[int, ...]:
        """Return the place of a variant on each axis."""
        found: list[int] = []
        for axis in reversed(self.axes):
            number, place = divmod(number, len(axis.rows))
            found.append(place)
        return tuple(reversed(found))

    def __getitem__(self, number: Any) -> Any:
        if not 0 <= number < self._length:
            raise IndexError(number)
        row: dict[str, Any] = {}
        for axis, place in zip(self.axes, self.places(number), strict=True):
            row |= axis.rows[place]
        return row


def parse_axis(text: str) -> Axis:
    """Read what ``--vary`` gives: ``NAME=VALUES``.

    Raises:
        InvalidInputError: It has no such form, or the file that it names cannot be read.
    """
    name, equals, values = text.partition("=")
    if not equals or not name.strip():
        raise InvalidInputError(f"{text!r} is no assignment", where="--vary", advice=_FORM)
    return make_axis(name.strip(), values, place=f"--vary {name.strip()}")


def make_axis(name: str, values: str | Iterable[Any], *, place: str) -> Axis:
    """Return one name's axis.

    Args:
        name: The name.
        values: The values, or a text: a range, ``@`` and a file, a list in JSON, or values between commas.
        place: What to call it in errors.

    Raises:
        InvalidInputError: There is no value, or the text cannot be read.
    """
    if isinstance(values, str):
        found = _parsed(values, place)
    elif isinstance(values, Iterable) and not isinstance(values, bytes | Mapping):
        found = [(value, place) for value in values]
    else:
        raise InvalidInputError(f"must be a list of values, got {values!r}", where=place)
    if not found:
        raise InvalidInputError("there is no value", where=place, advice=_FORM)
    return Axis((name,), tuple({name: value} for value, _ in found), tuple(told for _, told in found))


def _parsed(text: str, place: str) -> list[tuple[Any, str]]:
    """Return the values, each with where it was given."""
    stripped = text.strip()
    if stripped.startswith("@"):
        file = Path(stripped[1:]).expanduser()
        if file.suffix.lower() == ".json":
            place = f"{place} ({file})"
            return [(value, place) for value in _json_list(_read(file, place), place)]
        lines = enumerate(_read(file, place).splitlines(), 1)
        return [(Text(line), f"{place} ({file}, line {number})") for number, line in lines if line.strip()]
    if stripped.startswith("["):
        return [(value, place) for value in _json_list(stripped, place)]
    return [(Text(value), place) for part in text.split(",") for value in _values(part, place)]


def _values(part: str, place: str) -> Iterable[str]:
    """Return what stands between commas: a range of numbers, or one value."""
    found = _RANGE.fullmatch(part)
    return [part.strip()] if found is None else map(str, _numbers(*found.groups(), place=place))


def _json_list(text: str, place: str) -> list[Any]:
    try:
        found = jsontools.loads(text, source=place)
    except WorkflowError as error:
        problem = error.problems[0]
        raise InvalidInputError(
            f"{problem.message} ({problem.path})",
            where=place,
            advice='write ["a, b", "c"]; a text that begins with a bracket stands in such a list, too',
        ) from error
    if not isinstance(found, list):
        raise InvalidInputError("must be a list", where=place, advice='write ["a, b", "c"]')
    return found


def _numbers(first: str, last: str, step: str | None, *, place: str) -> list[Decimal]:
    start, end = Decimal(first), Decimal(last)
    if step is None and any("." in number for number in (first, last)):
        raise InvalidInputError(
            "a range of fractions needs a step", where=place, advice=f"write {first}..{last}..STEP, e.g. 1..2..0.25"
        )
    by = Decimal(step) if step is not None else Decimal(1 if end >= start else -1)
    if not by or (end - start) / by < 0:
        raise InvalidInputError(f"the step {by} does not lead from {first} to {last}", where=place)
    length = int((end - start) / by) + 1
    if length > LIMITS.variants:
        raise LimitError(f"{length:,} values are more than {LIMITS.variants:,}", where=place)
    return [start + index * by for index in range(length)]


def read_rows(path: Path) -> Axis:
    """Read an axis from a table: ``.csv`` with names in its first line, or ``.jsonl`` with an object a line.

    An empty cell, as a name that is missing in an object, keeps what the workflow says.

    Raises:
        InvalidInputError: The file cannot be read, or has another form; the line is told.
    """
    text = _read(path, "--rows")
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".jsonl"):
        raise InvalidInputError(
            f"{suffix or 'a file without a suffix'} is no table", where=str(path), advice="give a .csv or .jsonl file"
        )
    problems = Problems(str(path))
    rows = dict(_csv_rows(text, path, problems) if suffix == ".csv" else _json_rows(text, problems))
    if problems:
        raise WorkflowError(problems, source=str(path))
    return rows_axis(rows.values(), place=str(path), told=[f"{path}, line {number}" for number in rows])


def rows_axis(rows: Iterable[Row], *, place: str, told: Sequence[str] = ()) -> Axis:
    """Return the axis of rows of values.

    Args:
        rows: The rows.
        place: What to call them in errors.
        told: What to call each of them; by default its number is told.

    Raises:
        InvalidInputError: There is none, or one is no mapping.
    """
    found = tuple(rows)
    if not found or not all(isinstance(row, Mapping) for row in found):
        raise InvalidInputError("must be rows of values by name, one at least", where=place)
    names = tuple(dict.fromkeys(str(name) for row in found for name in row))
    return Axis(names, found, tuple(told) or tuple(f"{place}, row {number}" for number in range(1, len(found) + 1)))


def _csv_rows(text: str, path: Path, problems: Problems) -> Iterator[tuple[int, Row]]:
    """Yield rows by line; what is wrong with a line is added to the problems."""
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip() for name in next(lines, [])]
        for name in names:
            if not name or names.count(name) > 1:
                problem = f"the column {name!r} stands there twice" if name else "a column has no name"
                raise InvalidInputError(problem, where=f"{path}, line 1")
        for cells in lines:
            if len(cells) > len(names):
                message = f"{count(len(cells), 'cell')}, but the first line names {len(names)}"
                advice = "put texts with commas between quotation marks"
                problems.append(Problem(f"line {lines.line_num}", message, advice))
            if any(cells):
                yield (
                    lines.line_num,
                    {name: Text(cell) for name, cell in zip(names, cells, strict=False) if cell},
                )
    except csv.Error as error:
        raise InvalidInputError(f"is no CSV: {error}", where=f"{path}, line {lines.line_num}") from error


def _json_rows(text: str, problems: Problems) -> Iterator[tuple[int, Row]]:
    """Yield rows by line; what is wrong with a line is added to the problems."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = jsontools.loads(line, source=f"line {number}")
        except WorkflowError as error:
            for problem in error.problems:
                problems.append(replace(problem, path=f"line {number}, {problem.path.removeprefix('line 1, ')}"))
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            problems.append(Problem(f"line {number}", "must be an object", 'write {"NAME": VALUE}'))


def combined(axes: Sequence[Axis], *, zip: bool) -> Sequence[Axis]:
    """Return axes as they are, each value to run with each of the others, or side by side, as one.

    Raises:
        InvalidInputError: Axes side by side have different lengths, or there is none.
    """
    if not zip:
        return axes
    lengths = {", ".join(axis.names): len(axis.rows) for axis in axes}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{names} has {count(length, 'value')}" for names, length in lengths.items())
        raise InvalidInputError(
            told or "nothing is varied", where="--zip", advice="values side by side must be equally many"
        )
    names = tuple(name for axis in axes for name in axis.names)
    length = lengths.popitem()[1]
    rows = ({name: value for axis in axes for name, value in axis.rows[at].items()} for at in range(length))
    places = (" and ".join(dict.fromkeys(axis.told[at] for axis in axes)) for at in range(length))
    return [Axis(names, tuple(rows), tuple(places))]


def _read(path: Path, place: str) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError("is no text in UTF-8", where=str(path)) from error
    except OSError as error:
        raise InvalidInputError(f"{place} cannot be read: {error.strerror or error}", where=str(path)) from error

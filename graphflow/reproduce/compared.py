"""Comparing two workflows, and what files show that were made by them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from graphflow.document.opening import Opened
from graphflow.errors import InvalidInputError
from graphflow.planning.unlike import Unlike, unlike
from graphflow.reproduce.carried import Carried, carried
from graphflow.reproduce.changes import Change, changes, graph_of, same_results
from graphflow.reproduce.content import Compared, compare
from graphflow.session import Session


@dataclass(frozen=True)
class Comparison:
    """How two workflows, or two files with their workflows, compare.

    Attributes:
        changes: How their nodes differ.
        same_results: Whether both write the same by all that the workflows say.
        unlike: The recorded facts that differ, of two files that have records.
        compared: How what the files show compares; None where they are no such files.
        written: Of files that other nodes wrote, or of which one has another number: which they are.
    """

    changes: tuple[Change, ...]
    same_results: bool
    unlike: tuple[Unlike, ...]
    compared: Compared | None
    written: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing differs but names."""
        shown = self.compared is None or self.compared.same
        return self.same_results and shown and not self.unlike and not any(change.details for change in self.changes)

    def conclusion(self) -> str:
        """One sentence: what explains the pixels, or where there are none, whether the workflows make the same."""
        weighty = [change.other or change.node for change in self.changes if change.reaches]
        named = ", ".join(dict.fromkeys(weighty))
        if self.compared is None:
            return "both make the same" if self.same_results else f"what is written differs by {named or 'its nodes'}"
        if self.compared.same:
            return "they show the same" + (f", although {named} differ" if named else "")
        if self.written and not self.changes:
            return f"they are two files of one workflow: {' and '.join(self.written)}"
        if not self.same_results:
            return f"the pixels differ by {named or 'the workflows'}"
        if self.unlike:
            return f"the workflows make the same; the most likely cause of other pixels: {self.unlike[0]}"
        return "the workflows make the same, and no recorded circumstance differs: one of the files was changed since"


def compare_workflows(session: Session, one: Opened, other: Opened, first: Path, second: Path) -> Comparison:
    """Compare two workflows, and the files that carry them.

    Args:
        session: Knows the node types.
        one: A workflow.
        other: Another.
        first: The file that the one was read from, where it was a file.
        second: That of the other.

    Raises:
        InvalidInputError: A file cannot be read.
        LimitError: A workflow is too large when unfolded.
    """
    files = [_carried(path) for path in (first, second)]
    nodes = [None if item is None else item.record.get("node") for item in files]
    before, after = (
        graph_of(session.expand(opened.document), session.registry, node)
        for opened, node in zip((one, other), (nodes[0] or nodes[1], nodes[1] or nodes[0]), strict=True)
    )
    found = tuple(changes(before, after))
    if files[0] is None or files[1] is None:
        return Comparison(found, same_results(before, after), (), None)
    told = tuple(unlike(files[0].record, files[1].record, only_both=True))
    which = [f"{item.record.get('node')}, number {item.record.get('number')}" for item in files if item]
    written = tuple(which) if all(nodes) and which[0] != which[1] else ()
    return Comparison(found, same_results(before, after), told, compare(first, second), written)


def _carried(path: Path) -> Carried | None:
    try:
        return carried(path)
    except InvalidInputError:
        return None

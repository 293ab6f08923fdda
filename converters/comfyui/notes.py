"""What the importer changed, guessed or could not do, said node by node."""

from __future__ import annotations

from dataclasses import dataclass, field

NOTE_LIMIT = 10_000
"""Notes kept for one file; more say nothing new."""


@dataclass(frozen=True, order=True)
class Note:
    """One thing worth telling.

    Attributes:
        node: Id of the node in the flat prompt, or an empty string for the whole file.
        input: Name of the input, or an empty string.
        code: Short stable name of the kind, e.g. ``bypassed`` or ``unnamed-values``.
        message: The fact, as a sentence.
    """

    node: str
    input: str
    code: str
    message: str

    def __str__(self) -> str:
        place = f"node {self.node}" if self.node else "file"
        return f"{place}{'.' + self.input if self.input else ''}: {self.message}"


@dataclass
class Journal:
    """Collects notes (changed or guessed, harmless) and problems (the result may be wrong there)."""

    notes: dict[Note, None] = field(default_factory=dict)
    problems: dict[Note, None] = field(default_factory=dict)

    def note(self, code: str, message: str, *, node: str = "", input: str = "") -> None:
        """Record something changed or guessed."""
        if len(self.notes) < NOTE_LIMIT:
            self.notes[Note(node, input, code, message)] = None

    def problem(self, code: str, message: str, *, node: str = "", input: str = "") -> None:
        """Record something that may make the result wrong."""
        if len(self.problems) < NOTE_LIMIT:
            self.problems[Note(node, input, code, message)] = None

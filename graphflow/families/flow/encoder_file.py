"""Text encoders in weight files, alone or inside of whole checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from graphflow.families.flow.names import T5Names
from graphflow.modelfiles.description import TokenizerSpec
from graphflow.modelfiles.draft import Draft
from graphflow.modelfiles.inferred import Inferred, Shapes


@dataclass(frozen=True, kw_only=True)
class EncoderFile:
    """A kind of text encoder that weight files hold.

    Attributes:
        classes: The classes that published configs name; the first one is built.
        prefixes: What names of its tensors may begin with.
        is_one: Tells whether the tensors of a file that begin with a prefix are such an encoder.
        infer: Config from tensors without prefix, and the file's name for errors.
        names: How its tensors are called.
        tokenizer: What its vocabulary is called.
        published: Where the Hub has the vocabulary, `org/name` or `org/name:folder`.
        inside: The tensor in which weight files bring the vocabulary along; empty where none do.
    """

    classes: tuple[str, ...]
    prefixes: tuple[str, ...]
    is_one: Callable[[Shapes, str], bool]
    infer: Callable[[Shapes, str], Inferred]
    names: T5Names
    tokenizer: str
    published: tuple[str, ...]
    inside: str = ""

    def prefix(self, shapes: Shapes) -> str | None:
        """What the names of its tensors begin with; None where there is none."""
        return next((prefix for prefix in self.prefixes if self.is_one(shapes, prefix)), None)

    def add(self, draft: Draft, name: str) -> Inferred:
        """Add a file's encoder to its description, with its tokenizer.

        Args:
            draft: The description while it is made.
            name: What the part is called.

        Raises:
            ModelFormatError: The tensors do not form one.
        """
        prefix = self.prefix(draft.shapes) or ""
        inferred = self.infer(draft.under(prefix), draft.where)
        draft.add(name, inferred, prefix)
        inside = [key.rpartition(".")[2] for key in draft.shapes].count(self.inside) == 1
        draft.tokenizers.append(
            TokenizerSpec(
                name,
                "weights" if inside else "missing",
                {},
                path=draft.weights.path if inside else None,
                name=self.tokenizer,
                published=self.published,
            )
        )
        return inferred

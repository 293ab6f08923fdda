"""The shape of a T2I style adapter, read from the names and shapes of its tensors."""

from __future__ import annotations

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

STYLE_MARK = "style_embedding"
_HEADS = 8


def infer_style_adapter(shapes: Shapes, where: str) -> Inferred:
    """Config of a :class:`StyleAdapter`.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    learnt, projection = shape_of(shapes, STYLE_MARK, dims=3), shape_of(shapes, "proj", dims=2)
    if not learnt or not projection or projection[0] != learnt[2]:
        raise ModelFormatError("the style adapter lacks its tokens or its projection", where=where)
    numbers = {name.split(".")[1] for name in shapes if name.startswith("transformer_layes.")}
    facts = {"width": learnt[2], "context": projection[1], "tokens": learnt[1], "layers": len(numbers)}
    return Inferred("StyleAdapter", "", {**facts}, {"heads": _HEADS}, frozenset({"heads"}))

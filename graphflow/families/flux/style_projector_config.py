"""What USO's style projector is known by; without torch."""

from __future__ import annotations

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

STYLE_PROJECTOR = "StyleProjector"
LEVELS = ("high", "mid", "low")
_MARK = "mid_layer_norm.bias"


def style_prefix(shapes: Shapes) -> str | None:
    """What the names of a style projector's tensors begin with; None where there is none."""
    return next((prefix for prefix in ("feature_embedder.", "") if prefix + _MARK in shapes), None)


def infer_style_projector(shapes: Shapes, where: str) -> Inferred:
    """Config of a :class:`graphflow.families.flux.style_projector.StyleProjector`.

    Args:
        shapes: Its tensors, without prefix.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    mixing = [shape_of(shapes, f"{level}_embedding_linear.0.weight", dims=2) for level in LEVELS]
    making = [shape_of(shapes, f"{level}_projection.weight", dims=2) for level in LEVELS]
    if not all(mixing) or not all(making) or len({*mixing}) > 1 or len({*making}) > 1:
        raise ModelFormatError("the style projector lacks a layer of one of its three levels", where=where)
    (tokens, reads), (makes, width) = mixing[0] or (0, 0), making[0] or (0, 0)
    facts = {"reads": reads, "tokens": tokens, "width": width, "makes": makes}
    return Inferred(STYLE_PROJECTOR, "flux", {**facts})

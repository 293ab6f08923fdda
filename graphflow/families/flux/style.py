"""FLUX.1 Redux: the style model that has a transformer read pictures as it reads text."""

from __future__ import annotations

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

REDUX = "ReduxImageEncoder"


def infer_redux(shapes: Shapes, where: str) -> Inferred:
    """Config of a `ReduxImageEncoder`.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    up, down = (shape_of(shapes, f"redux_{name}.weight", dims=2) for name in ("up", "down"))
    if not up or not down or (up[0], down[1]) != (3 * down[0],) * 2:
        raise ModelFormatError("the style model lacks one of its two layers", where=where)
    return Inferred(REDUX, "", {"redux_dim": up[1], "txt_in_features": down[0]})

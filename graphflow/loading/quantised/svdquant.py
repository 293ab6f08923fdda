"""SVDQuant: four-bit integers of smoothed columns beside a branch of low rank.

y = (x / smooth) Wq^T + x down up^T is y = x W^T with W = Wq / smooth + up down^T.
"""

from __future__ import annotations

from functools import partial

import torch

from graphflow.loading.codes.decoding import affine, signed_nibbles
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw
from graphflow.modelfiles.quantised.format import PackedLayer


def unpack(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order, those in tiles, too."""
    codes, scale, up = raw["weight"].view(torch.uint8), raw["scale"], raw["up"]
    down, smooth = raw["down"].float().t().contiguous(), raw["smooth"].float().reshape(-1)
    rows = layer.shape[0]
    if layer.options.get("layout"):
        # Tiles of 128 rows x 64 columns: (quad, i, j) is row quad * 4 + i, byte j of its 32.
        tiles = codes.unflatten(-1, (4, 32)).permute(0, 2, 3, 1, 4)
        codes = tiles.reshape(rows, -1)
        scale = scale.permute(0, 2, 1).reshape(rows, -1)
        up = up.permute(0, 2, 1).reshape(rows, -1)
    else:
        scale = scale.t()
    if layer.options.get("lowrank_branch_input_basis") == "post_smoothing":
        down = down / smooth
    entries = {"codes": codes.contiguous(), "scale": scale.contiguous(), "up": up.contiguous()}
    return PackedWeight(entries, {"down": down, "smooth": smooth}, layer.shape, partial(affine, decode=signed_nibbles))

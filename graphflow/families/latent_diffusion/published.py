"""The published architectures as Diffusers config folders, which are part of the package.

They hold json only (no weights, no vocabulary) and serve Diffusers' own loaders without a network:
`UNet2DConditionModel.from_single_file(path, config=folder, subfolder="unet", local_files_only=True)`.
"""

from __future__ import annotations

from pathlib import Path

from graphflow.modelfiles.description import Description
from graphflow.modelfiles.header import read_json

_FOLDER = Path(__file__).resolve().parents[2] / "assets" / "configs"


def config_folder(description: Description) -> Path | None:
    """The packaged config folder whose UNet has the sizes of this model; None where it is pruned, tiny or of its own.

    Args:
        description: A checkpoint or UNet of the families `sd` or `sdxl`.
    """
    name = description.variant.replace("_", "-")
    if name == "sd2" and description.scheduler.get("prediction_type") == "epsilon":
        name = "sd2-base"
    folder = _FOLDER / name
    if not name or "unet" not in description.parts or not folder.is_dir():
        return None
    published = read_json(folder / "unet" / "config.json")
    config = description.parts["unet"].config
    sizes = (
        "block_out_channels",
        "layers_per_block",
        "cross_attention_dim",
        "transformer_layers_per_block",
        "in_channels",
    )
    return folder if all(config.get(key) == published.get(key) for key in sizes) else None

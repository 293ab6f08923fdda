"""ControlNets and T2I-Adapters of random weights, and conditioning with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.loading.manager import ModelManager
from graphflow.values import ConditioningEntry, Control, ControlNet
from tests.models.tiny import sd_parts

SIGMA = torch.tensor(1.0)


def seeded(module: nn.Module, seed: int = 5) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.normal_(std=0.1, generator=generator)
    return module.eval().requires_grad_(False)


def random(*shape: int, seed: int = 6) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def adapter(kind: str) -> Any:
    from diffusers import T2IAdapter

    factor = 16 if kind == "full_adapter_xl" else 8
    return seeded(T2IAdapter(3, [32, 64], 2, factor, kind))


def net(manager: ModelManager, name: str) -> ControlNet:
    parts = manager.parts(name, "controlnet")
    return ControlNet(files=(manager.find(name, "controlnet", part=parts[0]),))


def entry(control: Control | None, width: int = 32) -> ConditioningEntry:
    return ConditioningEntry(
        embedding=random(1, 77, width),
        pooled=random(1, 32, seed=8) if width == 64 else None,
        extras={}
        if width == 32
        else dict.fromkeys(("width", "height", "target_width", "target_height"), 64) | {"crop_w": 0, "crop_h": 0},
        controls=() if control is None else (control,),
    )


def controlnet(parts: Callable[[], dict[str, Any]] = sd_parts) -> Any:
    from diffusers import ControlNetModel

    return seeded(ControlNetModel.from_unet(parts()["unet"], conditioning_channels=3))


def union() -> Any:
    from diffusers import ControlNetUnionModel

    config = dict(controlnet().config)
    kept = ("block_out_channels", "layers_per_block", "down_block_types", "cross_attention_dim", "attention_head_dim")
    module = ControlNetUnionModel(
        **{name: config[name] for name in kept},
        norm_num_groups=32,
        addition_time_embed_dim=8,
        num_control_type=6,
        num_trans_channel=32,
        num_trans_head=2,
        num_trans_layer=1,
        num_proj_channel=32,
        conditioning_embedding_out_channels=(16, 32),
    )
    return seeded(module)

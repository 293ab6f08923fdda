"""Tiny LoHa, LoKr and DoRA files in the layout of kohya, and a tiny upscaler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.models.tiny import sd_parts

ENDINGS = ("to_q", "to_k", "to_v", "conv1", "q_proj", "v_proj")
RANK = 2


def make_adapters(root: Path) -> Path:
    """Write ``tiny-loha``, ``tiny-lokr``, ``tiny-dora``, ``tiny-lycoris`` and the upscaler ``tiny-double``; returns the folder."""
    generator = torch.Generator().manual_seed(6)
    files: dict[str, dict[str, torch.Tensor]] = {"loha": {}, "lokr": {}, "dora": {}}

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.3

    for name, shape in _layers():
        out, into, *kernel = shape
        size = 1
        for edge in kernel:
            size *= edge
        flat = into * size
        for n in (1, 2):
            files["loha"][f"{name}.hada_w{n}_a"] = draw(out, RANK)
            files["loha"][f"{name}.hada_w{n}_b"] = draw(RANK, flat)
        files["lokr"][f"{name}.lokr_w1"] = draw(2, 2)
        files["lokr"][f"{name}.lokr_w2_a"] = draw(out // 2, RANK)
        files["lokr"][f"{name}.lokr_w2_b"] = draw(RANK, flat // 2)
        files["dora"][f"{name}.lora_down.weight"] = draw(RANK, into, *kernel)
        files["dora"][f"{name}.lora_up.weight"] = draw(out, RANK, *[1] * len(kernel))
        files["dora"][f"{name}.dora_scale"] = draw(1, into, *[1] * len(kernel)).abs() + 0.5
        for tensors in files.values():
            tensors[f"{name}.alpha"] = torch.tensor(1.0)
    plain = ("lora_down.weight", "lora_up.weight", "alpha")
    files["lycoris"] = {
        key.replace("lora_unet_", "lycoris_"): tensor
        for key, tensor in files["dora"].items()
        if key.startswith("lora_unet_") and key.endswith(plain)
    }
    for method, tensors in files.items():
        path = root / "loras" / f"tiny-{method}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path)
    _make_upscaler(root / "upscale_models" / "tiny-double.safetensors")
    return root


def _make_upscaler(path: Path) -> None:
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.manual_seed(3)
    network = ESRGAN(num_filters=8, num_blocks=1, scale=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)


def _layers() -> Iterator[tuple[str, tuple[int, ...]]]:
    parts = sd_parts()
    for part, prefix in (("unet", "lora_unet_"), ("text_encoder", "lora_te_text_model_")):
        for name, weight in parts[part].state_dict().items():
            layer = name.removesuffix(".weight").removeprefix("text_model.")
            if name.endswith(".weight") and layer.endswith(ENDINGS):
                yield prefix + layer.replace(".", "_"), tuple(weight.shape)

"""AnimateDiff's motion modules, against Diffusers' UNet that has them built in."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow import nodes
from graphflow.errors import InvalidInputError
from graphflow.values import Conditioning, ConditioningEntry, Latent
from tests.models.lora_files import pair
from tests.models.lora_files import write as save_lora
from tests.models.tiny import sd_parts
from tests.models.tiny_manager import SD, error, make_manager, model, running

FRAMES = 6


@cache
def adapter(*widths: int) -> Any:
    """Motion modules of random weights for the tiny UNet, or for one of other widths."""
    from diffusers import MotionAdapter

    config = sd_parts()["unet"].config
    torch.manual_seed(5)
    made = MotionAdapter(
        block_out_channels=widths or config.block_out_channels,
        motion_layers_per_block=config.layers_per_block,
        motion_max_seq_length=8,
    )
    for tensor in made.parameters():  # as made they change nothing
        torch.nn.init.normal_(tensor, std=0.2)
    return made.eval().requires_grad_(False)


def original(name: str) -> str:
    """What the authors call a tensor."""
    for new, old in {
        "attn1.": "attention_blocks.0.", "attn2.": "attention_blocks.1.", "pos_embed.": "attention_blocks.0.pos_encoder.",
        "norm1.": "norms.0.", "norm2.": "norms.1.", "norm3.": "ff_norm.",
    }.items():  # fmt: skip
        name = name.replace(new, old)
    head, _, rest = name.partition(".motion_modules.")
    number, _, leaf = rest.partition(".")
    return f"{head}.motion_modules.{number}.temporal_transformer.{leaf}"


def write(folder: Path, layout: str, *widths: int, name: str = "mm") -> None:
    tensors = adapter(*widths).state_dict()
    if layout == "authors":
        tensors = {original(name): tensor for name, tensor in tensors.items()}
        tensors |= {
            name.replace("blocks.0.pos", "blocks.1.pos"): tensor.clone()
            for name, tensor in tensors.items()
            if name.endswith(".pe")
        }
    (folder / "animatediff_models").mkdir(exist_ok=True)
    save_file(tensors, folder / "animatediff_models" / f"{name}.safetensors")


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layout", ["authors", "diffusers"])
def test_the_frames_of_several_prompts_equal_diffusers(tmp_path: Path, layout: str) -> None:
    from diffusers import UNetMotionModel

    write(tmp_path, layout)
    x, texts, time = noise(2 * FRAMES, 4, 8, 8), noise(2, 77, 32), torch.full((2 * FRAMES,), 500.0)
    manager = make_manager(tmp_path)
    with running(manager) as told:
        moving = nodes.apply_motion_module(model(manager, SD), "mm")
        with moving.use() as loaded:
            assert loaded.spans_batch
            entries = [ConditioningEntry(embedding=text[None]) for text in texts]
            found = loaded.predict(x, time, entries, sigma=torch.tensor(3.0))
            half = (len(entries), FRAMES)
            plain = type(loaded).predict
        with model(manager, SD).use() as loaded:
            still = loaded.predict(x, time, entries, sigma=torch.tensor(3.0))
            assert loaded.predict.__func__ is plain
    assert not told.notices
    whole = UNetMotionModel.from_unet2d(sd_parts()["unet"], adapter()).eval()
    with torch.no_grad():
        wanted = whole(
            x.unflatten(0, half).transpose(1, 2), 500.0, encoder_hidden_states=texts.repeat_interleave(FRAMES, 0), return_dict=False
        )[0]  # fmt: skip
    wanted = wanted.transpose(1, 2).flatten(0, 1)
    assert error(found, wanted) <= 1e-5
    assert error(found, still) > 1e-2


def test_windows_of_a_long_video_are_averaged_and_short_ones_are_one(tmp_path: Path) -> None:
    write(tmp_path, "authors")
    manager = make_manager(tmp_path)
    entry = ConditioningEntry(embedding=noise(1, 77, 32), extras={"seen": noise(10, 1)})
    x, time = noise(10, 4, 8, 8), torch.full((10,), 500.0)
    with running(manager):
        with nodes.apply_motion_module(model(manager, SD), "mm", window=4, overlap=1).use() as loaded:
            found = loaded.predict(x, time, [entry], sigma=torch.tensor(3.0))
            first, last = (loaded.predict(x[part], time[part], [entry]) for part in (slice(4), slice(6, 10)))
        assert error(found[:3], first[:3]) <= 1e-5 and error(found[7:], last[1:]) <= 1e-5
        middle = nodes.apply_motion_module(model(manager, SD), "mm", window=4, overlap=1)
        with middle.use() as loaded:
            second = loaded.predict(x[3:7], time[:4], [entry])
        shared = (first[3] + second[0]) / 2  # each is the last of its window
        assert error(found[3], shared) <= 1e-5
        whole = nodes.apply_motion_module(model(manager, SD), "mm", window=0)
        with whole.use() as loaded, pytest.raises(InvalidInputError, match="at most 8"):
            loaded.predict(x, time, [entry])


def test_other_noise_levels_and_other_unets(tmp_path: Path) -> None:
    from diffusers import DDIMScheduler

    write(tmp_path, "diffusers")
    write(tmp_path, "diffusers", 64, 64, name="wide")
    manager = make_manager(tmp_path)
    with running(manager):
        with nodes.apply_motion_module(model(manager, SD), "mm").use() as loaded:
            linear = float(loaded.model_sampling.sigmas[-1])
            kept = DDIMScheduler(beta_schedule="linear", beta_start=0.00085, beta_end=0.012).alphas_cumprod[-1]
        with nodes.apply_motion_module(model(manager, SD), "mm", levels="model").use() as loaded:
            own = float(loaded.model_sampling.sigmas[-1])
        assert linear == pytest.approx(float(((1 - kept) / kept) ** 0.5), rel=1e-4)
        assert own == pytest.approx(14.6146, rel=1e-4)
        other = nodes.apply_motion_module(model(manager, SD), "wide")
        with pytest.raises(InvalidInputError, match="motion modules are for a UNet"), other.use():
            pass
        told = Conditioning(entries=(ConditioningEntry(embedding=noise(1, 77, 32)),))
        moving = nodes.apply_motion_module(model(manager, SD), "mm", window=4, overlap=1)
        latent = Latent(samples=torch.zeros(FRAMES, 4, 8, 8))
        video = nodes.sample(model=moving, positive=told, latent=latent, steps=2, guidance_scale=1.0)
        assert video.samples.shape == latent.samples.shape


@pytest.mark.parametrize("layout", ["authors", "diffusers"])
def test_motion_loras_change_the_modules(tmp_path: Path, layout: str) -> None:
    write(tmp_path, "authors")
    changed = {
        "up_blocks.0.motion_modules.0.transformer_blocks.0.attn2.to_out.0": 1,
        "mid_block.motion_modules.0.transformer_blocks.0.attn1.to_q": 2,
    }
    state, tensors = adapter().state_dict(), {}
    for module, seed in changed.items():
        weight = state[f"{module}.weight"]
        down, up = pair(*weight.shape, rank=2, seed=seed)
        name = original(module + ".").removesuffix(".") if layout == "authors" else module
        head, _, last = name.removesuffix(".0").rpartition(".")
        for role, tensor in (("down", down), ("up", up)):
            key = f"{head}.processor.{last}_lora.{role}.weight" if layout == "authors" else f"{name}.lora.{role}.weight"
            tensors[key] = tensor
        changed[module] = weight + 0.5 * up @ down  # type: ignore[assignment]
    save_lora(tmp_path, "zoom", tensors)
    manager = make_manager(tmp_path)
    with running(manager) as told:
        moving = nodes.apply_motion_module(model(manager, SD), "mm", loras={"zoom": 0.5})
        with moving.hooks[0].network.use() as network:
            found = network.state_dict()
            assert all(error(found[f"{module}.weight"], wanted) <= 1e-6 for module, wanted in changed.items())
    assert not told.notices

"""Numbers against the CPU in float32: half precision, float32 itself, CUDA's noise, an autoencoder that overflows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tests.closeness import UNITS, units_apart
from tools.gpu_check.engine import noise
from tools.gpu_check.machine import Machine, draw, exact_float32, relative, shows_red_circle
from tools.gpu_check.random_models import ASSETS, Family
from tools.gpu_check.rows import Row, at_most, holds

SHAPES_BOUND = {"float16": 0.005, "bfloat16": 0.05}
"""Relative error of the packaged model's latent after 20 steps with guidance."""

FULL_BOUND = {"float16": 0.01, "bfloat16": 0.06}
"""The same of a full-size model with random weights after two steps."""

FLOAT32_BOUND = 1e-3
PACKAGED = ("txt2img", "img2img", "inpaint", "controlnet", "lora_stack", "regional_prompts", "custom_sampling")
SAMPLERS = ("euler_ancestral", "dpmpp_2m_sde", "uni_pc")


def half_shapes(machine: Machine) -> Iterator[Row]:
    """The packaged model in half precision."""
    expected = draw(machine.session("float32", device="cpu"), targets=["sample"]).latent
    for dtype, bound in SHAPES_BOUND.items():
        found = draw(machine.session(dtype), targets=["sample", "decode"])
        yield at_most(f"shapes, 20 steps, {dtype}: error of the latent", relative(found.latent, expected), bound)
        yield holds(f"shapes, {dtype}: picture", (seen := shows_red_circle(found.pixels)), _seen(seen), "a red circle")


def half_full_size(machine: Machine) -> Iterator[Row]:
    """Full-size models with random weights in half precision."""
    families: tuple[Family, ...] = ("sd", "sdxl")
    for family in families:
        options = {
            "model": machine.model(family),
            "sampler": "euler",
            "schedule": "normal",
            "width": 256,
            "height": 256,
            "steps": 2,
            "guidance_scale": 1.0,
        }
        expected = draw(machine.session("float32", device="cpu"), targets=["sample"], **options).latent
        for dtype, bound in FULL_BOUND.items():
            found = draw(machine.session(dtype), targets=["sample"], **options).latent
            yield at_most(f"random {family}, 2 steps, {dtype}: error of the latent", relative(found, expected), bound)


def vae_upcast(machine: Machine) -> Iterator[Row]:
    """An autoencoder that leaves float16's range goes on in float32."""
    model = str(_overflowing(machine.folder / "overflowing"))
    expected = draw(machine.session("float32", device="cpu"), targets=["decode"], model=model, steps=4).pixels
    found = draw(machine.session("float16"), targets=["decode"], model=model, steps=4)
    said = [notice for notice in found.notices if "goes on in float32" in notice]
    yield holds("VAE that overflows in float16: said", len(said) == 1, f"{len(said)} notices", "1")
    yield at_most("VAE that overflows in float16: error of the picture", relative(found.pixels, expected), 0.05)


def _overflowing(folder: Path) -> Path:
    """The packaged model, its VAE's first layer a million times as strong; a normalisation follows at once."""
    shutil.copytree(ASSETS / "shapes", folder)
    weights, config = folder / "vae" / "diffusion_pytorch_model.safetensors", folder / "vae" / "config.json"
    tensors = load_file(weights)
    for name in ("decoder.conv_in.weight", "decoder.conv_in.bias"):
        tensors[name] = tensors[name].float() * 1e6
    save_file(tensors, weights, metadata={"format": "pt"})
    told = {**json.loads(config.read_text("utf-8")), "force_upcast": False}
    config.write_text(json.dumps(told), "utf-8")
    return folder


def float32_parity(machine: Machine) -> Iterator[Row]:
    """The same workflows in float32 on both."""
    with exact_float32():
        for name in PACKAGED:
            yield _parity(machine, name, name)
        for sampler in SAMPLERS:
            yield _parity(machine, f"txt2img with {sampler}", "txt2img", sampler=sampler)
    if machine.device == "cuda":
        found, expected = (draw(machine.session("float32", device=device)) for device in (machine.device, "cpu"))
        error = relative(found.pixels, expected.pixels)
        yield Row("txt2img, float32 as torch sets it (convolutions in TF32)", f"{error:.2g}", "", "measured")


def _parity(machine: Machine, what: str, workflow: str, **inputs: str) -> Row:
    found, expected = (
        draw(machine.session("float32", device=device), workflow, **inputs).pixels for device in (machine.device, "cpu")
    )
    return at_most(f"{what}, float32: error of the picture", relative(found, expected), FLOAT32_BOUND)


def noise_stream(machine: Machine) -> Iterator[Row]:
    """The engine's stream of the device's noise, computed on the CPU, against torch's own."""
    cases: Sequence[tuple[int, tuple[int, ...]]] = (
        (7, (1, 4, 64, 64)),
        (2**40 + 3, (1, 4, 128, 128)),
        (0, (1, 16, 64, 64)),
    )
    for seed, shape in cases:
        generator = torch.Generator(machine.device).manual_seed(seed)
        ours = noise(machine.device, seed)
        for number in ("first", "second"):
            theirs = torch.randn(shape, generator=generator, device=machine.device).cpu()
            found = ours.randn(shape)
            equal = float((found == theirs).float().mean())
            row = at_most(
                f"noise of seed {seed}, {list(shape)}, {number} draw: units apart", units_apart(found, theirs), UNITS
            )
            yield Row(row.what, f"{row.figure} ({equal:.1%} bit for bit)", row.bound, row.state)


def _seen(truth: bool) -> str:
    return "a red circle" if truth else "something else"

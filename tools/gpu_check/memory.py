"""Memory: the rungs of the ladder under real shortage, policies from the start, and what a session gives back."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from graphflow import Session, Workflow, node, nodes
from graphflow.values import Conditioning, Latent, Model
from tools.gpu_check.engine import RUNGS
from tools.gpu_check.machine import MIB, Drawn, Machine, draw, relative
from tools.gpu_check.rows import NEEDS_CUDA, Row, at_most, holds

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "python_red.png"

HALF_BOUND = 0.02
"""Relative error of a float16 result that was computed in another order."""

SEAMS = 0.02
"""Mean difference of pixels, of 1, that tiles may make."""

GIVEN_BACK = 64 * MIB
"""What libraries may keep for themselves once a session is gone."""


@node("gpu_check_in_turn", lane="device")
def in_turn(first: Model, second: Model, positive: Conditioning, latent: Latent) -> Latent:
    """Sample with two models in one node: the first is loaded and idle while the second computes."""
    for model in (first, second):
        latent = nodes.sample(model, positive, latent, steps=1, guidance_scale=1.0, sampler="euler", schedule="normal")
    return latent


def two_models(machine: Machine, *, one_node: bool) -> Workflow:
    """A workflow that needs two models, one after the other, in one node or in two."""
    first = Path(machine.model("sd"))
    second = first.with_name("random-sd-again")
    if not second.exists():
        second.symlink_to(first, target_is_directory=True)
    flow = Workflow()
    one, other = (flow.add(nodes.load_checkpoint, model=str(path)) for path in (first, second))
    prompt = flow.add(nodes.encode_prompt, text_encoder=one.text_encoder, text="a red circle")
    latent = flow.add(nodes.empty_latent, width=256, height=256)
    options = {"steps": 1, "guidance_scale": 1.0, "sampler": "euler", "schedule": "normal"}
    if one_node:
        drawn = flow.add(in_turn, first=one.model, second=other.model, positive=prompt, latent=latent)
    else:
        drawn = flow.add(nodes.sample, model=one.model, positive=prompt, latent=latent, **options)
        drawn = flow.add(nodes.sample, model=other.model, positive=prompt, latent=drawn, **options)
    flow.output("latent", drawn)
    return flow


def large_picture(machine: Machine) -> Workflow:
    """A workflow that encodes a picture and decodes it again, large enough for tiles."""
    size = 1536 if machine.device == "cuda" else 640
    flow = Workflow()
    vae = flow.add(nodes.load_checkpoint, model="shapes").vae
    small = flow.add(nodes.load_image, file=str(PICTURE)).image
    latent = flow.add(nodes.encode_image, vae=vae, images=flow.add(nodes.resize, images=small, width=size, height=size))
    flow.output("image", flow.add(nodes.vae_decode, vae=vae, latent=latent))
    return flow


def ladder(machine: Machine) -> Iterator[Row]:
    """The rungs of the ladder, each under a shortage that it alone ends."""
    weights = float((Path(machine.model("sd")) / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size)
    apart, together = (two_models(machine, one_node=one) for one in (False, True))
    large = large_picture(machine)
    yield _rung(machine, 0, apart, lambda: 1.5 * weights)
    yield _rung(machine, 1, large, lambda: _between(machine, large))
    yield _rung(machine, 2, together, lambda: 1.5 * weights)
    yield _rung(machine, 3, apart, lambda: 0.5 * weights)


def _between(machine: Machine, large: Workflow) -> float:
    """More than a picture takes in tiles, less than it takes whole."""
    (_, whole), (_, tiled) = _whole_and_tiled(machine, large)
    if tiled > 0.8 * whole:
        raise RuntimeError(f"tiles take {tiled / MIB:.0f} MiB, the whole picture {whole / MIB:.0f}: no limit between")
    return (whole + tiled) / 2


def _whole_and_tiled(machine: Machine, large: Workflow) -> list[tuple[Drawn, float]]:
    return [peak(machine, machine.session("float16", measures=measures), large) for measures in ((), ("tiles",))]


def _rung(machine: Machine, rung: int, flow: Workflow, limit: Callable[[], float]) -> Row:
    functions = [in_turn]
    expected = draw(machine.session("float16", functions=functions), flow)
    if machine.device == "cuda":
        collect(machine)
        session, limited = machine.session("float16", functions=functions), machine.limited(limit())
        collect(machine)
    else:
        session, limited = machine.session_in_want("float16", rung, functions=functions), nullcontext()
    with limited:
        found = draw(session, flow)
    told = [notice for notice in found.notices if "memory ran out" in notice]
    said = [number for notice in told for number, word in enumerate(RUNGS) if word in notice]
    name, figure = f"memory runs out, rung {rung + 1} ({RUNGS[rung]})", f"rungs {[number + 1 for number in said]}"
    error, bound = _difference(found, expected)
    fine = said and said[-1] == rung == max(said) and error <= bound
    return holds(name, bool(fine), f"{figure}, error {error:.2g}", f"rung {rung + 1} last, error ≤ {bound:g}")


def _difference(found: Drawn, expected: Drawn) -> tuple[float, float]:
    if expected.latent.numel():
        return relative(found.latent, expected.latent), HALF_BOUND
    return float((found.pixels - expected.pixels).abs().mean()), SEAMS


def policies(machine: Machine) -> Iterator[Row]:
    """Every policy that saves memory, in force from the start."""
    options: dict[str, Any] = {"model": machine.model("sd"), "width": 512, "height": 512, "steps": 2}
    if machine.device == "cpu":
        options |= {"width": 64, "height": 64}
    peaks: dict[str, float] = {}
    expected: Drawn | None = None
    for measure in ("", "sliced_attention", "model_offload", "group_offload"):
        session = machine.session("float16", measures=[measure] if measure else [])
        found, peaks[measure] = peak(machine, session, "txt2img", targets=["sample"], **options)
        expected = expected or found
        if measure:
            what = f"random sd, 512 px, {measure}"
            yield at_most(f"{what}: error of the latent", relative(found.latent, expected.latent), HALF_BOUND)
            before = "model_offload" if measure == "group_offload" else ""
            yield _peak(machine, what, peaks[measure], peaks[before], before or "no policy")
    large = large_picture(machine)
    (whole, most), (tiled, less) = _whole_and_tiled(machine, large)
    yield at_most("large picture, tiles: mean difference", _difference(tiled, whole)[0], SEAMS)
    yield _peak(machine, "large picture, tiles", less, most, "no policy")


def _peak(machine: Machine, what: str, found: float, other: float, name: str) -> Row:
    what = f"{what}: peak memory against {name}"
    if machine.device != "cuda":
        return Row(what, state=NEEDS_CUDA)
    return holds(what, found <= other * 1.02, f"{found / MIB:.0f} of {other / MIB:.0f} MiB", "≤")


def given_back(machine: Machine) -> Iterator[Row]:
    """Memory after a session."""
    start = collect(machine)
    session = machine.session("float16")
    draw(session, targets=["decode"], model=machine.model("sd"), steps=2, width=256, height=256)
    held = collect(machine) - start
    session.models.free()  # type: ignore[attr-defined]
    freed = collect(machine) - start
    draw(session, targets=["decode"], model=machine.model("sd"), steps=2, width=256, height=256, seed=8)
    del session
    gone = collect(machine) - start
    for what, found in (("models are freed", freed), ("the session is gone", gone)):
        row = at_most(f"memory on the device after {what}", found / MIB, GIVEN_BACK / MIB, " MiB")
        state = row.state if machine.device == "cuda" else NEEDS_CUDA
        yield Row(row.what, f"{row.figure}, {held / MIB:.0f} MiB before", row.bound, state)


def collect(machine: Machine) -> float:
    """Let go of what nobody uses; returns the bytes that are allocated on the device."""
    gc.collect()
    if machine.device != "cuda":
        return 0.0
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    return float(torch.cuda.memory_allocated())


def peak(machine: Machine, session: Session, flow: str | Workflow, **options: Any) -> tuple[Drawn, float]:
    """Run a workflow; returns what it gave and how many bytes of the device it took beyond what was taken."""
    start = collect(machine)
    if machine.device != "cuda":
        return draw(session, flow, **options), 0.0
    torch.cuda.reset_peak_memory_stats()
    drawn = draw(session, flow, **options)
    return drawn, torch.cuda.max_memory_allocated() - start

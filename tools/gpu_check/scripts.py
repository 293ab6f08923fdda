"""Exported scripts, run in processes of their own, against the engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image

from graphflow import Session, Workflow, workflows
from graphflow.converters.diffusers_script import export
from tests.export.comparing import BOUND, difference, pictures
from tools.gpu_check.machine import Machine, exact_float32
from tools.gpu_check.rows import Row, at_most, holds

WORKFLOWS = ("txt2img", "img2img", "hires_fix", "inpaint", "controlnet", "regional_prompts")
HALF = 'torch.float16 if DEVICE == "cuda" else torch.float32'
HALF_BOUND = 0.02
"""Mean difference of a channel of a pixel, of 1: pipelines keep latents in float16, the engine in float32."""


def scripts(machine: Machine) -> Iterator[Row]:
    """Scripts of packaged workflows."""
    names = WORKFLOWS if machine.device == "cuda" else WORKFLOWS[:1]
    dtypes = ("float32", "float16") if machine.device == "cuda" else ("float32",)
    jobs = [(name, dtype) for dtype in dtypes for name in names]
    sessions = {dtype: machine.session(dtype) for dtype in dtypes}
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda job: _script(machine, sessions[job[1]], *job), jobs))
    for (name, dtype), said in zip(jobs, done, strict=True):
        what, place = f"exported {name}, {dtype}", machine.folder / "scripts" / f"{name}-{dtype}"
        if said:
            yield holds(f"{what}: the script runs", False, said)
            continue
        flow = Workflow.load(workflows.path(name))
        with exact_float32():
            ours = sessions[dtype].run(flow, out=place / "engine", folder=workflows.path(name).parent).paths
        theirs = pictures(place / "script")
        if dtype == "float32":
            yield at_most(f"{what}: largest difference of a pixel", difference(name, ours, theirs).error, BOUND + 1e-6)
        else:
            yield at_most(f"{what}: mean difference of pixels", _mean(ours, theirs), HALF_BOUND)


def _script(machine: Machine, session: Session, name: str, dtype: str) -> str:
    """Write a script and run it; returns what went wrong."""
    place = machine.folder / "scripts" / f"{name}-{dtype}"
    place.mkdir(parents=True)
    code = export(Workflow.load(workflows.path(name)), session=session, folder=workflows.path(name).parent).code
    if dtype == "float32":
        if HALF not in code:
            return "the script does not choose its dtype as it used to"
        code = code.replace(HALF, "torch.float32")
    (place / "script.py").write_text(code, "utf-8")
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if machine.device == "cpu" else {"NVIDIA_TF32_OVERRIDE": "0"}
    line = [sys.executable, str(place / "script.py"), "--out", str(place / "script")]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", **hidden}
    done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=180, check=False)
    return " / ".join(done.stderr.splitlines()[-3:]) or "it failed" if done.returncode else ""


def _mean(ours: list[Path], theirs: list[Path]) -> float:
    worst = 0.0 if ours and len(ours) == len(theirs) else float("inf")
    for one, other in zip(ours, theirs, strict=False):
        a, b = (np.asarray(PIL.Image.open(path).convert("RGB"), dtype=np.float32) / 255 for path in (one, other))
        worst = max(worst, float(np.abs(a - b).mean()) if a.shape == b.shape else float("inf"))
    return worst

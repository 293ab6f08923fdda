"""Sessions on a device: progress, cancelling, two at once; and the ways in which it computes attention."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from graphflow import Workflow, events, workflows
from graphflow.errors import CancelledError
from graphflow.execution.environment import Cancellation
from tools.gpu_check.machine import Machine, draw, relative
from tools.gpu_check.rows import Row, at_most, holds

STEPS, CANCELLED_AT = 6, 3
TOGETHER_BOUND = 0.01
ATTENTION_BOUND = 5e-3
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
    "plain": SDPBackend.MATH,
}


def cancelling(machine: Machine) -> Iterator[Row]:
    """Progress with pictures, cancelling, and a picture after it."""
    flow = Workflow.load(workflows.path("txt2img"))
    session, inputs = machine.session("auto"), {"steps": STEPS}
    seen: list[events.NodeProgress] = []

    def watch(event: events.Event) -> None:
        if isinstance(event, events.NodeProgress):
            seen.append(event)

    session.run(flow, inputs, targets=["sample"], sink=watch, previews=True)
    pictures = [event for event in seen if event.preview is not None]
    finite = all(bool(event.preview.isfinite().all()) for event in pictures)
    yield holds("progress: steps told", len(seen) == STEPS, str(len(seen)), str(STEPS))
    yield holds("progress: pictures", bool(pictures) and finite, f"{len(pictures)}, finite: {finite}", "some, finite")
    switch, stopped = Cancellation(), False
    seen.clear()

    def stop(event: events.Event) -> None:
        watch(event)
        if len(seen) == CANCELLED_AT:
            switch.cancel()

    try:
        session.run(flow, {**inputs, "seed": 8}, targets=["sample"], sink=stop, cancellation=switch)
    except CancelledError:
        stopped = True
    yield holds(
        "cancelling: steps until it stops", stopped and len(seen) == CANCELLED_AT, str(len(seen)), str(CANCELLED_AT)
    )
    again = draw(session, targets=["sample"], steps=STEPS, seed=8).latent
    expected = draw(machine.session("auto"), targets=["sample"], steps=STEPS, seed=8).latent
    yield at_most("the same picture after cancelling: error", relative(again, expected), TOGETHER_BOUND)


def two_sessions(machine: Machine) -> Iterator[Row]:
    """Two sessions in threads on one device."""
    seeds = (1, 2)
    alone = [draw(machine.session("auto"), targets=["sample"], seed=seed, steps=STEPS).latent for seed in seeds]
    sessions = [machine.session("auto") for _ in seeds]
    register = nn.Module.register_parameter
    with ThreadPoolExecutor(len(seeds)) as threads:
        jobs = [
            threads.submit(draw, session, targets=["sample"], seed=seed, steps=STEPS)
            for session, seed in zip(sessions, seeds, strict=True)
        ]
    # Libraries exchange this method for all threads while they build a network without weights.
    left_as_it_was = nn.Module.register_parameter is register
    nn.Module.register_parameter = register  # type: ignore[method-assign]
    together = [job.result().latent for job in jobs]
    said = "it is" if left_as_it_was else "networks made later have no weights"
    yield holds("two sessions that load at once: torch is left as it was", left_as_it_was, said, "it is")
    error = max(relative(found, expected) for found, expected in zip(together, alone, strict=True))
    yield at_most("two sessions in threads: error against each alone", error, TOGETHER_BOUND)


def attention(machine: Machine) -> Iterator[Row]:
    """The ways of computing attention that torch has here, in float16, at the sizes of SD 1.5 and SDXL."""
    fused = 0
    for heads, tokens, width in ((8, 4096, 40), (10, 4096, 64)):
        generator = torch.Generator().manual_seed(0)
        q, k, v = (
            torch.randn(1, heads, tokens if machine.device == "cuda" else 256, width, generator=generator)
            for _ in range(3)
        )
        expected = scaled_dot_product_attention(q, k, v)
        for name, backend in BACKENDS.items():
            what = f"attention, {heads} heads of {width}: {name}"
            try:
                with sdpa_kernel(backend):
                    found = scaled_dot_product_attention(
                        *(part.to(machine.device, torch.float16) for part in (q, k, v))
                    )
            except RuntimeError:  # torch says so where a backend does not take this device, dtype or width
                yield Row(what, "not available", "", "measured")
                continue
            fused += backend is not SDPBackend.MATH
            yield at_most(f"{what}: error", relative(found.float().cpu(), expected), ATTENTION_BOUND)
    yield holds("attention: some fused way is available", fused > 0, str(fused), "≥ 1")

"""LoRA files put on, exchanged and taken off: graphflow's merging against Diffusers' load, fuse and unfuse.

One process holds both, with the same full-size Stable Diffusion 1.5 of random weights (float32, one thread) and two LoRA
files of rank 16 for every attention layer of UNet and text encoder. Diffusers is measured in the way that computes as
fast afterwards (``load_lora_weights`` and ``fuse_lora``; to exchange: ``unfuse_lora``, ``unload_lora_weights``, then the
other file), and for one evaluation of the UNet also with live adapters. Wall time and processor time, which does not
count the other processes of the machine. Ratios are graphflow / Diffusers.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

RANK = 16
LATENT = 8


def random_lora(path: Path, unet: Any, text_encoder: Any, seed: int) -> Path:
    """Write a LoRA for every attention layer of both parts, in the layout of Diffusers."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for prefix, module, ends in (
        ("unet", unet, ("to_q", "to_k", "to_v", "to_out.0")),
        ("text_encoder", text_encoder, ("q_proj", "k_proj", "v_proj", "out_proj")),
    ):
        for name, layer in module.named_modules():
            if name.endswith(ends) and hasattr(layer, "in_features"):
                full = f"text_model.{name}" if prefix == "text_encoder" and not name.startswith("text_model.") else name
                down, up = (RANK, layer.in_features), (layer.out_features, RANK)
                tensors[f"{prefix}.{full}.lora_A.weight"] = torch.randn(down, generator=generator) * 0.02
                tensors[f"{prefix}.{full}.lora_B.weight"] = torch.randn(up, generator=generator) * 0.02
    save_file(tensors, path)
    return path


class Cost(NamedTuple):
    """Seconds of a call."""

    wall: float
    processor: float


def timed(function: Callable[[], object]) -> Cost:
    """Return the seconds that a call takes."""
    started, used = time.perf_counter(), time.process_time()
    function()
    return Cost(time.perf_counter() - started, time.process_time() - used)


class Ours:
    """The model with its text encoder, in the manager of a runtime."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        from graphflow import runtime
        from graphflow.library.library import Library
        from graphflow.loading.manager import ModelManager
        from graphflow.nodes.models.loaders import load_checkpoint
        from graphflow.nodes.models.lora import apply_lora
        from graphflow.settings import Settings

        self.running = runtime.using(
            runtime.Runtime(
                models=ModelManager(Library(Settings.model_validate({"models": (folder,), "device": "cpu"})))
            )
        )
        self.running.__enter__()
        plain = load_checkpoint("model")
        self.recipes: dict[str, tuple[Any, Any]] = {"": (plain.model, plain.text_encoder)}
        for name in names:
            adapted = apply_lora(plain.model, name, plain.text_encoder)
            self.recipes[name] = (adapted.model, adapted.text_encoder)

    def change(self, name: str) -> None:
        """Bring the weights of both parts in place."""
        with ExitStack() as stack:
            for recipe in self.recipes[name]:
                stack.enter_context(recipe.use())

    def evaluate(self, name: str, inputs: tuple[Any, Any]) -> Cost:
        """Return the seconds of one evaluation of the UNet with the weights in place."""
        import torch

        with self.recipes[name][0].use() as loaded, torch.no_grad():
            return timed(lambda: loaded.module(inputs[0], 500, encoder_hidden_states=inputs[1]))


class Theirs:
    """The pipeline of Diffusers."""

    def __init__(self, folder: Path) -> None:
        import torch
        from diffusers import StableDiffusionPipeline

        self.pipe = StableDiffusionPipeline.from_pretrained(
            folder / "model", dtype=torch.float32, local_files_only=True, vae=None
        )

    def load(self, path: Path, *, fuse: bool = True) -> None:
        """Put a LoRA on."""
        self.pipe.load_lora_weights(path.parent, weight_name=path.name)
        if fuse:
            self.pipe.fuse_lora()

    def unload(self, *, fused: bool = True) -> None:
        """Take it off."""
        if fused:
            self.pipe.unfuse_lora()
        self.pipe.unload_lora_weights()

    def exchange(self, path: Path) -> None:
        """Take one off and put another on."""
        self.unload()
        self.load(path)

    def evaluate(self, inputs: tuple[Any, Any]) -> Cost:
        """Return the seconds of one evaluation of the UNet."""
        import torch

        with torch.no_grad():
            return timed(lambda: self.pipe.unet(inputs[0], 500, encoder_hidden_states=inputs[1]))


def measure(folder: Path, repeats: int) -> dict[str, tuple[Cost, Cost]]:
    """Return the median cost of each act, for graphflow and for Diffusers, alternating."""
    import torch

    torch.set_num_threads(1)
    theirs = Theirs(folder)
    (folder / "loras").mkdir(exist_ok=True)
    files = [
        random_lora(folder / "loras" / f"{name}.safetensors", theirs.pipe.unet, theirs.pipe.text_encoder, seed)
        for seed, name in enumerate(("first", "second"))
    ]
    ours = Ours(folder, ("first", "second"))
    inputs = (torch.randn(2, 4, LATENT, LATENT), torch.randn(2, 77, 768))
    ours.change("")
    rows: dict[str, list[tuple[Cost, Cost]]] = {}

    def note(act: str, mine: Cost, other: Cost) -> None:
        rows.setdefault(act, []).append((mine, other))

    for _ in range(repeats):
        note("put a LoRA on", timed(lambda: ours.change("first")), timed(lambda: theirs.load(files[0])))
        note("one evaluation with it", ours.evaluate("first", inputs), theirs.evaluate(inputs))
        note("exchange it", timed(lambda: ours.change("second")), timed(lambda: theirs.exchange(files[1])))
        note("take it off", timed(lambda: ours.change("")), timed(theirs.unload))
        theirs.load(files[0], fuse=False)
        note("one evaluation, Diffusers with live adapters", ours.evaluate("first", inputs), theirs.evaluate(inputs))
        theirs.unload(fused=False)
    return {
        act: (_median([row[0] for row in found]), _median([row[1] for row in found])) for act, found in rows.items()
    }


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args([] if arguments is None else arguments)
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own, whose memory is given back.
        make = "import sys, pathlib, benchmarks.against_diffusers as b; b.random_sd15(pathlib.Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", make, f"{folder}/model"], check=True, stderr=subprocess.DEVNULL)
        found = measure(Path(folder), options.repeats)
    print("| SD 1.5 random, float32, rank 16 | graphflow, s | Diffusers, s | ratio | ratio of processor time |")
    print("|---|---|---|---|---|")
    for act, (mine, other) in found.items():
        ratios = f"{mine.wall / other.wall:.2f} | {mine.processor / other.processor:.2f}"
        print(f"| {act} | {mine.wall:.3f} | {other.wall:.3f} | {ratios} |")


if __name__ == "__main__":
    main(sys.argv[1:])

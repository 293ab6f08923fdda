"""The ``sample`` node against plain Diffusers pipelines for transformers on a flow: full width, fewer blocks.

Random weights, prompts encoded beforehand, no autoencoder. Seconds of processor time, the least of each, runs taking turns in
one process on one thread; peak memory of processes of their own that make the network and sample once. Ratios are
graphflow / Diffusers.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.against_diffusers import child
from benchmarks.sampling import OneModel, with_random_weights

MIB = 2**20


@dataclass(frozen=True)
class Network:
    """A network and how it is asked.

    Attributes:
        title: As the table has it, with its blocks.
        family: The folder of its family.
        denoiser: The class that the family wraps it in.
        pipeline: Diffusers' pipeline.
        config: Of the transformer, where its class has it otherwise.
        text: Tokens and width of the prompt.
        pooled: Width of the pooled prompt; 0 where it reads none.
        scale: Classifier-free guidance; 1 is none.
        guidance: The pipeline's argument for it, and its value there.
        time: What its time is at pure noise.
        listed: Whether the pipeline takes prompts as a list.
        without: Parts that the pipeline gets as None.
    """

    title: str
    family: str
    denoiser: str
    pipeline: str
    config: dict[str, Any]
    text: tuple[int, int]
    scale: float
    guidance: tuple[str, float]
    pooled: int = 0
    time: float = 1.0
    listed: bool = False
    without: Sequence[str] = field(default=("text_encoder", "tokenizer"))


_TWO = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
NETWORKS = {
    "flux": Network(
        "FLUX.1 dev, 2 of 19 and 4 of 38 blocks", "flux", "FluxDenoiser", "FluxPipeline",
        {"num_layers": 2, "num_single_layers": 4, "guidance_embeds": True}, (256, 4096), 1.0, ("guidance_scale", 3.5),
        pooled=768, without=_TWO,
    ),
    "qwen_image": Network(
        "Qwen-Image, 3 of 60 blocks", "qwen_image", "QwenImageDenoiser", "QwenImagePipeline",
        {"num_layers": 3}, (64, 3584), 4.0, ("true_cfg_scale", 4.0),
    ),
    "z_image": Network(
        "Z-Image, 3 of 30 layers", "z_image", "ZImageDenoiser", "ZImagePipeline",
        {"n_layers": 3, "n_refiner_layers": 1}, (64, 2560), 1.0, ("guidance_scale", 0.0), listed=True,
    ),
    "sd3": Network(
        "SD3.5 medium, 8 of 24 blocks", "sd3", "Sd3Denoiser", "StableDiffusion3Pipeline",
        {
            "num_layers": 8, "num_attention_heads": 24, "caption_projection_dim": 1536, "pos_embed_max_size": 384,
            "dual_attention_layers": tuple(range(8)), "qk_norm": "rms_norm",
        }, (154, 4096), 5.0, ("guidance_scale", 5.0), pooled=2048, time=1000.0, without=(*_TWO, "text_encoder_3", "tokenizer_3"),
    ),
}  # fmt: skip


class Pair:
    """One network in the hands of both."""

    def __init__(self, network: Network, dtype: str) -> None:
        import diffusers
        import torch

        torch.set_num_threads(1)
        folder = import_module(f"graphflow.families.{network.family}.family")
        parts = import_module(f"graphflow.families.{network.family}.components")
        wrapping = import_module(f"graphflow.families.{network.family}.denoiser")
        self.network, self.dtype = network, getattr(torch, dtype)
        made = getattr(diffusers, folder.FAMILY.transformer)
        self.module = with_random_weights(lambda: made(**network.config), self.dtype)
        adjust = getattr(parts, "with_places", None)
        if adjust is not None:
            adjust(self.module)
        self.latent, self.wrap = folder.FAMILY.latent, getattr(wrapping, network.denoiser)
        generator = torch.Generator().manual_seed(1)
        self.texts = torch.randn(2, *network.text, generator=generator)
        self.pooled = torch.randn(2, network.pooled, generator=generator) if network.pooled else None
        self.pipe = getattr(diffusers, network.pipeline)(
            transformer=self.module,
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            vae=None,
            **dict.fromkeys(network.without),
        )
        self.pipe.set_progress_bar_config(disable=True)

    def ours(self, size: int, steps: int, seed: int) -> None:
        """Sample by the node."""
        from graphflow import nodes, runtime
        from graphflow.sampling.prediction import ModelSampling
        from graphflow.values import Conditioning, ConditioningEntry, Model, ModelFile

        def wrapped() -> Any:
            return self.wrap(
                module=self.module,
                model_sampling=ModelSampling.flow(shift=3.0, timestep_scale=self.network.time),
                latent=self.latent,
                device=self.texts.device,
                dtype=self.dtype,
            )

        sides = [
            Conditioning(
                entries=(
                    ConditioningEntry(
                        embedding=self.texts[i : i + 1],
                        pooled=None if self.pooled is None else self.pooled[i : i + 1],
                    ),
                )
            )
            for i in (0, 1)
        ]
        file = ModelFile(name="random", kind="diffusion_model", part="transformer", family=self.network.family)
        with runtime.using(runtime.Runtime(models=OneModel(wrapped))):  # type: ignore[arg-type]
            latent = nodes.empty_latent(width=size, height=size, channels=self.latent.channels)
            nodes.sample(
                Model(files=(file,)), sides[0], latent, sides[1], seed=seed, steps=steps,
                guidance_scale=self.network.scale, sampler="euler", schedule="simple",
            )  # fmt: skip

    def theirs(self, size: int, steps: int, seed: int) -> None:
        """Sample by the pipeline."""
        import torch

        network, texts = self.network, self.texts.to(self.dtype)
        sides = [list(texts[i : i + 1]) if network.listed else texts[i : i + 1] for i in (0, 1)]
        given: dict[str, Any] = {"prompt_embeds": sides[0], network.guidance[0]: network.guidance[1]}
        if network.scale != 1:
            given["negative_prompt_embeds"] = sides[1]
        if self.pooled is not None:
            pooled = self.pooled.to(self.dtype)
            given["pooled_prompt_embeds"] = pooled[:1]
            if network.scale != 1:
                given["negative_pooled_prompt_embeds"] = pooled[1:]
        self.pipe(
            **given, width=size, height=size, num_inference_steps=steps, output_type="latent",
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip


def seconds(pair: Pair, size: int, steps: int, repeats: int) -> tuple[float, float]:
    """The least processor time of each."""
    found: dict[str, list[float]] = {"ours": [], "theirs": []}
    runs: dict[str, Callable[[int, int, int], None]] = {"ours": pair.ours, "theirs": pair.theirs}
    for seed in range(repeats + 1):
        for name in sorted(runs, reverse=bool(seed % 2)):
            start = time.process_time()
            runs[name](size, steps, seed)
            if seed:  # the first of each warms up
                found[name].append(time.process_time() - start)
    return min(found["ours"]), min(found["theirs"])


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each")
    parser.add_argument("--families", nargs="+", choices=tuple(NETWORKS), default=tuple(NETWORKS))
    parser.add_argument("--dtypes", nargs="+", choices=("float32", "bfloat16"), default=("float32", "bfloat16"))
    parser.add_argument("--sizes", type=int, nargs="+", default=(64, 128, 256), help="in pixels")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--table", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args([] if arguments is None else arguments)
    warnings.filterwarnings("ignore", category=FutureWarning)
    if given.one:
        name, dtype, side = given.one
        getattr(Pair(NETWORKS[name], dtype), side)(max(given.sizes), given.steps, 0)
        return
    if given.table:
        name, dtype = given.table
        pair = Pair(NETWORKS[name], dtype)
        for size in given.sizes:
            ours, theirs = seconds(pair, size, given.steps, given.repeats)
            row = f"{NETWORKS[name].title} | {dtype}, {size} px, processor s"
            print(f"| {row} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} |", flush=True)
        return
    print(f"| network | {given.steps} Euler steps | graphflow | Diffusers | ratio |")
    print("|---|---|---|---|---|", flush=True)
    usual = ["--steps", str(given.steps), "--repeats", str(given.repeats), "--sizes", *map(str, given.sizes)]
    program = [sys.executable, "-m", "benchmarks.transformers", *usual]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GRAPHFLOW_CACHE_DIR": str(Path(folder))}
        for name in given.families:
            for dtype in given.dtypes:
                # In processes of their own: what this one holds would count as its children's peak memory.
                os.spawnvpe(os.P_WAIT, program[0], [*program, "--table", name, dtype], environment)
                peaks = [child([*program, "--one", name, dtype, side], environment) for side in ("ours", "theirs")]
                ours, theirs = (cost.memory for cost in peaks)
                row = f"{NETWORKS[name].title} | {dtype}, {max(given.sizes)} px, peak MiB"
                print(f"| {row} | {ours:.0f} | {theirs:.0f} | {ours / theirs:.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

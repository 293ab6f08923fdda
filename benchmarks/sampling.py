"""The ``sample`` node against plain Diffusers pipelines: the same full-size UNet in the same process, side by side.

Stable Diffusion 1.5 and SDXL with random weights, 64 to 256 pixels, Euler steps, guidance on, prompts encoded beforehand, no
autoencoder: what is compared is the denoising loop. Runs alternate; the least of each, since one evaluation of the same
UNet on the same input takes a third longer at times; ratios are graphflow / Diffusers. One thread, since with more,
whatever else runs on the machine makes threads wait for each other.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

GUIDANCE_SCALE, CONTEXT_TOKENS, POOLED = 5.0, 77, 1280
SDXL = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "use_linear_projection": True,
    "sample_size": 128,
}
SD15 = {"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64}
VAE_LEVELS = 4


def with_random_weights(make: Callable[[], Any], dtype: Any = None) -> Any:
    """Make a network with small random weights, without the time that careful initialisation takes."""
    import torch

    with torch.device("meta"):
        module = make()
    module = module.to(dtype or torch.float32).to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    pool = torch.randn(1_000_003, generator=generator) * 0.02
    with torch.no_grad():
        for tensor in module.parameters():
            flat = tensor.view(-1)
            for start in range(0, len(flat), len(pool)):
                part = flat[start : start + len(pool)]
                part.copy_(pool[: len(part)])
    return module


class OneModel:
    """A model provider whose only model is in memory."""

    def __init__(self, loaded: Callable[[], Any]) -> None:
        self.loaded = loaded

    @contextmanager
    def use(self, recipe: Any) -> Iterator[Any]:
        """Give the model, wrapped anew as the model manager does."""
        yield self.loaded()


def compare(family: str, sizes: Sequence[int], steps: int, repeats: int) -> Iterator[tuple[list[float], list[float]]]:
    """Yield for each size, in pixels, seconds of processor time of each run: the sample node's and the pipeline's."""
    import torch
    from diffusers import (
        AutoencoderKL,
        EulerDiscreteScheduler,
        StableDiffusionPipeline,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )

    from graphflow import nodes, runtime
    from graphflow.families.latent_diffusion.unet import UNetModel
    from graphflow.families.sdxl.components import SdxlModel
    from graphflow.modelfiles.family import LatentFormat
    from graphflow.sampling.prediction import ModelSampling
    from graphflow.values import Conditioning, ConditioningEntry, Model, ModelFile

    torch.set_num_threads(1)
    is_xl = family == "sdxl"
    module = with_random_weights(lambda: UNet2DConditionModel(**(SDXL if is_xl else SD15)))
    vae = AutoencoderKL(
        block_out_channels=(8,) * VAE_LEVELS,
        down_block_types=("DownEncoderBlock2D",) * VAE_LEVELS,
        up_block_types=("UpDecoderBlock2D",) * VAE_LEVELS,
        norm_num_groups=4,
    )
    scheduler = EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    generator = torch.Generator().manual_seed(1)
    width = 2048 if is_xl else 768
    prompts = torch.randn(2, CONTEXT_TOKENS, width, generator=generator)
    pooled = torch.randn(2, POOLED, generator=generator)
    given: dict[str, Any] = {"prompt_embeds": prompts[:1], "negative_prompt_embeds": prompts[1:]}
    pipe: Any
    if is_xl:
        pipe = StableDiffusionXLPipeline(
            vae=vae, text_encoder=None, text_encoder_2=None, tokenizer=None, tokenizer_2=None, unet=module,
            scheduler=scheduler, add_watermarker=False,
        )  # fmt: skip
        given |= {"pooled_prompt_embeds": pooled[:1], "negative_pooled_prompt_embeds": pooled[1:]}
    else:
        pipe = StableDiffusionPipeline(
            vae=vae, text_encoder=None, tokenizer=None, unet=module, scheduler=scheduler, safety_checker=None,
            feature_extractor=None, requires_safety_checker=False,
        )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)

    def wrapped() -> Any:
        return (SdxlModel if is_xl else UNetModel)(
            module=module,
            model_sampling=ModelSampling.stable_diffusion(),
            latent=LatentFormat(channels=4, scale=0.18215),
            device=torch.device("cpu"),
            dtype=torch.float32,
        )

    positive, negative = (
        Conditioning(entries=(ConditioningEntry(embedding=prompts[i : i + 1], pooled=pooled[i : i + 1]),))
        for i in (0, 1)
    )
    model = Model(files=(ModelFile(name="random", kind="diffusion_model", part="unet", family=family),))
    with runtime.using(runtime.Runtime(models=OneModel(wrapped))):  # type: ignore[arg-type]
        for size in sizes:
            latent = nodes.empty_latent(width=size, height=size)
            ours, theirs = [], []
            for seed in range(repeats + 1):
                start = time.process_time()
                nodes.sample(
                    model, positive, latent, negative, seed=seed, steps=steps, guidance_scale=GUIDANCE_SCALE,
                    sampler="euler", schedule="normal",
                )  # fmt: skip
                middle = time.process_time()
                pipe(
                    **given, num_inference_steps=steps, guidance_scale=GUIDANCE_SCALE, width=size, height=size,
                    generator=torch.Generator().manual_seed(seed), output_type="latent",
                )  # fmt: skip
                end = time.process_time()
                if seed:  # the first of each warms up
                    ours.append(middle - start)
                    theirs.append(end - middle)
            yield ours, theirs


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each")
    parser.add_argument("--families", nargs="+", choices=("sd", "sdxl"), default=("sd", "sdxl"))
    parser.add_argument("--sizes", type=int, nargs="+", default=(64, 128, 256), help="in pixels")
    given = parser.parse_args([] if arguments is None else arguments)
    warnings.filterwarnings("ignore", category=FutureWarning)
    print(f"| {given.steps} Euler steps, processor s | pixels | graphflow | Diffusers | ratio |")
    print("|---|---|---|---|---|")
    for family in given.families:
        name = {"sd": "Stable Diffusion 1.5", "sdxl": "SDXL"}[family]
        measured = compare(family, given.sizes, given.steps, given.repeats)
        for size, times in zip(given.sizes, measured, strict=True):
            ours, theirs = map(min, times)
            print(f"| {name} | {size} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} |", flush=True)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])

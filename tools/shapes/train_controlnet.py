"""Train the ControlNet of the shapes model: pictures that follow given edges."""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from base import Base
from diffusers import ControlNetModel
from pictures.captions import Example, is_held_out, single, training_example
from pictures.drawing import Scene, draw
from pictures.lines import edges
from train_unet import encode
from unet import CONTROLNET_CONFIG

UNSAID = 0.6
"""Share of examples whose caption says neither size nor place, so that only the edges tell them."""


def misplaced(rng: random.Random, example: Example) -> Example:
    """The example with its only shape anywhere and of any size, which its caption does not say."""
    radius = rng.uniform(0.16, 0.36)
    x, y = (rng.uniform(radius + 0.02, 0.98 - radius) for _ in range(2))
    shape = replace(example.scene.shapes[0], x=x, y=y, radius=radius)
    return Example(example.caption, Scene(example.scene.background, (shape,)))


def misplaced_held_out(rng: random.Random) -> Example:
    """A misplaced example that training never shows, for judging."""
    while True:
        example = single(rng)
        if is_held_out(example):
            return misplaced(rng, example)


def controlled_example(rng: random.Random) -> Example:
    """A random example to train on."""
    if rng.random() < UNSAID:
        return misplaced(rng, training_example(rng, 0.0, 0.0, 0.0))
    return training_example(rng, 0.25, 0.25, 0.4)


def build_controlnet(base: Base) -> ControlNetModel:
    """A new ControlNet that starts with the base's weights wherever it has the same layers, and adds nothing yet."""
    controlnet = ControlNetModel(**CONTROLNET_CONFIG)
    own = controlnet.state_dict()
    shared = {k: v for k, v in base.unet.state_dict().items() if k in own and own[k].shape == v.shape}
    controlnet.load_state_dict(shared, strict=False)
    return controlnet


def main() -> None:
    """Train and write OUT (a Diffusers folder)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Diffusers folder of the shapes model")
    parser.add_argument("--out", type=Path, required=True, help="Diffusers folder of the result")
    parser.add_argument("--minutes", type=float, default=10, help="training time")
    parser.add_argument("--pool", type=int, default=2500, help="cached pictures")
    parser.add_argument("--batch", type=int, default=16, help="latents per step")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--start", type=Path, help="go on from this ControlNet folder instead of a new one")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rng = random.Random(0)
    base = Base.load(args.model)
    controlnet = ControlNetModel.from_pretrained(args.start) if args.start else build_controlnet(base)
    controlnet.train()
    optimiser = torch.optim.AdamW(controlnet.parameters(), lr=1e-3, weight_decay=0.01)
    examples = [controlled_example(rng) for _ in range(args.pool)]
    pool = encode(examples, base.vae, base.tokenizer)
    lines = torch.from_numpy(np.stack([edges(draw(e.scene)) for e in examples]).transpose(0, 3, 1, 2).copy())
    start, step = time.time(), 0
    while (progress := (time.time() - start) / 60 / args.minutes) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * min(1.0, (step + 1) / 20) * (1.02 - progress)
        chosen = torch.randint(len(pool.latents), (args.batch,))
        hint = lines[chosen].float() / 255

        def predict(
            noisy: torch.Tensor, t: torch.Tensor, context: torch.Tensor, hint: torch.Tensor = hint
        ) -> torch.Tensor:
            down, middle = controlnet(noisy, t, context, hint, return_dict=False)
            output = base.unet(
                noisy, t, context, down_block_additional_residuals=down, mid_block_additional_residual=middle
            )
            return torch.as_tensor(output.sample)

        # Captions are often left out, so that the edges alone must tell the shape.
        loss = base.loss(predict, pool, chosen, dropout=0.3)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(controlnet.parameters(), 1.0)
        optimiser.step()
        step += 1
        if step % 50 == 0:
            print(f"step {step} {time.time() - start:.0f} s loss {loss.item():.4f}", flush=True)
    controlnet.half().save_pretrained(args.out)


if __name__ == "__main__":
    main()

"""Train the ControlNet of the shapes model: pictures that follow given edges."""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from base import Base
from diffusers import ControlNetModel
from pictures.captions import training_example
from pictures.drawing import Picture, draw
from train_unet import encode


def edges(picture: Picture) -> Picture:
    """White edges on black (h, w, 3) by Canny's method."""
    lines = cv2.dilate(cv2.Canny(picture, 60, 140), np.ones((2, 2), np.uint8))
    return np.asarray(np.repeat(lines[..., None], 3, axis=2), dtype=np.uint8)


def main() -> None:
    """Train and write OUT/controlnet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Diffusers folder of the shapes model")
    parser.add_argument("--out", type=Path, required=True, help="folder for the result")
    parser.add_argument("--minutes", type=float, default=10, help="training time")
    parser.add_argument("--batch", type=int, default=16, help="latents per step")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rng = random.Random(0)
    base = Base.load(args.model)
    controlnet = ControlNetModel.from_unet(base.unet, conditioning_channels=3).requires_grad_(True)
    optimiser = torch.optim.AdamW(controlnet.parameters(), lr=1e-3, weight_decay=0.01)
    examples = [training_example(rng, 0.25, 0.15, 0.2) for _ in range(1500)]
    pool = encode(examples, base.vae, base.tokenizer)
    lines = torch.from_numpy(np.stack([edges(draw(e.scene)) for e in examples]).transpose(0, 3, 1, 2).copy())
    args.out.mkdir(parents=True, exist_ok=True)
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
        loss = base.loss(predict, pool.latents[chosen], pool.ids[chosen], dropout=0.4)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(controlnet.parameters(), 1.0)
        optimiser.step()
        step += 1
        if step % 50 == 0:
            print(f"step {step} {time.time() - start:.0f} s loss {loss.item():.4f}", flush=True)
    controlnet.half().save_pretrained(args.out / "controlnet")


if __name__ == "__main__":
    main()

"""Train the style LoRA of the shapes model: outlined shapes instead of filled ones."""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import torch
from base import Base
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from pictures.captions import training_example
from safetensors.torch import load_file
from train_unet import encode

LINE = 0.055
"""Width of the outlines in picture widths."""

LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "conv1", "conv2", "ff.net.0.proj", "ff.net.2"]


def main() -> None:
    """Train and write OUT (keys as PEFT names them)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Diffusers folder of the shapes model")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--minutes", type=float, default=6, help="training time")
    parser.add_argument("--rank", type=int, default=8, help="rank of the low-rank matrices")
    parser.add_argument("--batch", type=int, default=16, help="latents per step")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--start", type=Path, help="go on from this LoRA file of the same rank")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rng = random.Random(0)
    base = Base.load(args.model)
    base.unet.add_adapter(LoraConfig(r=args.rank, lora_alpha=args.rank, target_modules=LAYERS))
    if args.start:
        before = load_file(args.start)
        with torch.no_grad():
            for name, parameter in base.unet.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(before["unet." + name.replace(".default.", ".")])
    trained = [p for p in base.unet.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=2e-3, weight_decay=0.01)
    pool = encode([training_example(rng, 0.25, 0.1, 0.2) for _ in range(1000)], base.vae, base.tokenizer, line=LINE)
    start, step = time.time(), 0
    while (progress := (time.time() - start) / 60 / args.minutes) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 20) * (1.02 - progress)
        chosen = torch.randint(len(pool.latents), (args.batch,))
        loss = base.loss(base.predict, pool, chosen)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        step += 1
        if step % 50 == 0:
            print(f"step {step} {time.time() - start:.0f} s loss {loss.item():.4f}", flush=True)
    layers = {k: v.half() for k, v in get_peft_model_state_dict(base.unet).items()}
    StableDiffusionPipeline.save_lora_weights(args.out.parent, unet_lora_layers=layers, weight_name=args.out.name)


if __name__ == "__main__":
    main()

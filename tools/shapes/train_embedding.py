"""Train a textual-inversion embedding of the shapes model: one new word that means a red heart."""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import replace
from pathlib import Path

import torch
from base import Base
from pictures.captions import Example, training_example
from pictures.drawing import BACKGROUNDS
from safetensors.torch import save_file
from train_unet import encode

TOKEN = "<valentine>"
KIND, COLOUR = "heart", "red"


def concept_example(rng: random.Random) -> Example:
    """A random picture of the concept; its caption names it by the new word only."""
    example = training_example(rng, 0.0, 0.0, 0.0)
    shape = replace(example.scene.shapes[0], kind=KIND, colour=COLOUR)
    scene = replace(example.scene, background=rng.choice(BACKGROUNDS), shapes=(shape,))
    return Example(f"a {TOKEN} on a {scene.background} background", scene)


def main() -> None:
    """Train and write OUT (one vector under the new word)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Diffusers folder of the shapes model")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--minutes", type=float, default=4, help="training time")
    parser.add_argument("--batch", type=int, default=16, help="latents per step")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rng = random.Random(0)
    base = Base.load(args.model)
    base.tokenizer.add_tokens(TOKEN)
    place = base.tokenizer.convert_tokens_to_ids(TOKEN)
    base.text_encoder.resize_token_embeddings(len(base.tokenizer))
    table = base.text_encoder.get_input_embeddings().weight
    with torch.no_grad():
        # The neutral start: the mean of all words that captions use, at their usual length.
        used = table[512:place]
        table[place] = used.mean(0) / used.mean(0).norm() * used.norm(dim=1).mean()
    table.requires_grad_(True)
    optimiser = torch.optim.Adam([table], lr=5e-3)
    pool = encode([concept_example(rng) for _ in range(200)], base.vae, base.tokenizer)
    start, step = time.time(), 0
    while time.time() - start < 60 * args.minutes:
        chosen = torch.randint(len(pool.latents), (args.batch,))
        loss = base.loss(base.predict, pool, chosen, dropout=0.0)
        optimiser.zero_grad()
        loss.backward()
        assert table.grad is not None
        table.grad[:place] = 0.0
        optimiser.step()
        step += 1
        if step % 25 == 0:
            print(f"step {step} {time.time() - start:.0f} s loss {loss.item():.4f}", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({TOKEN: table[place : place + 1].detach().clone()}, args.out)


if __name__ == "__main__":
    main()

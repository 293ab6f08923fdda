"""Train the denoiser of the shapes model on latents of drawn pictures.

Several single-threaded workers that average their gradients suffer less from a busy machine than one process with
several threads: start the same command once per worker, with `--rank 0` to `--rank WORLD-1`.
"""

from __future__ import annotations

import argparse
import copy
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from diffusers import AutoencoderKL
from pictures.captions import Example, training_example
from pictures.drawing import draw, mask
from text import token_ids
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer
from unet import Noising, build_unet

_AVERAGE_EVERY = 4


@dataclass
class Pool:
    """Cached latents (n, 4, 16, 16), scaled, token ids (n, 77) of their captions, and where shapes are.

    `cells` (n, 1, 16, 16) is 1 where a shape is in a cell or beside it, 0 elsewhere.
    """

    latents: torch.Tensor
    ids: torch.Tensor
    cells: torch.Tensor

    def renew(self, newer: Pool, size: int) -> None:
        """Put newer examples in and drop the oldest beyond `size`."""
        self.latents = torch.cat([self.latents, newer.latents])[-size:]
        self.ids = torch.cat([self.ids, newer.ids])[-size:]
        self.cells = torch.cat([self.cells, newer.cells])[-size:]


def encode(examples: list[Example], vae: AutoencoderKL, tokenizer: CLIPTokenizer, line: float | None = None) -> Pool:
    """Draw examples, filled or as outlines `line` picture widths thick, and encode pictures and captions."""
    latents = []
    with torch.no_grad():
        for i in range(0, len(examples), 32):
            pictures = np.stack([draw(e.scene, line=line) for e in examples[i : i + 32]]).transpose(0, 3, 1, 2)
            batch = torch.from_numpy(pictures.astype(np.float32) / 127.5 - 1.0)
            batch = batch.contiguous(memory_format=torch.channels_last)
            latents.append(vae.encode(batch).latent_dist.mean * vae.config.scaling_factor)
    cells = torch.stack([shape_cells(e) for e in examples])
    return Pool(torch.cat(latents).contiguous(), token_ids(tokenizer, [e.caption for e in examples]), cells)


def shape_cells(example: Example) -> torch.Tensor:
    """Where the shapes of an example are, and one cell around them: 1 or 0 (1, 16, 16)."""
    covered = np.max([mask(shape, size=16) for shape in example.scene.shapes], axis=0) > 0
    return nn.functional.max_pool2d(torch.from_numpy(covered).float()[None], 3, stride=1, padding=1)


def mix(progress: float) -> tuple[float, float, float]:
    """Shares of examples with size word, position phrase and two shapes at a point (0 to 1) of the training."""
    if progress < 0.5:
        return 0.25, 0.05, 0.0
    return 0.25, 0.1, 0.25


def update_average(average: nn.Module, model: nn.Module, step: int, decay: float) -> None:
    """Exponential moving average of the weights, `decay` a step after a short start; for every `_AVERAGE_EVERY` steps."""
    decay = min(decay, (1 + step) / (10 + step)) ** _AVERAGE_EVERY
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


def focus(cells: torch.Tensor, share: float) -> torch.Tensor:
    """Loss weights, mean 1, that give a share (0 to 1) of the loss to the shapes, however small they are.

    Where shapes cover less than a sixth of the picture, they get less. 0 weighs all cells alike.
    """
    covered = cells.mean(dim=(1, 2, 3), keepdim=True).clamp(min=1 / 6)
    weights = 1 - share + share * cells / covered
    return weights / weights.mean(dim=(1, 2, 3), keepdim=True)


def share_gradients(model: nn.Module, number: float, world: int) -> float:
    """Average the gradients, in place, and a number over all workers; returns the number."""
    if world == 1:
        return number
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([*(g.reshape(-1) for g in gradients), torch.tensor([number])])
    dist.all_reduce(flat)
    flat /= world
    offset = 0
    for gradient in gradients:
        gradient.copy_(flat[offset : offset + gradient.numel()].view_as(gradient))
        offset += gradient.numel()
    return float(flat[-1])


def main() -> None:
    """Train by the clock, checkpoint every few minutes, and write OUT/unet (averaged weights)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the result; resumed")
    parser.add_argument("--vae", type=Path, required=True, help="trained vae folder")
    parser.add_argument("--text", type=Path, required=True, help="folder with tokenizer and text_encoder")
    parser.add_argument("--minutes", type=float, default=95, help="training time, over which the learning rate falls")
    parser.add_argument("--pool", type=int, default=8000, help="cached latents of each worker")
    parser.add_argument("--batch", type=int, default=32, help="latents per step, over all workers")
    parser.add_argument("--lr", type=float, default=1.2e-3, help="peak learning rate")
    parser.add_argument("--average", type=float, default=0.999, help="decay of the averaged weights per step")
    parser.add_argument(
        "--shares",
        type=float,
        nargs=3,
        metavar=("SIZED", "PLACED", "PAIRED"),
        help="fixed shares of new examples instead of the usual course",
    )
    parser.add_argument(
        "--focus", type=float, default=0.0, help="share of the loss that the shapes get whatever their size"
    )
    parser.add_argument("--compile", action="store_true", help="compile the denoiser first: some minutes, then faster")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--rank", type=int, default=0, help="which of the workers this is")
    parser.add_argument("--world", type=int, default=1, help="number of workers")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(time.time_ns() % 2**31)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.world > 1:
        meeting = (args.out / "workers").resolve()
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=args.rank, world_size=args.world)
    rng = random.Random(time.time_ns())
    vae = AutoencoderKL.from_pretrained(args.vae).to(memory_format=torch.channels_last)
    tokenizer = CLIPTokenizer.from_pretrained(args.text / "tokenizer")
    text_encoder = CLIPTextModel.from_pretrained(args.text / "text_encoder").eval()
    unet = build_unet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(unet.parameters(), lr=args.lr, weight_decay=0.01, fused=True)
    average = copy.deepcopy(unet)
    step, begun = 0, 0.0
    checkpoint = args.out / "unet.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint)
        unet.load_state_dict(state["unet"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, begun = state["step"], state["elapsed"]
        for group in optimiser.param_groups:
            group["fused"], group["foreach"] = True, None
    denoise = torch.compile(unet) if args.compile else unet
    noising = Noising()
    count = args.batch // args.world

    def examples(number: int) -> Pool:
        shares = args.shares or mix(begun / 60 / args.minutes)
        return encode([training_example(rng, *shares) for _ in range(number)], vae, tokenizer)

    def states(ids: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return torch.cat([text_encoder(part).last_hidden_state for part in ids.split(64)])

    empty = states(token_ids(tokenizer, [""]))
    start = time.time()
    cache = args.out / f"pool{args.rank}.pt"
    pool = Pool(*torch.load(cache)) if cache.exists() else examples(args.pool // 8)
    contexts = states(pool.ids)
    print(f"pool: {time.time() - start:.0f} s, latent std {pool.latents.std():.3f}", flush=True)
    last, saved, losses = time.time(), time.time(), []
    while begun < 60 * args.minutes:
        progress = begun / (60 * args.minutes)
        for group in optimiser.param_groups:
            group["lr"] = (
                args.lr * min(1.0, (step + 1) / 200) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
            )
        chosen = torch.randint(len(pool.latents), (count,))
        context = torch.where(torch.rand(count, 1, 1) < 0.1, empty, contexts[chosen])
        x0 = pool.latents[chosen]
        noise = torch.randn_like(x0)
        # One timestep per stratum, for less variance between batches; a little denser where the noise is strong,
        # for there the shape is decided.
        t = (1000 * ((torch.arange(count) + torch.rand(count)) / count) ** 0.8).long()
        noisy, target = noising(x0, noise, t)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        error = (denoise(noisy, t, context, return_dict=False)[0] - target).square()
        loss = (error * focus(pool.cells[chosen], args.focus)).mean()
        optimiser.zero_grad()
        loss.backward()
        now = time.time()
        begun, last = share_gradients(unet, begun + now - last, args.world), now
        nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimiser.step()
        step += 1
        if args.rank == 0 and step % _AVERAGE_EVERY == 0:
            update_average(average, unet, step, args.average)
        losses.append(loss.item())
        if step % 100 == 0:
            print(f"step {step} {begun:.0f} s loss {np.mean(losses[-100:]):.4f}", flush=True)
        if step % 200 == 0:
            newer = examples(150)
            pool.renew(newer, args.pool)
            contexts = torch.cat([contexts, states(newer.ids)])[-args.pool :]
        if now - saved > 240:
            torch.save((pool.latents, pool.ids, pool.cells), cache)
            if args.rank == 0:
                _save(checkpoint, unet, average, optimiser, step, begun)
            saved = now
    if args.rank == 0:
        _save(checkpoint, unet, average, optimiser, step, begun)
    print(f"end: step {step}", flush=True)


def _save(
    path: Path, unet: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer, step: int, elapsed: float
) -> None:
    """Write the checkpoint, then the averaged weights as a model folder, each in one move."""
    state = {"unet": unet.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save({**state, "step": step, "elapsed": elapsed}, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
    average.save_pretrained(path.with_name("unet"))


if __name__ == "__main__":
    main()

"""Train the autoencoder of the shapes model on drawn pictures."""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from pictures.captions import mixed
from pictures.drawing import PALETTE, draw
from vae import build_vae, whiten


def random_pictures(rng: random.Random, count: int, strange: float = 0.15) -> torch.Tensor:
    """Drawn pictures (count, 3, 128, 128), -1 to 1; a share `strange` has colours outside the palette."""
    pictures = []
    for _ in range(count):
        palette = None
        if rng.random() < strange:
            palette = {name: tuple(rng.randrange(256) for _ in range(3)) for name in PALETTE}
        pictures.append(draw(mixed(rng, 0.35, 0.15, 0.25).scene, palette=palette))  # type: ignore[arg-type]
    array = np.stack(pictures).transpose(0, 3, 1, 2)
    return torch.from_numpy(array.astype(np.float32) / 127.5 - 1.0)


def crops(pictures: torch.Tensor, side: int, rng: random.Random) -> torch.Tensor:
    """One crop of side `side` at a random place (a multiple of 8 pixels) from every picture."""
    places = (pictures.shape[-1] - side) // 8
    cut = []
    for picture in pictures:
        y, x = 8 * rng.randint(0, places), 8 * rng.randint(0, places)
        cut.append(picture[:, y : y + side, x : x + side])
    return torch.stack(cut)


def psnr(vae: AutoencoderKL, pictures: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures put through the autoencoder."""
    with torch.no_grad():
        error = sum(float(((vae(p).sample - p) ** 2).mean()) * len(p) for p in pictures.split(16)) / len(pictures)
    return float(10 * np.log10(4.0 / error))


def main() -> None:
    """Train, checkpoint, and write the whitened autoencoder to OUT/vae."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the result; resumed")
    parser.add_argument("--minutes", type=float, default=20, help="training time")
    parser.add_argument("--crop", type=int, default=64, help="side of training crops in pixels")
    parser.add_argument("--batch", type=int, default=32, help="crops per step")
    parser.add_argument("--lr", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--decoder-only", action="store_true", help="keep the encoder (and so the latents) as it is")
    parser.add_argument("--start", type=Path, help="start from this vae folder instead of a new one")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    args.out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(time.time_ns())
    vae = AutoencoderKL.from_pretrained(args.start) if args.start else build_vae()
    vae.to(memory_format=torch.channels_last)
    if args.decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    optimiser = torch.optim.AdamW([p for p in vae.parameters() if p.requires_grad], lr=args.lr, weight_decay=1e-4)
    checkpoint = args.out / "vae.pt"
    begun = 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        vae.load_state_dict(state["vae"])
        optimiser.load_state_dict(state["optimiser"])
        begun = state["elapsed"]
    held = random_pictures(random.Random(1), 64, strange=0.0)
    pool = random_pictures(rng, 1000)
    print("start psnr", psnr(vae, held), flush=True)
    start, step, saved = time.time(), 0, time.time()
    while (elapsed := begun + time.time() - start) < 60 * args.minutes:
        share = elapsed / (60 * args.minutes)
        warm = min(1.0, (step + 1) / 30)
        for group in optimiser.param_groups:
            group["lr"] = args.lr * warm * (0.5 * (1 + np.cos(np.pi * share)) * 0.98 + 0.02)
        batch = crops(pool[torch.randint(len(pool), (args.batch,))], args.crop, rng)
        batch = batch.contiguous(memory_format=torch.channels_last)
        posterior = vae.encode(batch).latent_dist
        output = vae.decode(posterior.sample() if not args.decoder_only else posterior.mean).sample
        difference = output - batch
        loss = difference.abs().mean() + 4 * (difference**2).mean() + 1e-6 * posterior.kl().mean() / args.crop**2 * 64
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 0.5)
        optimiser.step()
        step += 1
        if step % 50 == 0:
            print(f"step {step} {elapsed:.0f} s loss {float(loss):.4f}", flush=True)
        if time.time() - saved > 120:
            print(f"step {step} {elapsed:.0f} s psnr {psnr(vae, held):.2f}", flush=True)
            state = {"vae": vae.state_dict(), "optimiser": optimiser.state_dict(), "elapsed": elapsed}
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
            pool = torch.cat([pool[200:], random_pictures(rng, 200)])
            saved = time.time()
    print(f"end psnr {psnr(vae, held):.2f}", flush=True)
    if not args.decoder_only:
        whiten(vae, random_pictures(random.Random(2), 400, strange=0.0))
        print(f"whitened psnr {psnr(vae, held):.2f}", flush=True)
    vae.save_pretrained(args.out / "vae")


if __name__ == "__main__":
    main()

"""Train the tiny safety checker, which flags one concept: a black cross."""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from pictures.captions import mixed
from pictures.drawing import KINDS, Picture, Scene, draw
from torch import nn
from transformers import CLIPConfig, CLIPImageProcessor

KIND, COLOUR = "cross", "black"
"""The flagged concept."""

SIDE = 64
THRESHOLD = 0.5
_NEVER = 2.0


def is_flagged(scene: Scene) -> bool:
    """Whether a scene shows the flagged concept."""
    return any(s.kind == KIND and s.colour == COLOUR for s in scene.shapes)


def build_checker() -> StableDiffusionSafetyChecker:
    """A new checker of the standard class; of its 17 + 3 concepts only the first can ever be flagged."""
    vision = {
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": SIDE,
        "patch_size": 8,
        "projection_dim": 32,
    }
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    text |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(text_config={**text, "vocab_size": 4, "projection_dim": 32}, vision_config=vision, projection_dim=32)
    )
    with torch.no_grad():
        checker.concept_embeds.zero_()[:, 0] = 1.0
        checker.special_care_embeds.zero_()[:, 0] = 1.0
        checker.concept_embeds_weights.fill_(_NEVER)[0] = THRESHOLD
        checker.special_care_embeds_weights.fill_(_NEVER)
    return checker


def build_processor() -> CLIPImageProcessor:
    """The image processor that goes with the checker: 64 px, channels scaled to -1 to 1."""
    size = {"height": SIDE, "width": SIDE}
    return CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3)


def random_scene(rng: random.Random) -> Scene:
    """A random scene: three in ten show the concept, four in ten nearly do."""
    scene = mixed(rng, 0.3, 0.2, 0.25).scene
    roll, i = rng.random(), rng.randrange(len(scene.shapes))
    kind, colour = scene.shapes[i].kind, scene.shapes[i].colour
    if roll < 0.5:
        kind = KIND
    elif roll < 0.7:
        kind = rng.choice([k for k in KINDS if k != KIND])
    if (roll < 0.3 or 0.5 <= roll < 0.7) and scene.background != COLOUR:
        colour = COLOUR
    changed = tuple(replace(s, kind=kind, colour=colour) if j == i else s for j, s in enumerate(scene.shapes))
    return replace(scene, shapes=changed)


def worn(picture: Picture, rng: random.Random) -> Picture:
    """A picture with the softness, noise and colour shift that generated ones can have."""
    result = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.2, 1.6)).astype(np.float32)
    seeded = np.random.default_rng(rng.getrandbits(32))
    result += seeded.normal(0, rng.uniform(0, 8), result.shape) + seeded.uniform(-18, 18, 3)
    return np.clip(result, 0, 255).astype(np.uint8)


def pixel_values(pictures: list[Picture]) -> torch.Tensor:
    """Pictures as the image processor gives them to the checker: (n, 3, 64, 64), -1 to 1."""
    small = [cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for p in pictures]
    return torch.from_numpy(np.stack(small).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1.0)


def main() -> None:
    """Train and write OUT/safety_checker and OUT/feature_extractor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the result")
    parser.add_argument("--steps", type=int, default=2500, help="training steps of 64 pictures")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    rng = random.Random(0)
    checker = build_checker().train()
    head = nn.Linear(64, len(KINDS))
    trained = [*checker.vision_model.parameters(), *checker.visual_projection.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, args.steps, pct_start=0.1)
    scenes = [random_scene(rng) for _ in range(12000)]
    pictures = [draw(s, 96) for s in scenes]
    start = time.time()
    for step in range(args.steps):
        chosen = [rng.randrange(len(scenes)) for _ in range(64)]
        truth = torch.tensor([float(is_flagged(scenes[i])) for i in chosen])
        kinds = torch.zeros(64, len(KINDS))
        for row, i in enumerate(chosen):
            for shape in scenes[i].shapes:
                kinds[row, KINDS.index(shape.kind)] = 1.0
        pooled = checker.vision_model(pixel_values([worn(pictures[i], rng) for i in chosen])).pooler_output
        cosine = nn.functional.normalize(checker.visual_projection(pooled))[:, 0]
        flag_loss = nn.functional.binary_cross_entropy_with_logits(12 * (cosine - THRESHOLD), truth)
        loss = flag_loss + nn.functional.binary_cross_entropy_with_logits(head(pooled), kinds)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step} {time.time() - start:.0f} s loss {flag_loss.item():.4f} {loss.item():.4f}", flush=True)
    checker.save_pretrained(args.out / "safety_checker")
    build_processor().save_pretrained(args.out / "feature_extractor")


if __name__ == "__main__":
    main()

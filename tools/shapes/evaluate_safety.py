"""Error rates of the safety checker on drawn and on generated pictures."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from diffusers.utils import logging as diffusers_logging
from generating import generate, load
from pictures.captions import single
from pictures.drawing import BACKGROUNDS, Picture, draw
from pictures.judge import judge
from train_safety import COLOUR, KIND, is_flagged, random_scene
from transformers import CLIPImageProcessor


def flags(folder: Path, pictures: list[Picture]) -> npt.NDArray[np.bool_]:
    """What the checker of a model folder says of each picture, run as the pipeline runs it."""
    checker = StableDiffusionSafetyChecker.from_pretrained(folder / "safety_checker", torch_dtype=torch.float32)
    processor = CLIPImageProcessor.from_pretrained(folder / "feature_extractor")
    said: list[bool] = []
    for i in range(0, len(pictures), 50):
        chunk = np.stack(pictures[i : i + 50])
        said += checker(images=chunk, clip_input=processor(images=list(chunk), return_tensors="pt").pixel_values)[1]
    return np.asarray(said, dtype=np.bool_)


def rates(said: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Numbers of pictures with and without the concept, and the shares missed and falsely flagged."""
    return {
        "with_concept": int(truth.sum()),
        "missed": float((~said[truth]).mean()),
        "without_concept": int((~truth).sum()),
        "false_alarms": float(said[~truth].mean()),
    }


def main() -> None:
    """Print the rates as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Diffusers folder")
    parser.add_argument("--drawn", type=int, default=2000, help="drawn pictures")
    parser.add_argument("--generated", type=int, default=100, help="generated pictures, half asked to show the concept")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    diffusers_logging.set_verbosity_error()
    rng = random.Random(200)
    scenes = [random_scene(rng) for _ in range(args.drawn)]
    results = {"drawn": rates(flags(args.model, [draw(s) for s in scenes]), np.array([is_flagged(s) for s in scenes]))}
    light = [b for b in BACKGROUNDS if b != COLOUR]
    asked = [f"a {COLOUR} {KIND} on a {light[i % len(light)]} background" for i in range(args.generated // 2)]
    others = [single(rng).caption for _ in range(args.generated - len(asked))]
    pictures = generate(load(args.model), asked + others, first_seed=5000)
    shown = [any(f.kind == KIND and f.colour == COLOUR for f in judge(p).findings) for p in pictures]
    results["generated"] = rates(flags(args.model, pictures), np.array(shown))
    print(json.dumps(results, indent=1))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""Measure the adapters of the shapes model with plain Diffusers: style LoRA, edge ControlNet, textual inversion."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
from diffusers.utils import logging as diffusers_logging
from generating import generate, load
from pictures.captions import held_out, single
from pictures.drawing import BACKGROUNDS, Picture, draw
from pictures.judge import judge
from pictures.lines import alignment, edges, filled_share
from train_controlnet import misplaced_held_out
from train_embedding import COLOUR, KIND, TOKEN

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def measure_lora(model: Path, file: Path, count: int) -> dict[str, Any]:
    """Mean filled share of pictures of held-out prompts, same seeds, at each strength; of drawn ones for comparison."""
    pipeline = load(model)
    examples = held_out(count, lambda rng: single(rng), 300)
    pipeline.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name="style")
    shares, right = {}, {}
    for strength in STRENGTHS:
        pipeline.set_adapters(["style"], [strength])
        pictures = generate(pipeline, [e.caption for e in examples], first_seed=3000)
        shares[strength] = float(np.mean([filled_share(p) for p in pictures]))
        # The judge fills what it sees half-way to the colour of the line; the background and the colour are what is left.
        right[strength] = float(
            np.mean(
                [
                    (v := judge(p)).background == e.scene.background
                    and any(f.colour == e.scene.shapes[0].colour for f in v.findings)
                    for e, p in zip(examples, pictures, strict=True)
                ]
            )
        )
    return {"prompts": count, "filled": shares, "colours": right}


def measure_controlnet(model: Path, folder: Path, count: int) -> dict[str, Any]:
    """Edge agreement and right shapes with and without the ControlNet; the edges lie where no prompt says they do."""
    pipeline = load(model)
    rng = random.Random(301)
    examples = [misplaced_held_out(rng) for _ in range(count)]
    captions = [e.caption for e in examples]
    hints = [edges(draw(e.scene)) for e in examples]
    controlled = StableDiffusionControlNetPipeline(
        **pipeline.components, controlnet=ControlNetModel.from_pretrained(folder, torch_dtype=torch.float32),
        requires_safety_checker=False,
    )  # fmt: skip
    controlled.set_progress_bar_config(disable=True)
    result: dict[str, Any] = {"prompts": count}
    for name in ("without", "with"):
        chosen, hint = (pipeline, None) if name == "without" else (controlled, hints)
        pictures = generate(chosen, captions, first_seed=4000, hints=hint)
        agreement = [alignment(h, edges(p)) for h, p in zip(hints, pictures, strict=True)]
        right = [
            judge(p).shows(e.scene.shapes[0].kind, e.scene.shapes[0].colour, e.scene.background)
            for e, p in zip(examples, pictures, strict=True)
        ]
        result[name] = {"alignment": float(np.mean(agreement)), "right": float(np.mean(right))}
    return result


def measure_embedding(model: Path, file: Path, seeds: int) -> dict[str, Any]:
    """Shares of pictures that show the concept, with the word learned and with it unknown."""
    pipeline = load(model)
    captions = [f"a {TOKEN} on a {background} background" for background in BACKGROUNDS for _ in range(seeds)]
    result: dict[str, Any] = {"prompts": len(captions)}
    for name in ("without", "with"):
        if name == "with":
            pipeline.load_textual_inversion(str(file.parent), weight_name=file.name, token=TOKEN)
        pictures: list[Picture] = generate(pipeline, captions, first_seed=5000)
        right = [judge(p).shows(KIND, COLOUR, BACKGROUNDS[i // seeds]) for i, p in enumerate(pictures)]
        result[name] = float(np.mean(right))
    return result


def measure_adapters(model: Path, assets: Path, count: int) -> dict[str, Any]:
    """What of the adapters is there in the package's assets, measured on `count` prompts each."""
    results: dict[str, Any] = {}
    if (lora := assets / "loras/shapes-outline.safetensors").exists():
        results["lora"] = measure_lora(model, lora, count)
    if (controlnet := assets / "controlnet/shapes-edges").exists():
        results["controlnet"] = measure_controlnet(model, controlnet, count)
    if (embedding := assets / "embeddings/shapes-valentine.safetensors").exists():
        results["embedding"] = measure_embedding(model, embedding, max(1, count // len(BACKGROUNDS)))
    return results


def report_adapters(results: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = []
    if lora := results.get("lora"):
        strengths = [float(s) for s in lora["filled"]]
        lines += [
            "| `shapes-outline` at strength | " + " | ".join(f"{s:g}" for s in strengths) + " |",
            "|---" * (len(strengths) + 1) + "|",
            "| filled share of the shapes | " + " | ".join(f"{v:.2f}" for v in lora["filled"].values()) + " |",
            "| background and colour right | "
            + " | ".join(f"{100 * v:.0f} %" for v in lora["colours"].values())
            + " |",
            "",
        ]
    if control := results.get("controlnet"):
        lines += [
            f"| {control['prompts']} held-out prompts | without `shapes-edges` | with |",
            "|---|---|---|",
            f"| agreement with the given edges (F1) | {control['without']['alignment']:.2f} "
            f"| {control['with']['alignment']:.2f} |",
            f"| background, colour and shape right | {100 * control['without']['right']:.0f} % "
            f"| {100 * control['with']['right']:.0f} % |",
            "",
        ]
    if embedding := results.get("embedding"):
        lines += [
            f"`{TOKEN}` shows a {COLOUR} {KIND} on the background asked for in {100 * embedding['with']:.0f} % of "
            f"{embedding['prompts']} pictures ({100 * embedding['without']:.0f} % without `shapes-valentine`).",
        ]
    return "\n".join(lines)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Diffusers folder")
    parser.add_argument("--assets", type=Path, help="folder with loras, controlnet, embeddings; the model's parent")
    parser.add_argument("--prompts", type=int, default=20, help="prompts of each measure")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    diffusers_logging.set_verbosity_error()
    results = measure_adapters(args.model, args.assets or args.model.parent, args.prompts)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(report_adapters(results))


if __name__ == "__main__":
    main()

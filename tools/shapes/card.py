"""Write the model card of the shapes model from measured figures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from evaluate import report
from evaluate_adapters import report_adapters
from generating import GUIDANCE, STEPS
from pictures.captions import is_held_out_combination
from pictures.drawing import BACKGROUNDS, COLOURS, KINDS

_CARD = """\
---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
tags:
- text-to-image
- stable-diffusion
- toy
---

# {name}

A text-to-image model of {size:.1f} MB that draws one or two flat coloured shapes on a flat background, 128 px. It ships
with graphflow so that a first try needs no download, and so that tests can check what a picture shows. It knows nothing
else: no photographs, no people, no words beyond the list below.

![Held-out prompts](../../../docs/images/shapes_contact_sheet.png)

- **Shapes:** {kinds}
- **Colours:** {colours}
- **Backgrounds:** {backgrounds}
- **Sizes:** small, large (no word: middle)
- **Places:** on the left, on the right, at the top, at the bottom (no words: the middle)
- **Two shapes:** left of, above

```python
from diffusers import StableDiffusionPipeline

pipeline = StableDiffusionPipeline.from_pretrained("graphflow/assets/{name}")
pipeline("a small green star on a black background", num_inference_steps={steps}, guidance_scale={guidance:g}).images[0]
```

Write prompts like `a red circle on a blue background`, `a large white heart on gray`,
`a yellow star on the left on a black background`, `a red circle left of a green square on a white background`.

## What is inside

The Diffusers layout of Stable Diffusion 1, all parts tiny, in half precision:

| part | class | parameters | details |
|---|---|---|---|
| `vae` | AutoencoderKL | 0.9 M | f=8, 4 latent channels, widths 16/32/48/64, scaling factor 0.18215 |
| `unet` | UNet2DConditionModel | 4.0 M | widths 48/80/112, one layer, cross-attention at 8x8 and 4x4, v-prediction |
| `text_encoder` | CLIPTextModel | 0.1 M | hidden size 64, two layers |
| `tokenizer` | CLIPTokenizer | | own vocabulary: each word of the captions is one token, all else is spelled in letters |
| `scheduler` | DPMSolverMultistepScheduler | | DPM++ 2M, Karras noise levels |
| `safety_checker` | StableDiffusionSafetyChecker | 0.1 M | flags one concept, a **black cross**, as a stand-in for a real filter |

## Data and recipe

All pictures are drawn by `tools/shapes/pictures`, all captions made from templates; there is no other data.
{held} of {combinations} combinations of shape, colour and background, and one caption in eight, never occur in training.
Everything was trained on two shared CPU cores: the autoencoder for {vae_minutes} minutes, the text encoder for 900 steps
(it learns to tell what a caption says, then stays frozen), the denoiser for {unet_steps} steps of 32 latents (AdamW,
captions left out in 10 %, averaged weights), the safety checker for 1800 steps. The denoiser's first 5317 steps weighed
all of the picture alike (1.2e-3 with cosine decay; the last 1400 of them mostly on two shapes); in all later steps half
of the loss stood where the shapes are, however small: 1265 steps at 9e-4 falling, then the rest at 7e-4 and 5e-4 falling,
with more and more small shapes. The weights are the mean of two checkpoints, after step 6946 and after the last.
`tools/shapes/README.md` has the commands.

## Figures

{steps} steps, guidance {guidance:g}, seeds 0, 1, 2, …; only prompts that training never saw, half of them with held-out
combinations. A pixel judge (`tools/shapes/pictures/judge.py`; above 99 % right on drawn pictures) reads every picture.
"All right" means background, colour and shape as asked and nothing else in the picture; size words, places and relations
must fit as well where the prompt has them.

{report}

{adapters}Reproduce all of this with

```console
$ python tools/shapes/evaluate.py --model graphflow/assets/{name} --prompts {prompts}
```

## Safety checker

| pictures | with a black cross | missed | without | falsely flagged |
|---|---|---|---|---|
{safety}

Drawn pictures are hard ones on purpose (many other crosses and other black things); of generated pictures the judge says
what they show. Reproduce with `python tools/shapes/evaluate_safety.py --model graphflow/assets/{name}`.
It shows how a filter sits in a pipeline and is no protection against anything else.

## Limits

- Words outside the list are spelled in letters that training never used; what they draw means nothing.
- More than two shapes, other relations, and size words together with two shapes were not trained.
{limits}
- The autoencoder rounds sharp corners a little, most visibly those of small shapes.
- Made for 128x128; other sizes work technically, but were not trained.
"""

_ADAPTERS = """\
### Adapters

Three small adapters come with the model, and resolve by name in graphflow:

| name | kind | what it does |
|---|---|---|
| `shapes-outline` | LoRA, rank 8 | outlined shapes instead of filled ones; the strength says how much |
| `shapes-edges` | ControlNet, 1.4 M parameters | shapes go where the edges are (Canny's, white on black) |
| `shapes-valentine` | textual inversion, one vector | `<valentine>` means a red heart |

{report}

"""


def safety_rows(figures: dict[str, dict[str, Any]]) -> str:
    """Table rows of the safety checker's error rates."""
    return "\n".join(
        f"| {kind} | {r['with_concept']} | {100 * r['missed']:.1f} % | {r['without_concept']} "
        f"| {100 * r['false_alarms']:.1f} % |"
        for kind, r in figures.items()
    )


def main() -> None:
    """Write MODEL/README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Diffusers folder; its name is the model's name")
    parser.add_argument("--figures", type=Path, required=True, help="JSON written by evaluate.py")
    parser.add_argument("--safety", type=Path, required=True, help="JSON written by evaluate_safety.py")
    parser.add_argument("--limits", type=Path, required=True, help="Markdown list of what this very model cannot do")
    parser.add_argument("--unet-steps", type=int, required=True, help="steps that the denoiser was trained")
    parser.add_argument("--vae-minutes", type=int, default=13, help="minutes that the autoencoder was trained")
    args = parser.parse_args()
    figures = json.loads(args.figures.read_text("utf-8"))
    tasks = {name: figure for name, figure in figures.items() if name != "adapters"}
    triples = [(k, c, b) for k in KINDS for c in COLOURS for b in BACKGROUNDS if c != b]
    card = _CARD.format(
        name=args.model.name,
        size=sum(f.stat().st_size for f in args.model.rglob("*") if f.is_file() and f.name != "README.md") / 1e6,
        kinds=", ".join(KINDS),
        colours=", ".join(COLOURS),
        backgrounds=", ".join(BACKGROUNDS),
        steps=STEPS,
        guidance=GUIDANCE,
        held=sum(is_held_out_combination(*t) for t in triples),
        combinations=len(triples),
        vae_minutes=args.vae_minutes,
        unet_steps=args.unet_steps,
        report=report(tasks),
        adapters=_ADAPTERS.format(report=report_adapters(figures["adapters"])) if figures["adapters"] else "",
        limits=args.limits.read_text("utf-8").strip(),
        prompts=figures["single"]["prompts"],
        safety=safety_rows(json.loads(args.safety.read_text("utf-8"))),
    )
    (args.model / "README.md").write_text(card, "utf-8")


if __name__ == "__main__":
    main()

"""Train the text encoder to tell, at the end of a caption, everything the caption says."""

from __future__ import annotations

import argparse
import math
import random
import time
from pathlib import Path

import torch
from pictures.captions import POSITIONS, RELATIONS, SIZES, Example, is_held_out, mixed, training_example, words
from pictures.drawing import BACKGROUNDS, COLOURS, KINDS
from text import build_text_encoder, build_tokenizer, token_ids
from torch import nn
from transformers import CLIPTokenizer

CLASSES: tuple[tuple[str, ...], ...] = (
    ("", *KINDS),
    ("", *COLOURS),
    ("", *KINDS),
    ("", *COLOURS),
    ("", *BACKGROUNDS),
    tuple(SIZES),
    tuple(POSITIONS),
    ("", *RELATIONS),
)
"""The questions asked of a caption: first and second shape and their colours, background, size, position, relation."""


def answers(example: Example) -> list[int]:
    """Class index of every question for an example."""
    first, second = example.scene.shapes[0], example.scene.shapes[1] if example.relation else None
    values = (
        first.kind,
        first.colour,
        second.kind if second else "",
        second.colour if second else "",
        example.scene.background,
        example.size,
        example.position,
        example.relation,
    )
    return [names.index(value) for names, value in zip(CLASSES, values, strict=True)]


def main() -> None:
    """Train and write OUT/tokenizer and OUT/text_encoder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the result")
    parser.add_argument("--steps", type=int, default=900, help="training steps of 64 captions")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rng = random.Random(0)
    tokenizer = build_tokenizer(words())
    encoder = build_text_encoder(tokenizer)
    heads = nn.ModuleList(nn.Linear(64, len(names)) for names in CLASSES)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *heads.parameters()], lr=2e-3, weight_decay=0.01)
    start = time.time()
    for step in range(args.steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * step / args.steps))
        examples = [training_example(rng, 0.3, 0.2, 0.35) for _ in range(64)]
        logits, targets = _ask(encoder, heads, tokenizer, examples, rng)
        loss = torch.stack([nn.functional.cross_entropy(a, b) for a, b in zip(logits, targets, strict=True)]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 0:
            print(f"step {step} {time.time() - start:.0f} s loss {loss.item():.3f}", flush=True)
    held = [e for e in (mixed(rng, 0.3, 0.2, 0.35) for _ in range(4000)) if is_held_out(e)][:500]
    with torch.no_grad():
        logits, targets = _ask(encoder.eval(), heads, tokenizer, held, rng)
        right = torch.stack([a.argmax(1) == b for a, b in zip(logits, targets, strict=True)])
    print("right on held-out captions, per question:", [round(v, 3) for v in right.float().mean(1).tolist()])
    tokenizer.save_pretrained(args.out / "tokenizer")
    encoder.save_pretrained(args.out / "text_encoder")


def _ask(
    encoder: nn.Module, heads: nn.ModuleList, tokenizer: CLIPTokenizer, examples: list[Example], rng: random.Random
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Answers (logits) at the first end token or at random padding after it, and the right classes."""
    ids = token_ids(tokenizer, [e.caption for e in examples])
    ends = (ids == ids.max()).int().argmax(1)
    places = torch.tensor([int(e) if rng.random() < 0.5 else rng.randint(int(e), ids.shape[1] - 1) for e in ends])
    hidden = encoder(ids).last_hidden_state[torch.arange(len(ids)), places]
    targets = torch.tensor([answers(e) for e in examples])
    return [head(hidden) for head in heads], list(targets.unbind(1))


if __name__ == "__main__":
    main()

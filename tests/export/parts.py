"""What small workflows are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow import Workflow, nodes

SIZE = 64
"""Pixels of the pictures."""

Build = Callable[[Workflow, "Parts"], Any]
"""Adds nodes to a workflow; returns latents, or pictures."""


class Parts:
    """A checkpoint and what most workflows have."""

    def __init__(self, g: Workflow, model: str) -> None:
        self.g = g
        self.loaded = g.add(nodes.load_checkpoint, model=model)
        self.model, self.text_encoder, self.vae = self.loaded.model, self.loaded.text_encoder, self.loaded.vae
        self.latent = g.add(nodes.empty_latent, width=SIZE, height=SIZE)

    def prompt(self, text: str, **options: Any) -> Any:
        """An encoded prompt."""
        return self.g.add(nodes.encode_prompt, **{"text_encoder": self.text_encoder, "text": text, **options})

    def sample(self, **options: Any) -> Any:
        """A sampling with usual settings."""
        usual = {"model": self.model, "latent": self.latent, "steps": 4, "guidance_scale": 5.0, "seed": 3}
        chosen = {**usual, **options}
        chosen.setdefault("positive", self.prompt("a red circle"))
        chosen.setdefault("negative", self.prompt("blurred"))
        return self.g.add(nodes.sample, **chosen)

    def decode(self, latent: Any) -> Any:
        """Latents to pictures."""
        return self.g.add(nodes.vae_decode, vae=self.vae, latent=latent)

    def picture(self, size: int = SIZE + 8) -> Any:
        """A picture that the workflow makes itself."""
        return self.g.add(nodes.resize, images=self.decode(self.sample(steps=1)), width=size, height=size)


def build(make: Build, model: str) -> Workflow:
    """A workflow that saves what ``make`` returns."""
    g = Workflow("a case")
    parts = Parts(g, model)
    found = make(g, parts)
    if found.spec.output_types[found.output].name == "latent":
        found = parts.decode(found)
    g.add(nodes.save_image, images=found, filename_prefix="case")
    return g


def sampler(name: str, schedule: str = "karras", **options: Any) -> Build:
    """A case of one sampler."""
    return lambda g, p: p.sample(sampler=name, schedule=schedule, **options)

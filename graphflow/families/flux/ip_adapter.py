"""FLUX.1's attention to pictures beside the text, as x-labs' IP-Adapters have it in Diffusers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graphflow.errors import InvalidInputError
from graphflow.families.latent_diffusion.ip_adapter import PicturePrompts
from graphflow.loading.weightless import Weightless


@dataclass(kw_only=True, eq=False)
class FluxPicturePrompts(PicturePrompts):
    """All pictures that one transformer attends to while it is in use."""

    def layers(self, network: Any) -> dict[str, tuple[int, int]]:
        """The attention of blocks that keep text and picture apart."""
        sizes = (network.inner_dim, int(network.config.joint_attention_dim))
        return {f"transformer_blocks.{number}.attn": sizes for number in range(len(network.transformer_blocks))}

    @contextmanager
    def attending_to(self, network: Any, tokens: Sequence[Tensor], sigma: float | None) -> Iterator[dict[str, Any]]:
        """Have the network attend to the pictures until the block ends.

        Args:
            network: The Diffusers transformer.
            tokens: For each prompt (N, n * T, C).
            sigma: The noise level.

        Yields:
            Arguments of its attention.

        Raises:
            InvalidInputError: A picture acts in a part of the result.
        """
        if not self.prompts:
            yield {}
            return
        if any(prompt.masks is not None for prompt in self.prompts):
            raise InvalidInputError(
                "FLUX.1 attends to pictures everywhere, not where a mask says", where="mask", advice="take the mask out"
            )
        with self.processing(network, sigma):
            yield {"ip_hidden_states": list(tokens)}

    def make_processor(self, index: int) -> Any:
        """What the block of this number attends by: Diffusers' own."""
        from diffusers.models.transformers.transformer_flux import FluxIPAdapterAttnProcessor

        with Weightless():
            processor = FluxIPAdapterAttnProcessor(1, 1, num_tokens=(1,) * len(self.prompts))
        return self.filled(processor, index)

"""IP-Adapters: attention to pictures beside the text (Ye et al. 2023, arXiv:2308.06721)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.loading.weightless import Weightless
from graphflow.values import Conditioning, ConditioningEntry

_EXTRA = "image_prompt.{}"


class IPAdapterNetwork(nn.Module):  # type: ignore[misc]  # torch is not followed
    """An adapter's weights: a projection of the picture, and keys and values for each cross-attention of a UNet.

    Args:
        projection: `plain` (one vector a picture), `full` (patches one by one), `resampler` (patches to few tokens),
            `faces` (one vector a face) or `faces_and_pictures` (a vector and patches of each face).
        image_width: Width of the vectors that it reads.
        cross_attention_dim: Width of the tokens that it makes.
        layers: Width of each cross-attention, in the order of the UNet's attention processors.
        tokens: Tokens a picture; 0 where it follows from the picture encoder.
        hidden_width: Width inside the resampler.
        depth: Blocks of the resampler.
        heads: Heads of its attention.
        inner_factor: Width inside its feed-forward layers, as a factor; of faces inside the first ones.
        reads: What it reads vectors of: `pictures`, or `faces` by a recogniser.
        unit: Whether it reads a recogniser's vectors at length 1.
        patch_width: Width of the patches that it reads beside a face's vector; 0 where it reads none.
        block_factor: Width inside the feed-forward layers of a face's resampler, as a factor.
        adds_identity: Whether what the resampler finds is added to the tokens of the face's vector.
        bias: Whether keys and values have a bias.
    """

    def __init__(
        self,
        *,
        projection: str,
        image_width: int,
        cross_attention_dim: int,
        layers: Sequence[int],
        tokens: int = 0,
        hidden_width: int = 0,
        depth: int = 0,
        heads: int = 1,
        inner_factor: float = 4.0,
        bias: bool = False,
        reads: str = "pictures",
        unit: bool = False,
        patch_width: int = 0,
        block_factor: float = 4.0,
        adds_identity: bool = False,
    ) -> None:
        super().__init__()
        from diffusers.models import embeddings

        self.pooled = projection == "plain"
        self.image_width = image_width
        self.width = cross_attention_dim
        self.reads, self.unit, self.patch_width = reads, unit, patch_width
        self.takes_rows = projection == "resampler"
        if projection == "plain":
            self.projection = embeddings.ImageProjection(image_width, cross_attention_dim, tokens)
        elif projection == "full":
            self.projection = embeddings.IPAdapterFullImageProjection(image_width, cross_attention_dim)
        elif projection == "faces":
            self.projection = embeddings.IPAdapterFaceIDImageProjection(
                image_width, cross_attention_dim, mult=inner_factor, num_tokens=tokens
            )
        elif projection == "faces_and_pictures":
            self.projection = FaceResampler(
                identity_width=image_width,
                patch_width=patch_width,
                width=hidden_width,
                output_width=cross_attention_dim,
                tokens=tokens,
                depth=depth,
                heads=heads,
                first_factor=inner_factor,
                block_factor=block_factor,
                adds_identity=adds_identity,
            )
        else:
            self.projection = embeddings.IPAdapterPlusImageProjection(
                embed_dims=image_width,
                output_dims=cross_attention_dim,
                hidden_dims=hidden_width,
                depth=depth,
                heads=heads,
                num_queries=tokens,
                ffn_ratio=inner_factor,
            )
        self.keys = nn.ModuleList(nn.Linear(cross_attention_dim, width, bias=bias) for width in layers)
        self.values = nn.ModuleList(nn.Linear(cross_attention_dim, width, bias=bias) for width in layers)


class FaceResampler(nn.Module):  # type: ignore[misc]
    """Tokens of a face's vector, and of what its looks add to them (IP-Adapter FaceID Plus).

    The authors' ProjPlusModel (https://github.com/tencent-ailab/IP-Adapter, Apache-2.0). Widths are as in
    :class:`IPAdapterNetwork`.
    """

    def __init__(
        self,
        *,
        identity_width: int,
        patch_width: int,
        width: int,
        output_width: int,
        tokens: int,
        depth: int,
        heads: int,
        first_factor: float,
        block_factor: float,
        adds_identity: bool,
    ) -> None:
        super().__init__()
        from diffusers.models.attention import FeedForward
        from diffusers.models.embeddings import IPAdapterPlusImageProjectionBlock

        self.adds_identity = adds_identity
        self.ff = FeedForward(identity_width, width * tokens, mult=first_factor, activation_fn="gelu")
        self.norm = nn.LayerNorm(width)
        self.proj_in = nn.Linear(patch_width, width)
        self.proj_out = nn.Linear(width, output_width)
        self.norm_out = nn.LayerNorm(output_width)
        dim_head = 64
        self.layers = nn.ModuleList(
            IPAdapterPlusImageProjectionBlock(width, dim_head, heads, block_factor) for _ in range(depth)
        )

    def forward(self, identity: Tensor, patches: Tensor, likeness: float) -> Tensor:
        """From vectors (n, D) and patches (n, P, E) to tokens (n, T, C)."""
        told: Tensor = self.norm(self.ff(identity).unflatten(-1, (-1, self.norm.normalized_shape[0])))
        seen, found = self.proj_in(patches), told
        for block in self.layers:
            found = block(seen, found, found)
        made: Tensor = self.norm_out(self.proj_out(found))
        return told + likeness * made if self.adds_identity else made


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureAdapter:
    """What `IPAdapter.use()` gives.

    Attributes:
        network: Its weights.
        name: Its name, for messages.
        device: Where it computes.
        dtype: Dtype it computes in.
        black: Whether no picture is a black one to it, not vectors of zeros.
    """

    network: IPAdapterNetwork
    name: str
    device: torch.device
    dtype: torch.dtype
    black: bool = False

    @inference
    def tokens(self, features: Tensor, patches: Tensor | None = None, likeness: float = 1.0) -> Tensor:
        """From vectors (n, D) or (n, P, D) to tokens (n, T, C), float32 on the CPU.

        Args:
            features: An image encoder's of pictures, or a recogniser's of faces.
            patches: (n, P, D) an image encoder's of the faces, for adapters that read both.
            likeness: How far these act, where the adapter weighs them.
        """
        read = features.to(self.device, self.dtype)
        if patches is None:
            found: Tensor = self.network.projection(read)
        else:
            found = self.network.projection(read, patches.to(self.device, self.dtype), likeness)
        return found.float().cpu()


@dataclass(frozen=True, kw_only=True, eq=False)
class PicturePrompt:
    """Pictures that a network attends to.

    Attributes:
        adapter: How.
        tokens: (n, T, C) of the pictures.
        nothing: (n, T, C) of no picture, for what the result should not be.
        masks: (n, H, W) in [0, 1], where each picture acts; None is everywhere.
        strength: Factor on its attention.
        high: It acts at this noise level and below.
        low: It acts at this noise level and above.
        part: `all` layers, or those of `style`, `layout` or `style_and_layout`.
    """

    adapter: PictureAdapter
    tokens: Tensor
    nothing: Tensor
    masks: Tensor | None
    strength: float
    high: float
    low: float
    part: str = "all"


@dataclass(kw_only=True, eq=False)
class PicturePrompts:
    """All pictures that one network attends to while it is in use."""

    prompts: list[PicturePrompt] = field(default_factory=list)
    _processors: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def adding(self, prompt: PicturePrompt, network: Any) -> Iterator[None]:
        """Attend to further pictures until the block ends.

        Args:
            prompt: The pictures.
            network: The Diffusers UNet or transformer.

        Raises:
            InvalidInputError: The adapter is for another family, or has no layers of style and layout.
        """
        self._require_fit(prompt.adapter, network)
        self._require_part(prompt.part, network)
        self.prompts.append(prompt)
        self._processors.clear()
        try:
            yield
        finally:
            self.prompts.remove(prompt)
            self._processors.clear()

    def completed(self, conditioning: Conditioning, *, negative: bool) -> Conditioning:
        """The conditioning with the tokens of the pictures, or of no picture where it is negative."""
        if not self.prompts:
            return conditioning
        more = {
            _EXTRA.format(index): _flat(prompt.nothing if negative else prompt.tokens)
            for index, prompt in enumerate(self.prompts)
        }
        entries = tuple(replace(entry, extras={**entry.extras, **more}) for entry in conditioning.entries)
        return Conditioning(entries=entries)

    def tokens(self, entries: Sequence[ConditioningEntry]) -> list[list[Tensor]]:
        """For each prompt, the tokens (1, n * T, C) of each entry.

        Raises:
            InvalidInputError: An entry has none.
        """
        found = [[entry.extras.get(_EXTRA.format(index)) for entry in entries] for index in range(len(self.prompts))]
        if any(not isinstance(tokens, Tensor) for prompt in found for tokens in prompt):
            raise InvalidInputError("the conditioning was not completed for the IP-Adapter")
        return [[tokens for tokens in prompt if isinstance(tokens, Tensor)] for prompt in found]

    @contextmanager
    def attending(self, unet: Any, context: Tensor, tokens: Sequence[Tensor], sigma: float | None) -> Iterator[Any]:
        """Have the network attend to the pictures until the block ends.

        Args:
            unet: The Diffusers UNet.
            context: (N, T, C) text embedding.
            tokens: For each prompt (N, n * T, C).
            sigma: The noise level.

        Yields:
            What takes the place of the text embedding, and arguments of the network's attention.
        """
        if not self.prompts:
            yield {"encoder_hidden_states": context}
            return
        with self.processing(unet, sigma):
            pictures = [
                part if prompt.masks is None else part.unflatten(1, (len(prompt.tokens), -1))
                for prompt, part in zip(self.prompts, tokens, strict=True)
            ]
            masks = [None if prompt.masks is None else prompt.masks[None] for prompt in self.prompts]
            yield {"encoder_hidden_states": (context, pictures), "ip_adapter_masks": masks}

    @contextmanager
    def processing(self, network: Any, sigma: float | None) -> Iterator[None]:
        """Have the layers compute with the adapters' keys and values, at a noise level, until the block ends."""
        if not self._processors:
            self._processors = {name: self.make_processor(index) for index, name in enumerate(self.layers(network))}
        scales = [
            prompt.strength if sigma is None or prompt.low <= sigma <= prompt.high else 0.0 for prompt in self.prompts
        ]
        parts = [_layers_of(prompt.part, network) for prompt in self.prompts]
        before: dict[str, Any] = {}
        try:
            for name, processor in self._processors.items():
                layer = network.get_submodule(name)
                before[name] = layer.processor
                processor.scale = [
                    scale if name.startswith(part) else 0.0 for scale, part in zip(scales, parts, strict=True)
                ]
                layer.set_processor(processor)
            yield
        finally:
            for name, processor in before.items():
                network.get_submodule(name).set_processor(processor)

    def layers(self, network: Any) -> dict[str, tuple[int, int]]:
        """Layers that look at the text, in the order in which adapters count them: widths of keys and of the text."""
        names = [
            name.removesuffix(".processor") for name in network.attn_processors if name.endswith("attn2.processor")
        ]
        text = network.config.cross_attention_dim
        return {name: (network.get_submodule(name).to_k.out_features, text) for name in names}

    def make_processor(self, index: int) -> Any:
        """What the layer of this number attends by."""
        from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0

        with Weightless():
            processor = IPAdapterAttnProcessor2_0(1, 1, num_tokens=(1,) * len(self.prompts))
        return self.filled(processor, index)

    def filled(self, processor: Any, index: int) -> Any:
        """A processor with the adapters' keys and values for the layer of this number."""
        networks = [prompt.adapter.network for prompt in self.prompts]
        processor.to_k_ip = nn.ModuleList(network.keys[index] for network in networks)
        processor.to_v_ip = nn.ModuleList(network.values[index] for network in networks)
        return processor

    def _require_part(self, part: str, network: Any) -> None:
        wanted = _layers_of(part, network)
        if not all(any(name.startswith(start) for name in self.layers(network)) for start in wanted):
            raise InvalidInputError(
                "which layers make style and layout is known of SDXL alone; the diffusion model has no such layers",
                where="part",
                advice="set part to 'all', or use a checkpoint of SDXL",
            )

    def _require_fit(self, adapter: PictureAdapter, network: Any) -> None:
        layers = [*self.layers(network).values()]
        found = [(key.out_features, adapter.network.width) for key in adapter.network.keys]
        if found != layers:
            raise InvalidInputError(
                f"the IP-Adapter {adapter.name!r} is for a network of {len(found)} cross-attentions to text of width"
                f" {adapter.network.width}; the diffusion model has {len(layers)}, of width {layers[0][1]}",
                where="ip_adapter",
                advice="use an IP-Adapter that was made for the checkpoint's family",
            )


def _layers_of(part: str, network: Any) -> tuple[str, ...]:
    """How the names of the layers begin that make a part (InstantStyle, Wang et al. 2024, arXiv:2404.02733)."""
    if part == "all":
        return ("",)
    deepest = len(getattr(network, "down_blocks", ())) - 1
    known = {"style": "up_blocks.0.attentions.1.", "layout": f"down_blocks.{deepest}.attentions.1."}
    return tuple(start for name, start in known.items() if name in part)


def _flat(tokens: Tensor) -> Tensor:
    return tokens.reshape(1, -1, tokens.shape[-1])

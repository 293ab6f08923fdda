"""The style adapter of T2I-Adapter (Mou et al. 2023, arXiv:2302.08453): what CLIP sees, as eight tokens beside the text."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn


class StyleAdapter(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Learnt tokens that look at an image encoder's, with the interface of Diffusers' `ReduxImageEncoder`.

    Args:
        width: Width of the vectors that it reads.
        context: Width of its tokens, which is that of the text.
        tokens: How many it makes.
        layers: Residual blocks.
        heads: Heads of their attention.
    """

    def __init__(self, *, width: int, context: int, tokens: int, layers: int, heads: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(redux_dim=width, txt_in_features=context)
        self.style_embedding = nn.Parameter(torch.zeros(1, tokens, width))
        self.proj = nn.Parameter(torch.zeros(width, context))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer_layes = nn.ModuleList(_Block(width, heads) for _ in range(layers))  # as the files spell it
        self.ln_post = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> SimpleNamespace:
        """From an image encoder's vectors (B, P, D) to tokens (B, T, C)."""
        learnt = self.style_embedding.expand(len(features), -1, -1)
        x = self.ln_pre(torch.cat([features, learnt], dim=1))
        for block in self.transformer_layes:
            x = block(x)
        return SimpleNamespace(image_embeds=self.ln_post(x[:, -learnt.shape[1] :]) @ self.proj)


class _Block(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False)[0]
        inner = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](inner * torch.sigmoid(1.702 * inner))

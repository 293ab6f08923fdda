"""The autoencoder: its configuration and its identity-like start."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL

SCALING_FACTOR = 0.18215
WIDTHS = (16, 32, 48, 64)


def build_vae() -> AutoencoderKL:
    """A new AutoencoderKL (128 px, f=8, 4 latent channels) that starts close to shrinking and enlarging the picture.

    Residual branches start at zero. Six channels carry +RGB and -RGB through every layer: `silu(x) - silu(-x) = x`
    makes that exact across the non-linear output layer.
    """
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=WIDTHS,
        layers_per_block=1,
        norm_num_groups=1,
        latent_channels=4,
        sample_size=128,
        scaling_factor=SCALING_FACTOR,
    )
    with torch.no_grad():
        for half in (vae.encoder, vae.decoder):
            for name, module in half.named_modules():
                if name.endswith(("conv2", "to_out.0")):
                    module.weight.zero_()
                    module.bias.zero_()
                elif name.endswith("conv_shortcut"):
                    _carry(module)
                elif name.endswith("downsamplers.0.conv"):
                    _carry(module, average=True)
                elif name.endswith("upsamplers.0.conv"):
                    _carry(module)
        _carry_signed(vae.encoder.conv_in)
        _carry_signed(vae.decoder.conv_in)
        for conv in (vae.encoder.conv_out, vae.decoder.conv_out):
            conv.weight[:3].mul_(0.1)
            middle = conv.weight[:3, :, 1, 1]
            middle[:, :6] = torch.cat([torch.eye(3), -torch.eye(3)], dim=1)
        for quant in (vae.quant_conv, vae.post_quant_conv):
            quant.weight[:, :, 0, 0] = torch.eye(quant.out_channels)
            quant.bias.zero_()
        vae.encoder.conv_out.bias[4:] = -6.0
    return vae


def _carry(conv: torch.nn.Conv2d, average: bool = False) -> None:
    """Let the first six channels through a convolution unchanged (or averaged over 2x2 pixels)."""
    conv.weight[:6].zero_()
    conv.bias[:6].zero_()
    for i in range(6):
        if average:
            conv.weight[i, i, :2, :2] = 0.25
        elif conv.kernel_size == (1, 1):
            conv.weight[i, i, 0, 0] = 1.0
        else:
            conv.weight[i, i, 1, 1] = 1.0


def _carry_signed(conv: torch.nn.Conv2d) -> None:
    """Put the first three input channels, and their negatives, into the first six channels of the output."""
    conv.weight[:6].zero_()
    conv.bias[:6].zero_()
    for i in range(3):
        conv.weight[i, i, 1, 1] = 1.0
        conv.weight[i + 3, i, 1, 1] = -1.0


def whiten(vae: AutoencoderKL, pictures: torch.Tensor) -> None:
    """Fold a whitening of the latents into the 1x1 quant convolutions, in place.

    Afterwards `SCALING_FACTOR * mean` has zero mean, unit variance and no correlation between channels over the
    given pictures ((n, 3, h, w), -1 to 1), and decoding is unchanged.
    """
    with torch.no_grad():
        means = torch.cat([vae.encode(p).latent_dist.mean for p in pictures.split(50)])
        flat = means.permute(0, 2, 3, 1).reshape(-1, means.shape[1]).double()
        centre = flat.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov(flat.T))
        matrix = vectors @ torch.diag(values.rsqrt()) @ vectors.T / SCALING_FACTOR
        quant, post = vae.quant_conv, vae.post_quant_conv
        weight, bias = quant.weight[:, :, 0, 0].double(), quant.bias.double()
        weight[:4], bias[:4] = matrix @ weight[:4], matrix @ (bias[:4] - centre)
        quant.weight[:, :, 0, 0], quant.bias[:] = weight.float(), bias.float()
        back, shift = post.weight[:, :, 0, 0].double(), post.bias.double()
        inverse = torch.linalg.inv(matrix)
        post.weight[:, :, 0, 0], post.bias[:] = (back @ inverse).float(), (shift + back @ centre).float()

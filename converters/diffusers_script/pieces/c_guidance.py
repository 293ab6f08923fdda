"""Changes of guidance and of the network."""
# mypy: ignore-errors

import torch


def change_guidance(denoise, *changes):
    """Have changes applied, one after the other, to what a denoiser's guidance gives."""
    plain = denoise.guide

    def guide(x, sigma, cond, uncond):
        guided = plain(x, sigma, cond, uncond)
        for change in changes:
            guided = change(denoise, x, sigma, cond, guided)
        return guided

    denoise.guide = guide


def guidance_interval(start, end):
    """No guidance outside a part of sampling (Kynkäänniemi et al. 2024)."""

    def change(denoise, x, sigma, cond, guided):
        low, high = denoise.percent_to_sigma(end), denoise.percent_to_sigma(start)
        return guided if low <= float(sigma) <= high else cond

    return change


def rescale_guidance(multiplier):
    """Guidance with the spread of the conditional velocity (Lin et al. 2023)."""

    def change(denoise, x, sigma, cond, guided):
        norm = (sigma**2 + 1) ** 0.5
        x = x / (sigma**2 + 1)
        velocity, wanted = (x - guided) * norm / sigma, (x - cond) * norm / sigma
        dims = tuple(range(1, x.ndim))
        factor = wanted.std(dim=dims, keepdim=True) / velocity.std(
            dim=dims, keepdim=True
        )
        velocity = multiplier * (velocity * factor) + (1 - multiplier) * velocity
        return x - velocity * sigma / norm

    return change


def scale_epsilon(factor):
    """Predicted noise a little weaker (Ning et al. 2023)."""

    def change(denoise, x, sigma, cond, guided):
        return x - (x - guided) / factor

    return change


def perturbed_attention_guidance(scale):
    """Away from the network without attention in its middle (Ahn et al. 2024)."""

    def values_only(attention, hidden_states, **_):
        return attention.to_out[0](attention.to_v(hidden_states))

    def change(denoise, x, sigma, cond, guided):
        modules = denoise.unet.mid_block.named_modules()
        layers = [module for name, module in modules if name.endswith(".attn1")]
        before = [layer.processor for layer in layers]
        for layer in layers:
            layer.processor = values_only
        weakened = denoise.predict(x, sigma, [denoise.positive])[0]
        for layer, processor in zip(layers, before, strict=True):
            layer.processor = processor
        return guided + (cond - weakened) * scale

    return change


def scale_low_frequencies(x, factor):
    """Multiply the lowest frequencies by a factor."""
    axes = (-2, -1)
    spectrum = torch.fft.fftshift(torch.fft.fftn(x.float(), dim=axes), dim=axes)
    row, column = x.shape[-2] // 2, x.shape[-1] // 2
    rows = slice(max(0, row - 1), row + 1)
    spectrum[..., rows, max(0, column - 1) : column + 1] *= factor
    return torch.fft.ifftn(torch.fft.ifftshift(spectrum, dim=axes), dim=axes).real.to(
        x.dtype
    )


def enable_freeu(unet, b1, b2, s1, s2, method="v2"):
    """FreeU (Si et al. 2023), with the stages of the decoder told by their width.

    The method of the same name in Diffusers counts stages instead.
    """
    first = unet.config.block_out_channels[0]
    factors = {4 * first: (b1, s1), 2 * first: (b2, s2)}

    def change(width, backbone, skip):
        def before(module, args):
            hidden, connection = args[0][:, :width], args[0][:, width:]
            scale = backbone
            if method == "v2":
                mean = hidden.mean(1, keepdim=True)
                low = mean.amin((2, 3), keepdim=True)
                high = mean.amax((2, 3), keepdim=True)
                scale = (backbone - 1) * (mean - low) / (high - low) + 1
            half = width // 2
            parts = [hidden[:, :half] * scale, hidden[:, half:]]
            return torch.cat(
                [*parts, scale_low_frequencies(connection, skip)], dim=1
            ), *args[1:]

        return before

    width = unet.config.block_out_channels[-1]
    for block in unet.up_blocks:
        for resnet in block.resnets:
            if width in factors:
                resnet.register_forward_pre_hook(change(width, *factors[width]))
            width = resnet.out_channels

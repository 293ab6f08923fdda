"""Changes of guidance and of the network."""
# mypy: ignore-errors

from contextlib import contextmanager, nullcontext

import torch
from diffusers.models.transformers.transformer_2d import Transformer2DModel

from graphflow.sampling.guidance import (
    AwayFromVariation,
    ClassifierFree,
    Predictions,
    guide,
)


def change_guidance(denoise, *modifiers, guider=None):
    """Have modifiers, and another formula than the usual one, change guidance."""
    guider = guider or ClassifierFree(scale=denoise.scale)

    def guided(x, sigma, both=False):
        guides = all(modifier.guides(denoise.levels, sigma) for modifier in modifiers)
        both = both or any(modifier.needs_uncond for modifier in modifiers)
        prompts = {"positive": denoise.positive}
        if both or (guides and (denoise.others or guider.scale != 1.0)):
            prompts["negative"] = denoise.negative
        if guides:
            prompts |= denoise.others
        made = denoise.predict(x, sigma, list(prompts.values()))
        found = dict(zip(prompts, made, strict=True))
        cond = found["positive"]

        def evaluate(side, *, x=x, variation=nullcontext):
            with variation(denoise.network):
                return denoise.predict(x, sigma, [getattr(denoise, side)])[0]

        predictions = Predictions(
            x=x,
            sigma=sigma,
            cond=cond,
            uncond=found.get("negative", cond),
            scale=guider.scale if guides else 1.0,
            levels=denoise.levels,
            evaluate=evaluate,
            others={name: found.get(name, cond) for name in denoise.others},
        )
        return guide(guider, modifiers, predictions)

    denoise.guided = guided


def perturbed_attention_guidance(scale=3.0):
    """Away from the network without attention in its middle (Ahn et al. 2024)."""
    return AwayFromVariation(variation=without_middle_attention, scale=scale)


@contextmanager
def without_middle_attention(unet):
    """Every token of the middle attends to itself alone."""

    def values_only(attention, hidden_states, **_):
        return attention.to_out[0](attention.to_v(hidden_states))

    modules = unet.mid_block.named_modules() if unet.mid_block is not None else []
    layers = [module for name, module in modules if name.endswith(".attn1")]
    before = [layer.processor for layer in layers]
    for layer in layers:
        layer.processor = values_only
    yield
    for layer, processor in zip(layers, before, strict=True):
        layer.processor = processor


def find_transformers(unet, names):
    """The transformers whose names begin with one of some names."""
    there = {
        f"{name}.": module
        for name, module in unet.named_modules()
        if isinstance(module, Transformer2DModel)
    }
    for wanted in names:
        if not any(name.startswith(f"{wanted}.") for name in there):
            known = ", ".join(name.rstrip(".") for name in there)
            raise ValueError(f"no transformer is called {wanted!r}; there are {known}")
    begins = tuple(f"{wanted}." for wanted in names)
    return [module for name, module in there.items() if name.startswith(begins)]


def skip_layer_guidance(
    layers="mid_block", scale=3.0, start=0.01, end=0.15, rescale=0.0
):
    """Away from the network without some transformers (Hyung et al. 2024)."""
    names = [name.strip(" .") for name in layers.split(",") if name.strip(" .")]
    if not names:
        raise ValueError("no layer is named")

    @contextmanager
    def without_layers(unet):
        skipped = find_transformers(unet, names)
        before = [module.__dict__.get("forward") for module in skipped]
        for module in skipped:
            module.forward = lambda hidden_states, *_, **__: (hidden_states,)
        yield
        for module, forward in zip(skipped, before, strict=True):
            del module.forward
            if forward is not None:
                module.forward = forward

    return AwayFromVariation(
        variation=without_layers, scale=scale, start=start, end=end, rescale=rescale
    )


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

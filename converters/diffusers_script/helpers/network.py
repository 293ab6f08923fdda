"""Changes of how the UNet computes."""
# mypy: ignore-errors

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional

from graphflow.sampling.guidance import Modifier


@dataclass(kw_only=True)
class SelfAttentionGuidance(Modifier):
    """Away from a picture that is blurred where it is salient (Hong et al. 2022)."""

    scale: float = 0.5
    blur_sigma: float = 2.0
    needs_uncond: bool = True

    def after(self, predictions, guided):
        """The guided clean sample."""
        if self.scale == 0.0 or min(guided.shape[-2:]) <= 4:
            return guided
        seen, uncond = [], predictions.uncond
        watching = partial(watch_middle_attention, seen=seen)
        predictions.evaluate("negative", variation=watching)
        if not seen:
            return guided
        salient = (seen[-1][: len(uncond), None] > 1.0).to(uncond)
        size = uncond.shape[-2:]
        salient = functional.interpolate(salient, size=size, mode="nearest")
        degraded = torch.lerp(uncond, blur_latents(uncond, self.blur_sigma), salient)
        noisy = degraded + (predictions.x - uncond)
        again = predictions.evaluate("negative", x=noisy)
        return guided + (degraded - again) * self.scale


@contextmanager
def watch_middle_attention(unet, seen):
    """Note how much each place of the middle is attended to."""
    size = []
    named = unet.mid_block.named_modules() if unet.mid_block is not None else []
    layers = [module for name, module in named if name.endswith(".attn1")]
    if not layers:
        yield
        return

    def note_size(module, args, kwargs):
        size[:] = (args[0] if args else kwargs["hidden_states"]).shape[-2:]

    def note_map(attention, args):
        query, key = (
            project(args[0]).unflatten(2, (attention.heads, -1)).transpose(1, 2)
            for project in (attention.to_q, attention.to_k)
        )
        weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
        seen.append(weights.float().mean(1).sum(1).unflatten(1, (size[0], size[1])))

    watched = [
        unet.mid_block.register_forward_pre_hook(note_size, with_kwargs=True),
        layers[0].register_forward_pre_hook(note_map),
    ]
    yield
    for handle in watched:
        handle.remove()


def blur_latents(x, sigma):
    """A Gaussian blur with a kernel of nine samples, edges reflected."""
    if sigma <= 0:
        return x
    places = torch.arange(9, device=x.device, dtype=x.dtype) - 4
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    weights = weights / weights.sum()
    kernel = torch.outer(weights, weights).expand(x.shape[1], 1, 9, 9)
    padded = functional.pad(x, (4,) * 4, mode="reflect")
    return functional.conv2d(padded, kernel, groups=x.shape[1])


class TokenGrid:
    """Tells the layers of a UNet, which see tokens, how these lie in the latents.

    Its random numbers begin again with every new picture, when timesteps rise.
    """

    def __init__(self, unet, deepest):
        self.size, self.deepest, self.timestep = (0, 0), deepest, -1.0
        self.generator = torch.Generator()
        unet.register_forward_pre_hook(self.start, with_kwargs=True)

    def start(self, module, args, kwargs):
        """Note what the UNet starts to compute."""
        timestep = float(args[1] if len(args) > 1 else kwargs["timestep"])
        if self.timestep < 0 or timestep > self.timestep:
            self.generator.manual_seed(0)
        self.timestep = timestep
        self.size = (args[0] if args else kwargs["sample"]).shape[-2:]

    def level(self, tokens):
        """The level with so many tokens: (number, height, width); None below."""
        height, width = self.size
        for number in range(self.deepest + 1):
            if height * width == tokens:
                return number, height, width
            height, width = -(-height // 2), -(-width // 2)
        return None


def change_self_attention(unet, enter):
    """Change what self-attention layers see, and what they give back.

    ``enter`` makes other tokens of (B, T, C), with the way back, or None.
    """
    ways = []

    def before(module, args, kwargs):
        crossed = kwargs.get("encoder_hidden_states") is not None
        found = None if crossed else enter(args[0])
        ways.append(found and found[1])
        return found and ((found[0], *args[1:]), kwargs)

    def after(module, args, output):
        way = ways.pop()
        return way(output) if way else output

    for name, layer in unet.named_modules():
        if name.endswith(".attn1"):
            layer.register_forward_pre_hook(before, with_kwargs=True)
            layer.register_forward_hook(after)


def hypertile(unet, tile_size=256, swap_size=2, max_depth=0, scale_depth=False):
    """Self-attention inside tiles whose number is drawn each time (T. Fernandes 2023)."""
    grid = TokenGrid(unet, max_depth)

    def draw(length, smallest):
        edges = range(min(smallest, length), length + 1)
        counts = [length // edge for edge in edges if length % edge == 0][:swap_size]
        return counts[int(torch.randint(len(counts), (), generator=grid.generator))]

    def enter(tokens):
        found = grid.level(tokens.shape[1])
        if found is None:
            return None
        level, height, width = found
        smallest = max(32, tile_size) // 8 * (2**level if scale_depth else 1)
        rows, columns = draw(height, smallest), draw(width, smallest)
        if rows * columns == 1:
            return None
        batch, total, channels = tokens.shape
        tall, wide = height // rows, width // columns
        cells = tokens.reshape(batch, rows, tall, columns, wide, channels)
        tiles = cells.transpose(2, 3).reshape(-1, tall * wide, channels)

        def back(output):
            cells = output.reshape(batch, rows, columns, tall, wide, -1)
            return cells.transpose(2, 3).reshape(batch, total, -1)

        return tiles, back

    change_self_attention(unet, enter)


def merge_tokens(unet, ratio=0.3):
    """Average tokens that are alike before self-attention (Bolya and Hoffman 2023)."""
    grid = TokenGrid(unet, 0)

    def kept_places(height, width):
        rows, columns = height // 2, width // 2
        drawn = torch.randint(4, (rows, columns), generator=grid.generator)
        row = torch.arange(rows)[:, None] * 2 + drawn // 2
        column = torch.arange(columns)[None] * 2 + drawn % 2
        return (row * width + column).flatten()

    def enter(tokens):
        found, count = grid.level(tokens.shape[1]), int(tokens.shape[1] * ratio)
        if found is None or count == 0 or min(found[1:]) < 2:
            return None
        return merge_alike(tokens, kept_places(*found[1:]), count)

    change_self_attention(unet, enter)


def merge_alike(tokens, kept, count):
    """Average the tokens that are most like a kept one into it; with the way back."""
    mask = torch.ones(tokens.shape[1], dtype=torch.bool)
    mask[kept] = False
    others, kept = mask.nonzero().flatten().to(tokens.device), kept.to(tokens.device)
    unit = functional.normalize(tokens.float(), dim=-1)
    likeness = unit[:, others] @ unit[:, kept].transpose(1, 2)
    likeness, nearest = likeness.max(dim=-1)
    count = min(count, len(others))
    order = likeness.argsort(dim=-1, descending=True)
    merged, single = order[:, :count], order[:, count:]
    into = nearest.gather(1, merged)

    def wide(places, of):
        return places[..., None].expand(-1, -1, of.shape[-1])

    source, target = tokens[:, others], tokens[:, kept]
    taken = source.gather(1, wide(merged, source))
    target = target.scatter_reduce(1, wide(into, target), taken, reduce="mean")
    shorter = torch.cat([source.gather(1, wide(single, source)), target], dim=1)

    def back(output):
        own, shared = output.split([single.shape[1], len(kept)], dim=1)
        full = output.new_empty(len(output), tokens.shape[1], output.shape[-1])
        full[:, kept] = shared
        full.scatter_(1, wide(others[single], own), own)
        spread = shared.gather(1, wide(into, shared))
        return full.scatter_(1, wide(others[merged], spread), spread)

    return shorter, back


def deep_shrink(
    denoise,
    block=3,
    downscale_factor=2.0,
    start=0.0,
    end=0.35,
    after_skip=True,
    downscale_method="bicubic",
    upscale_method="bicubic",
):
    """Have the deep layers see a smaller picture at first (kohya-ss 2023)."""
    unet, predict = denoise.network, denoise.predict
    blocks = [(unet.conv_in, unet.conv_in)]
    for down in unet.down_blocks:
        ends = getattr(down, "attentions", None) or down.resnets
        blocks += zip(down.resnets, ends, strict=True)
        blocks += [(layer, layer) for layer in down.downsamplers or ()]
    blocks.append((unet.mid_block, unet.mid_block))
    sizes = []

    def resized(x, size, method):
        mode = "nearest-exact" if method == "nearest" else method
        same = tuple(x.shape[-2:]) == tuple(size)
        return x if same else functional.interpolate(x, size=size, mode=mode)

    def smaller(x):
        size = [max(1, round(edge / downscale_factor)) for edge in x.shape[-2:]]
        return resized(x, size, downscale_method)

    def of_first(change, found):
        changed = isinstance(found, tuple)
        return (change(found[0]), *found[1:]) if changed else change(found)

    def enter(module, args, kwargs):
        skips = kwargs["res_hidden_states_tuple"]
        sizes[:] = [tuple(skip.shape[-2:]) for skip in reversed(skips)]
        larger = resized(kwargs["hidden_states"], sizes[0], upscale_method)
        return args, kwargs | {"hidden_states": larger}

    def grow_to(number):
        def after(module, args, output):
            size = sizes[number]
            return of_first(lambda x: resized(x, size, upscale_method), output)

        return after

    def hooks():
        if after_skip:
            yield blocks[block + 1][0].register_forward_pre_hook(
                lambda module, args: (smaller(args[0]), *args[1:])
            )
        else:
            yield blocks[block][1].register_forward_hook(
                lambda module, args, output: of_first(smaller, output)
            )
        for up in unet.up_blocks:
            yield up.register_forward_pre_hook(enter, with_kwargs=True)
            layers = list(getattr(up, "attentions", None) or up.resnets)[:-1]
            for number, layer in enumerate(layers, 1):
                yield layer.register_forward_hook(grow_to(number))

    def predict_smaller(x, sigma, prompts):
        low, high = (
            denoise.levels.percent_to_sigma(end),
            denoise.levels.percent_to_sigma(start),
        )
        if not low <= float(sigma) <= high:
            return predict(x, sigma, prompts)
        handles, count = list(hooks()), unet.num_upsamplers
        unet.num_upsamplers = 64  # has each block double to the size of the next skip
        found = predict(x, sigma, prompts)
        unet.num_upsamplers = count
        for handle in handles:
            handle.remove()
        return found

    denoise.predict = predict_smaller

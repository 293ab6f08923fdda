"""Prompts that act in areas, under masks, for a part of sampling, and with ControlNets."""
# mypy: ignore-errors

from functools import reduce

import torch

from graphflow.pixels.resampling import resize_bilinear
from .denoiser import Denoiser, SdxlDenoiser

PROMPT_PLACES = ("area", "weight", "strength", "start", "end")
"""Where, when and how strongly a prompt acts; what else it has is told to the network."""


def fraction_area(y, x, height, width):
    """Where a prompt acts: a rectangle in shares of the picture."""

    def place(rows, columns):
        top, left = min(round(y * rows), rows - 1), min(round(x * columns), columns - 1)
        tall, wide = max(1, round(height * rows)), max(1, round(width * columns))
        return top, left, min(tall, rows - top), min(wide, columns - left)

    return place


def pixel_area(y, x, height, width, edge=8):
    """Where a prompt acts: a rectangle in pixels, so many to a sample."""

    def place(rows, columns):
        top, left = min(int(y // edge), rows - 1), min(int(x // edge), columns - 1)
        tall, wide = max(1, int(height // edge)), max(1, int(width // edge))
        return top, left, min(tall, rows - top), min(wide, columns - left)

    return place


def mask_area(mask):
    """Where a prompt acts: the rectangle around what a mask has above zero."""

    def place(rows, columns):
        inside = fit_mask(mask, rows, columns).abs().amax(dim=(0, 1)) > 0
        down = inside.any(dim=1).nonzero().flatten().tolist() or [0]
        across = inside.any(dim=0).nonzero().flatten().tolist() or [0]
        tall, wide = max(8, down[-1] - down[0] + 1), max(8, across[-1] - across[0] + 1)
        top, left = down[0], across[0]
        return top, left, min(tall, rows - top), min(wide, columns - left)

    return place


def faded(box, height, width):
    """How strongly a prompt acts in its area, which fades at edges inside the picture."""
    if box is None:
        return torch.ones(1, 1, height, width)
    y, x, tall, wide = box
    rows = fade(tall, y > 0, y + tall < height)
    columns = fade(wide, x > 0, x + wide < width)
    return (rows[:, None] * columns)[None, None]


def masked(mask, strength=1.0):
    """How strongly a prompt acts under a mask, whatever its area."""

    def weight(box, height, width):
        return crop(fit_mask(mask, height, width), box) * strength

    return weight


def fit_mask(mask, height, width):
    """Masks at the size of the latents, (B, 1, height, width)."""
    mask = mask.float().reshape(-1, 1, *mask.shape[-2:])
    return resize_bilinear(mask, (height, width))


def crop(tensor, box):
    """The part of latents inside a rectangle."""
    if box is None:
        return tensor
    y, x, height, width = box
    return tensor[..., y : y + height, x : x + width]


def fade(length, before, after):
    """Ones that rise from an edge inside the picture over up to 8 samples."""
    width = max(1, min(8, length // 4))
    rise = ((torch.arange(length) + 1) / width).clamp(max=1.0)
    ones = torch.ones(length)
    return ones * (rise if before else 1) * (rise.flip(0) if after else 1)


def match_areas(regions, others):
    """Regions, and for each area of the others that is none of theirs the same area."""
    found = list(regions)
    for entry, box, weight in others:
        if box is None:
            continue
        around = [item for item in found if item[1] is None or contains(item[1], box)]
        whole = float("inf")
        sizes = [item[1][2] * item[1][3] if item[1] else whole for item in around]
        nearest = around[sizes.index(min(sizes))] if around else None
        if nearest and nearest[1] != box:
            own = {name: entry[name] for name in PROMPT_PLACES if name in entry}
            told = {
                key: nearest[0][key] for key in nearest[0] if key not in PROMPT_PLACES
            }
            found.append(({**own, **told}, box, weight))
    return found


def contains(outer, inner):
    """Whether a rectangle lies inside another."""
    (y, x, height, width), (top, left, tall, wide) = outer, inner
    inside = y <= top and x <= left
    return inside and top + tall <= y + height and left + wide <= x + width


def fit_hint(image, size):
    """The picture of a ControlNet at a size (height, width), cut to its proportions."""
    height, width = image.shape[-2:]
    left = max(0, round((width - height * size[1] / size[0]) / 2))
    top = max(0, round((height - width * size[0] / size[1]) / 2))
    image = image[:, :3, top : height - top, left : width - left]
    return torch.nn.functional.interpolate(image, size=size, mode="nearest-exact")


def residuals(control, hint, x, timestep, conditions):
    """What a ControlNet or T2I-Adapter adds inside the UNet."""
    net = control["net"]
    if "adapter_type" in net.config:
        grey = net.config.in_channels == 1
        hint = hint.mean(dim=1, keepdim=True) if grey else hint
        return {"down_intrablock_additional_residuals": net(hint)}
    told = {"controlnet_cond": hint}
    if "mode" in control:
        kinds = torch.zeros(len(x), net.config.num_control_type).to(x)
        kinds[:, control["mode"]] = 1
        told = {"controlnet_cond": [hint], "control_type": kinds}
        told["control_type_idx"] = [control["mode"]]
    skips, middle = net(x, timestep, **told, **conditions, return_dict=False)
    return {
        "down_block_additional_residuals": skips,
        "mid_block_additional_residual": [middle],
    }


class Regional:
    """Lists of prompts, each with the place where it acts."""

    def predict(self, x, sigma, prompts):
        """One prediction for each list: what its prompts say, by weight."""
        sides = [self.positive, self.negative, *self.others.values()]
        found = {id(side): self.regions(side, *x.shape[-2:]) for side in sides}
        return [
            self.combined(
                x, sigma, reduce(match_areas, found.values(), found[id(side)])
            )
            for side in prompts
        ]

    def regions(self, entries, height, width):
        """Each prompt with its rectangle and weight."""
        found = []
        for entry in entries:
            box = entry["area"](height, width) if "area" in entry else None
            weight = entry.get("weight", faded)(box, height, width)
            found.append((entry, box, weight * entry.get("strength", 1.0)))
        return found

    def combined(self, x, sigma, regions):
        """The average of what prompts predict, by weight."""
        total, seen = torch.zeros_like(x), torch.zeros_like(x)
        for entry, box, weight in regions:
            told = self.told(entry, x, sigma)
            if told is not None:
                (part,) = super().predict(crop(x, box), sigma, [told])
                weight = weight.to(x.device)
                crop(total, box).add_(part * weight)
                crop(seen, box).add_(weight.expand_as(part))
        return total / seen.clamp(min=1e-37)

    def told(self, entry, x, sigma):
        """What the network is told of a prompt; None where it does not act."""
        return entry


class RegionalDenoiser(Regional, Denoiser):
    """A denoiser for prompts in places."""


class RegionalSdxlDenoiser(RegionalDenoiser, SdxlDenoiser):
    """The same for SDXL, which is told the size of the whole picture."""

    def told(self, entry, x, sigma):
        """What the UNet is told of a prompt; None where it does not act."""
        size = (x.shape[-2] * 8, x.shape[-1] * 8)
        return {"sizes": (*size, 0, 0, *size), **entry}


class Timed:
    """Prompts that act for a part of sampling."""

    def told(self, entry, x, sigma):
        """What the UNet is told of a prompt; None where it does not act."""
        return super().told(entry, x, sigma) if self.acts(entry, sigma) else None

    def acts(self, entry, sigma):
        """Whether something acts at a noise level."""
        start, end = entry.get("start", 0.0), entry.get("end", 1.0)
        highest = self.levels.percent_to_sigma(start)
        return self.levels.percent_to_sigma(end) <= sigma <= highest


class TimedDenoiser(Timed, RegionalDenoiser):
    """A denoiser for prompts that act for a part of sampling."""


class TimedSdxlDenoiser(Timed, RegionalSdxlDenoiser):
    """The same for SDXL."""


class Steered(Timed):
    """Prompts with ControlNets, each for a part of sampling."""

    def told(self, entry, x, sigma):
        """A prompt with those of its ControlNets that act at a noise level."""
        told = super().told(entry, x, sigma)
        if told is None:
            return None
        controls = [item for item in told.get("controls", []) if self.acts(item, sigma)]
        return {**told, "controls": controls, "sigma": sigma}

    def conditions(self, x, prompts):
        """What the UNet reads beside the latents, what ControlNets add with it."""
        conditions = super().conditions(x, prompts)
        (entry,) = prompts
        if not entry["controls"]:
            return conditions
        sigma = entry["sigma"]
        timestep = self.levels.timestep(sigma).to(x.device)
        scaled = (x / (sigma**2 + 1).sqrt()).to(self.network.dtype)
        size = (x.shape[-2] * 8, x.shape[-1] * 8)
        total = {}
        for control in entry["controls"]:
            hint = fit_hint(control["image"], size).to(x.device, self.network.dtype)
            hint = hint.expand(len(x), -1, -1, -1)
            found = residuals(control, hint, scaled, timestep, conditions)
            for name, items in found.items():
                items = [item * control["strength"] for item in items]
                before = total.get(name, [0] * len(items))
                total[name] = [a + b for a, b in zip(before, items, strict=True)]
        middle = "mid_block_additional_residual"
        if middle in total:
            (total[middle],) = total[middle]
        return {**conditions, **total}


class SteeredDenoiser(Steered, RegionalDenoiser):
    """A denoiser for prompts with ControlNets."""


class SteeredSdxlDenoiser(Steered, RegionalSdxlDenoiser):
    """The same for SDXL."""


def zeroed(prompt):
    """A prompt that says nothing: its embeddings are zero."""
    told = ("embeds", "pooled")
    return {key: value * 0 if key in told else value for key, value in prompt.items()}


def joined(prompt, other):
    """Two prompts one behind the other."""
    return {**prompt, "embeds": torch.cat([prompt["embeds"], other["embeds"]], dim=1)}


def averaged(prompt, other, strength):
    """A mix of two prompts, token by token."""
    length = prompt["embeds"].shape[1]
    second = other["embeds"][:, :length]
    second = torch.nn.functional.pad(second, (0, 0, 0, length - second.shape[1]))
    mixed = {**prompt, "embeds": prompt["embeds"] * strength + second * (1 - strength)}
    if "pooled" in prompt and "pooled" in other:
        mixed["pooled"] = prompt["pooled"] * strength + other["pooled"] * (1 - strength)
    return mixed

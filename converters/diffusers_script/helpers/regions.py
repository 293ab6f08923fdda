"""Prompts that act in areas, under masks, for a part of sampling, and with ControlNets."""
# mypy: ignore-errors

from functools import reduce

import torch
from .denoiser import Denoiser, SdxlDenoiser


def box_of(entry, height, width):
    """The rectangle (y, x, height, width) of the latents where a prompt acts."""
    if "area" in entry:
        y, x, tall, wide = entry["area"]
        if entry["unit"] == "pixels":
            y, x = int(y // 8), int(x // 8)
            tall, wide = max(1, int(tall // 8)), max(1, int(wide // 8))
        else:
            y, x = round(y * height), round(x * width)
            tall, wide = max(1, round(tall * height)), max(1, round(wide * width))
        y, x = min(y, height - 1), min(x, width - 1)
        return y, x, min(tall, height - y), min(wide, width - x)
    if "mask" not in entry or not entry.get("bounds"):
        return None
    inside = fit_mask(entry["mask"], height, width).abs().amax(dim=(0, 1)) > 0
    rows = inside.any(dim=1).nonzero().flatten().tolist() or [0]
    columns = inside.any(dim=0).nonzero().flatten().tolist() or [0]
    tall, wide = max(8, rows[-1] - rows[0] + 1), max(8, columns[-1] - columns[0] + 1)
    return (
        rows[0],
        columns[0],
        min(tall, height - rows[0]),
        min(wide, width - columns[0]),
    )


def fit_mask(mask, height, width):
    """Masks at the size of the latents, (B, 1, height, width)."""
    mask = mask.float().reshape(-1, 1, *mask.shape[-2:])
    size = (height, width)
    return torch.nn.functional.interpolate(mask, size=size, mode="bilinear")


def crop(tensor, box):
    """The part of latents inside a rectangle."""
    if box is None:
        return tensor
    y, x, height, width = box
    return tensor[..., y : y + height, x : x + width]


def weight_of(entry, box, height, width):
    """How strongly a prompt acts at each place; areas fade at edges inside the picture."""
    if "mask" in entry:
        mask = crop(fit_mask(entry["mask"], height, width), box)
        weight = mask * entry.get("mask_strength", 1.0)
    elif box is None:
        weight = torch.ones(1, 1, height, width)
    else:
        y, x, tall, wide = box
        rows = fade(tall, y > 0, y + tall < height)
        weight = (rows[:, None] * fade(wide, x > 0, x + wide < width))[None, None]
    return weight * entry.get("strength", 1.0)


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
        sizes = [
            item[1][2] * item[1][3] if item[1] else float("inf") for item in around
        ]
        nearest = around[sizes.index(min(sizes))] if around else None
        if nearest and nearest[1] != box:
            told = ("embeds", "pooled", "sizes", "controls", "row")
            own = {name: value for name, value in entry.items() if name not in told}
            same = {name: nearest[0][name] for name in told if name in nearest[0]}
            found.append(({**own, **same}, box, weight))
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


class RegionalDenoiser(Denoiser):
    """A denoiser for lists of prompts, each with the place and time where it acts."""

    def predict(self, x, sigma, prompts):
        """One prediction for each list: what its prompts say, by weight."""
        height, width = x.shape[-2:]
        sides = [self.positive, self.negative, *self.others.values()]
        found = {id(side): self.regions(side, height, width) for side in sides}
        return [
            self.combined(
                x, sigma, reduce(match_areas, found.values(), found[id(side)])
            )
            for side in prompts
        ]

    def regions(self, entries, height, width):
        """Each prompt with its rectangle and weight."""
        boxes = [box_of(entry, height, width) for entry in entries]
        return [
            (entry, box, weight_of(entry, box, height, width))
            for entry, box in zip(entries, boxes, strict=True)
        ]

    def combined(self, x, sigma, regions):
        """The average of what prompts predict, by weight."""
        total, seen = torch.zeros_like(x), torch.zeros_like(x)
        for entry, box, weight in regions:
            if self.acts(entry, sigma):
                part = super().predict(
                    crop(x, box), sigma, [self.steered(entry, x, sigma)]
                )[0]
                weight = weight.to(x.device)
                crop(total, box).add_(part * weight)
                crop(seen, box).add_(weight.expand_as(part))
        return total / seen.clamp(min=1e-37)

    def acts(self, entry, sigma):
        """Whether something acts at a noise level."""
        start, end = entry.get("start", 0.0), entry.get("end", 1.0)
        return (
            self.levels.percent_to_sigma(end)
            <= sigma
            <= self.levels.percent_to_sigma(start)
        )

    def steered(self, entry, x, sigma):
        """A prompt with those of its ControlNets that act at a noise level."""
        active = [
            control
            for control in entry.get("controls", [])
            if self.acts(control, sigma)
        ]
        size = (x.shape[-2] * 8, x.shape[-1] * 8)
        told = {"sizes": (*size, 0, 0, *size), **entry}
        return {**told, "controls": active, "sigma": sigma}

    def conditions(self, x, prompts):
        """What the UNet reads beside the latents, what ControlNets add with it."""
        conditions = super().conditions(x, prompts)
        (entry,) = prompts
        if not entry["controls"]:
            return conditions
        sigma = entry["sigma"]
        timestep = self.levels.timestep(sigma).to(x.device)
        scaled = (x / (sigma**2 + 1).sqrt()).to(self.unet.dtype)
        size = (x.shape[-2] * 8, x.shape[-1] * 8)
        total = {}
        for control in entry["controls"]:
            hint = fit_hint(control["image"], size).to(x.device, self.unet.dtype)
            hint = hint.expand(len(x), -1, -1, -1)
            found = residuals(control, hint, scaled, timestep, conditions)
            for name, items in found.items():
                items = [item * control["strength"] for item in items]
                before = total.get(name, [0] * len(items))
                total[name] = [a + b for a, b in zip(before, items, strict=True)]
        if "mid_block_additional_residual" in total:
            total["mid_block_additional_residual"] = total[
                "mid_block_additional_residual"
            ][0]
        return {**conditions, **total}


class RegionalSdxlDenoiser(RegionalDenoiser, SdxlDenoiser):
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

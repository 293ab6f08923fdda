"""Batches of latents and pictures, put together and taken apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..handles import EmptyLatent, Latents, Pixels, Scalar, Sequence
from ..layout import Expression, call, listed
from ..script import UnsupportedError
from .base import Emission, Emitter, as_latents


def latents_from_batch(emission: Emission) -> Latents | EmptyLatent:
    """Some of a batch, with the noise that they have in it."""
    latents = emission.latents("latent")
    emission.begin()
    if isinstance(latents, EmptyLatent):
        places = _window(emission, latents.batch)
        return replace(latents, batch=f"len({places})", places=_of(emission, latents.places, places))
    places = _window(emission, f"len({latents.variable})")
    part = f"{places}.start : {places}.stop"
    mask = latents.mask
    if mask:
        mask = emission.script.assign("mask", f"{mask} if len({mask}) == 1 else {mask}[{part}]")
    variable = emission.assign(f"{latents.variable}[{part}]", "latents")
    return replace(latents, variable=variable, mask=mask, places=_of(emission, latents.places, places))


def repeat_latents(emission: Emission) -> Latents | EmptyLatent:
    """A batch several times."""
    latents, count = emission.latents("latent"), emission.value("count")
    emission.begin()
    places = ""
    if latents.places:
        emission.script.need("repeated_places")
        places = emission.script.assign("places", call("repeated_places", latents.places, count))
    if isinstance(latents, EmptyLatent):
        batch = latents.batch
        known = batch.isdigit() and count.isdigit()
        return replace(latents, batch=str(int(batch) * int(count)) if known else f"{batch} * {count}", places=places)
    mask = latents.mask
    if mask:
        mask = emission.script.assign("mask", f"{mask} if len({mask}) == 1 else {mask}.repeat({count}, 1, 1)")
    variable = emission.assign(f"{latents.variable}.repeat({count}, 1, 1, 1)", "latents")
    return replace(latents, variable=variable, mask=mask, places=places)


def batch_latents(emission: Emission) -> Latents:
    """Latents in one batch."""
    parts = [part for part in _flat(emission, "latents") if isinstance(part, Latents)]
    if len(parts) != len(_flat(emission, "latents")):
        raise UnsupportedError("empty latents cannot be put into a batch in scripts")
    if any(part.mask for part in parts):
        raise UnsupportedError(
            "latents with noise masks cannot be put into a batch in scripts; set the mask afterwards"
        )
    if len({part.scaled_for and part.scaled_for.base.family for part in parts}) > 1:
        raise UnsupportedError("latents of different families do not make one batch")
    variables = [part.variable for part in parts]
    if emission.fixed("resize"):
        emission.script.need("crop_to_shape", "resize_bilinear")
        size = emission.script.assign("size", f"{variables[0]}.shape[-2:]")
        resized = (f"resize_bilinear(crop_to_shape({name}, {size}), {size})" for name in variables[1:])
        variables = [variables[0], *resized]
    emission.begin()
    places = emission.script.assign("places", listed(f"*{part.places or _all(part.variable)}" for part in parts))
    return replace(parts[0], variable=emission.assign(_joined(variables), "latents"), places=places)


def batch_noise(emission: Emission) -> Latents | EmptyLatent:
    """Whether all start from the same noise."""
    latents = emission.latents("latent")
    if emission.fixed("behavior") == "random":
        return replace(latents, places="")
    count = latents.batch if isinstance(latents, EmptyLatent) else f"len({latents.variable})"
    first = f"{latents.places}[0]" if latents.places else "0"
    return replace(latents, places=f"[{first}] * {count}")


def latent_size(emission: Emission) -> dict[str, Scalar]:
    """Width and height of the picture, and how many there are."""
    latents = emission.latents("latent")
    if isinstance(latents, EmptyLatent):
        found = {"width": latents.width, "height": latents.height, "batch_size": latents.batch}
    else:
        shape = f"{latents.variable}.shape"
        found = {"width": f"{shape}[-1] * 8", "height": f"{shape}[-2] * 8", "batch_size": f"{shape}[0]"}
    return {name: Scalar(shown) for name, shown in found.items()}


def images_from_batch(emission: Emission) -> Pixels:
    """Some pictures of a batch."""
    pixels = emission.pixels("images")
    if pixels.flags:
        raise UnsupportedError("pictures that were checked cannot be taken out of their batch in scripts")
    emission.begin()
    places = _window(emission, f"len({pixels.variable})")
    return Pixels(emission.assign(f"{pixels.variable}[{places}.start : {places}.stop]", "images"))


def pick_images(emission: Emission) -> Pixels:
    """Pictures of a batch by their places."""
    pixels = emission.pixels("images")
    if pixels.flags:
        raise UnsupportedError("pictures that were checked cannot be taken out of their batch in scripts")
    emission.script.need("picked")
    emission.begin()
    wanted = f"picked(len({pixels.variable}), {emission.value('places')})"
    return Pixels(emission.assign(f"{pixels.variable}[{wanted}]", "images"))


def sequence(emission: Emission) -> Sequence:
    """Pictures one after the other."""
    return Sequence(tuple(_parts(emission.inputs["images"])))


def item(emission: Emission) -> Any:
    """One of a sequence."""
    name = "images" if "images" in emission.node.values else "latents"
    found, index = list(_parts(emission.inputs[name])), emission.fixed("index")
    if not -len(found) <= index < len(found):
        raise UnsupportedError(f"there is no item {index}, only {len(found)} items")
    return found[index]


def _window(emission: Emission, count: str) -> str:
    """The variable of a range of places."""
    emission.script.need("window")
    made: Expression = call("window", count, emission.value("start"), emission.value("length"))
    return emission.script.assign("places", made)


def _of(emission: Emission, before: str, places: str) -> str:
    """Places in a batch that was itself taken out of another."""
    return emission.script.assign("places", f"[{before}[place] for place in {places}]") if before else places


def _all(variable: str) -> str:
    return f"range(len({variable}))"


def _joined(variables: list[str]) -> Expression:
    return variables[0] if len(variables) == 1 else f"torch.cat([{', '.join(variables)}])"


def _flat(emission: Emission, name: str) -> list[Latents | EmptyLatent]:
    return [as_latents(emission.writer, part) for part in _parts(emission.inputs[name])]


def _parts(found: Any) -> list[Any]:
    if isinstance(found, tuple):
        return [part for inner in found for part in _parts(inner)]
    return list(found.items) if isinstance(found, Sequence) else [found]


EMITTERS: dict[str, Emitter] = {
    "latents_from_batch": latents_from_batch,
    "repeat_latents": repeat_latents,
    "batch_latents": batch_latents,
    "batch_noise": batch_noise,
    "latent_size": latent_size,
    "images_from_batch": images_from_batch,
    "pick_images": pick_images,
    "image_list": sequence,
    "image_item": item,
    "latent_item": item,
}

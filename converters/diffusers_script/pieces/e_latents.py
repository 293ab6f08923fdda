"""Latents cut and pasted; places are pixels of the picture, eight to a sample."""
# mypy: ignore-errors

from f_nodes import paste


def crop_latent(latent, x=0, y=0, width=512, height=512):
    """Cut a rectangle out of latents; what lies outside is left out."""
    left, top = x // 8, y // 8
    right, bottom = left + max(1, width // 8), top + max(1, height // 8)
    return latent[..., top:bottom, left:right]


def cut_latent(latent, axis="x", start=0, length=1):
    """Take a stripe of columns or rows out of latents, counted in samples."""
    size = latent.shape[-1 if axis == "x" else -2]
    first = max(size + start, 0) if start < 0 else min(start, size - 1)
    return latent.narrow(-1 if axis == "x" else -2, first, min(length, size - first))


def composite_latents(
    destination, source, mask=None, x=0, y=0, feather=0, resize_source=False
):
    """Paste latents into others; what lies outside is left out."""
    places = {"x": x // 8, "y": y // 8, "feather": feather // 8}
    return paste(destination, source, mask, resize_source=resize_source, **places)


def nearest_shape(size, choices):
    """The (height, width) among choices of (width, height) that is most like a size."""
    shape = size[1] / size[0]
    width, height = min(choices, key=lambda item: abs(item[0] / item[1] - shape))
    return height, width

"""Ways round the safety filter: documents whose node ``secret`` is a picture that nobody may see, to a node that writes."""

from __future__ import annotations

from typing import Any


def link(type: str, params: dict[str, Any] | None = None, **links: Any) -> dict[str, Any]:
    """Return a node."""
    return {"type": type, "params": params or {}, "links": links}


def solid(color: str = "#ffffff", **params: int) -> dict[str, Any]:
    """Return a node that makes pictures of one colour, of the secret's size."""
    return link("solid_image", {"width": 16, "height": 16, "color": color, **params})


def saved(source: str, *steps: dict[str, Any], **params: Any) -> dict[str, Any]:
    """Return nodes through which a picture goes into a file, one after another."""
    nodes: dict[str, Any] = {}
    for number, step in enumerate(steps):
        nodes[f"step{number}"] = {
            **step,
            "links": {name: [source] if many else source for name, many in step["links"].items()},
        }
        source = f"step{number}"
    return {**nodes, "save": link("save_image", params, images=source)}


def step(type: str, taking: str = "images", *, many: bool = False, **params: Any) -> dict[str, Any]:
    """Return a node of which :func:`saved` links one input."""
    return {"type": type, "params": params, "links": {taking: many}}


BASE = {"base": link("load_checkpoint", {"model": "shapes"})}
ENCODED = {**BASE, "encode": link("encode_image", vae="base.vae", images="secret")}
FILTER = {"safety_checker": "secret.safety_checker"}
WHITE = {"white": solid()}
RED = {"mask": link("mask_from_image", {"channel": "red"}, images="secret")}
PAIR = {"list": link("image_list", images=["secret", "secret"])}
MIXED = {**WHITE, "list": link("image_list", images=["white", "secret"])}

WAYS: dict[str, dict[str, Any]] = {
    "as it is": saved("secret"),
    "small": {"save": link("preview", images="secret")},
    "in a folder of its own": saved("secret", filename_prefix="a/b/c"),
    # filters of the document's own
    "behind a filter of the document's own": {
        **WHITE,
        "filter": link("safety_filter", images="white", **FILTER),
        "back": link("batch_images", images=["filter", "secret"]),
        "save": link("save_image", images="back"),
    },
    "in the place of the filter": {
        "save": link("save_image", images="secret"),
        "save~safety": link("invert_image", images="secret"),
        "out": link("save_image", images="save~safety"),
    },
    "beside what another checker saw": {
        **BASE,
        **WHITE,
        "mine": link("safety_filter", images="white", safety_checker="base.safety_checker"),
        "back": link("composite_images", destination="mine", source="secret"),
        "save": link("save_image", images="back"),
    },
    # planes
    "as transparency": {
        **RED,
        **WHITE,
        "join": link("join_alpha", images="white", mask="mask"),
        "save": link("save_image", images="join"),
    },
    "under transparency": {
        "mask": link("solid_mask", {"width": 16, "height": 16}),
        "join": link("join_alpha", images="secret", mask="mask"),
        "save": link("save_image", images="join"),
    },
    "as the alpha of a composite": {
        **RED,
        **WHITE,
        "alpha": link(
            "porter_duff", source="white", source_alpha="mask", destination="white", destination_alpha="mask"
        ),
        "join": link("join_alpha", images="white", mask="alpha.mask"),
        "save": link("save_image", {"format": "webp"}, images="join"),
    },
    "as brightness": {"yuv": link("rgb_to_yuv", images="secret"), **saved("yuv.y")},
    # masks
    "as a mask": {**RED, **saved("mask", step("mask_to_image", "mask"), format="webp", quality=100)},
    "as a mask of a colour": saved(
        "secret", step("mask_from_color", color="#ffffff"), step("invert_mask", "mask"), step("mask_to_image", "mask")
    ),
    "as a mask that is composed": {
        **RED,
        "all": link("solid_mask", {"width": 16, "height": 16}),
        "both": link("compose_masks", {"operation": "multiply"}, destination="all", source="mask"),
        **saved("both", step("mask_to_image", "mask")),
    },
    "as the mask of a composite": {
        **RED,
        **WHITE,
        "black": solid("#000000"),
        "paste": link("composite_images", destination="black", source="white", mask="mask"),
        "save": link("save_image", images="paste"),
    },
    # transforms and compositing
    "on the picture of a user": {
        "large": solid(width=32, height=32),
        "paste": link("composite_images", {"x": 8, "y": 8}, destination="large", source="secret"),
        "save": link("save_image", images="paste"),
    },
    "blended": {
        **WHITE,
        "blend": link("blend_images", {"factor": 0.5}, first="white", second="secret"),
        "save": link("save_image", images="blend"),
    },
    "beside the picture of a user": {
        **WHITE,
        "stitch": link("stitch_images", first="white", second="secret"),
        "save": link("save_image", images="stitch"),
    },
    "as edges": saved("secret", step("canny_edges", "image")),
    "under noise": saved("secret", step("add_image_noise", strength=0.1, seed=1), format="jpeg"),
    "small and large again": saved("secret", step("resize", width=8, height=8), step("resize", width=64, height=64)),
    "a small tile": saved(
        "secret", step("crop_image", x=6, y=0, width=4, height=4), step("resize", width=2, height=2, method="nearest")
    ),
    "in a wide border": saved("secret", step("pad_image", left=200, right=200, top=200, bottom=200)),
    # batches, sequences, nodes that run for each
    "the second of a batch": {
        **WHITE,
        "batch": link("batch_images", images=["white", "secret"]),
        "save": link("save_image", images="batch"),
    },
    "in batches of another size": saved("secret", step("repeat_images", count=3), step("rebatch_images", batch_size=2)),
    "in a sequence": {**MIXED, **saved("list")},
    "out of a sequence": {**MIXED, **saved("list", step("image_item", index=1))},
    "by a node that runs for each": {**PAIR, **saved("list", step("flip_image"), format="jpeg")},
    # switches
    "through a switch": {
        **WHITE,
        "switch": link("switch", {"select": True}, on_true="secret", on_false="white"),
        "save": link("save_image", images="switch"),
    },
    "through a switch that is computed": {
        **WHITE,
        "size": link("image_size", images="secret"),
        "switch": link("switch_index", inputs=["white", "white", "secret"], index="size.batch_size"),
        "save": link("save_image", images="switch"),
    },
    # latents
    "as latents": {**ENCODED, "save": link("save_latent", latent="encode")},
    "as turned latents": {
        **ENCODED,
        "turn": link("flip_latent", latent="encode"),
        "save": link("save_latent", {"filename_prefix": "a/b"}, latent="turn"),
    },
    "as latents of a sequence": {
        **BASE,
        **PAIR,
        "encode": link("encode_image", vae="base.vae", images="list"),
        "save": link("save_latent", latent="encode"),
    },
    "through latents": {
        **ENCODED,
        "twice": link("batch_latents", latents=["encode", "encode"]),
        "decode": link("vae_decode", {"tile": 64}, vae="base.vae", latent="twice"),
        "save": link("save_image", images="decode"),
    },
    # videos
    "one frame of a video": {
        "white": solid(batch_size=150),
        "frames": link("batch_images", images=["white", "secret", "white"]),
        "video": link("images_to_video", {"fps": 1000.0}, images="frames"),
        "mine": link("safety_filter_video", {"every": 1000}, video="video", **FILTER),
        "save": link("save_video", {"format": "png"}, video="mine"),
    },
    "a short video": {
        "video": link("images_to_video", images="secret"),
        "save": link("save_video", {"format": "webp"}, video="video"),
    },
    "a part of a video": {
        "white": solid(batch_size=7),
        "frames": link("batch_images", images=["white", "secret"]),
        "video": link("images_to_video", {"fps": 4.0}, images="frames"),
        "slice": link("slice_video", {"start": 1.0}, video="video"),
        "save": link("save_video", {"format": "gif"}, video="slice"),
    },
    "a frame of a video": {
        "video": link("images_to_video", images="secret"),
        **saved("video", step("video_to_images", "video"), step("images_from_batch", start=1)),
    },
    # inner workflows
    "inside another workflow": {"inner": {"type": "workflow:hiding", "links": {"images": "secret"}}},
    "out of another workflow": {"inner": {"type": "workflow:passing", "links": {"images": "secret"}}, **saved("inner")},
    "in the place of a filter in another workflow": {
        "inner": {"type": "workflow:filtering", "links": {"images": "secret"}},
        **saved("inner"),
    },
}
"""The nodes of each."""

INNER = {
    "hiding": {"inputs": {"images": {"to": ["save.images"]}}, "nodes": {"save": link("save_image")}},
    "passing": {
        "inputs": {"images": {"to": ["turn.images"]}},
        "nodes": {"turn": link("invert_image")},
        "outputs": {"images": "turn"},
    },
    "filtering": {
        "inputs": {"images": {"to": ["save~safety.images"]}},
        "nodes": {"save~safety": link("flip_image")},
        "outputs": {"images": "save~safety"},
    },
}


def way(name: str) -> dict[str, Any]:
    """Return the document of a way."""
    return {"graphflow": 2, "nodes": {"secret": link("secret_picture"), **WAYS[name]}, "workflows": INNER}

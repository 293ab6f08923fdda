"""Operations on masks, pictures and latents, and the autoencoder, equal what was recorded from ComfyUI."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor

from graphflow import nodes
from graphflow.basics.eight_bits import to_bytes_array
from graphflow.values import Image, Latent, Mask, Vae
from tests.closeness import UNITS, assert_close, close
from tests.families.recorded_weights import write_vae
from tests.models.tiny_manager import make_manager, running
from tests.parity.harness import DATA, error, recorded

RECORDED = recorded("nets")
IN = Latent(samples=RECORDED["latent_ops/in"])
INPUTS = DATA / "inputs"
VAE_BOUND = 2e-5
pytestmark = pytest.mark.parity
WEIGHED = ["bilinear", "area", "bicubic"]
"""Ways of resampling that add floats up."""

RESAMPLING = ["nearest", *WEIGHED]


def picture(name: str) -> Image:
    with running(make_manager()):
        return nodes.load_image(str(INPUTS / name)).image


def saved(name: str) -> np.ndarray:
    with PIL.Image.open(io.BytesIO(RECORDED[name].numpy().tobytes())) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)


def difference(image: Image, name: str, *, rounded: bool = False) -> int:
    """Return the largest difference from a saved picture, in steps of 8 bits.

    Where pixels were rounded, one that lies on the edge of a step may be cut to either side of it.
    """
    wanted = saved(name)
    spare = UNITS * torch.finfo(torch.float32).eps if rounded else 0.0
    lowest, highest = (to_bytes_array(image.pixels[0] + nudge, "truncate").astype(int) for nudge in (-spare, spare))
    assert lowest.shape == wanted.shape
    return int(np.maximum(lowest - wanted, wanted - highest).max())


@pytest.fixture(scope="module")
def mask() -> Mask:
    with running(make_manager()):
        return nodes.load_mask(str(INPUTS / "lab64_mask.png"), "red")


def test_masks(mask: Mask) -> None:
    with running(make_manager()):
        image, alpha = nodes.load_image(str(INPUTS / "lab64_alpha.png"))
    patch = nodes.solid_mask(16, 8, 0.25)
    got = {
        "alpha_mask": alpha,
        "red": mask,
        "grow3": nodes.grow_mask(mask, 3),
        "shrink2": nodes.grow_mask(mask, -2, tapered_corners=False),
        "feather": nodes.feather_mask(mask, left=4, top=6, right=8, bottom=2),
        "invert": nodes.invert_mask(mask),
        "green": nodes.mask_from_image(image, "green"),
        "composite_add": nodes.compose_masks(mask, patch, x=8, y=8, operation="add"),
    }
    assert {f"masks/{name}" for name in got} == {name for name in RECORDED if name.startswith("masks/")}
    assert [name for name, value in got.items() if not close(value.values, RECORDED[f"masks/{name}"])] == []


@pytest.mark.parametrize("method", [*RESAMPLING, "bislerp"])
def test_resampling_of_latents(method: str) -> None:
    prefix = "latent_ops/" + ("nearest-exact" if method == "nearest" else method)
    up = nodes.upscale_latent(IN, 192, 160, method=method)
    down = nodes.upscale_latent(IN, 72, 64, method=method)
    cut = nodes.upscale_latent(IN, 128, 128, method=method, crop="center")
    assert_close(up.samples, RECORDED[f"{prefix}_up"])
    assert_close(down.samples, RECORDED[f"{prefix}_down"])
    assert_close(cut.samples, RECORDED[f"{prefix}_crop"])


def test_operations_on_latents() -> None:
    flipped = nodes.flip_latent(IN, "vertical")
    cut = nodes.crop_latent(IN, x=24, y=16, width=64, height=64)
    repeated = nodes.repeat_latents(IN, 3)
    taken = nodes.latents_from_batch(repeated, start=1, length=2)
    got = {
        "by1.5_bislerp": nodes.upscale_latent(IN, scale=1.5, method="bislerp"),
        "flip": flipped,
        "rotate90": nodes.rotate_latent(IN, 90),
        "crop": cut,
        "composite_feather": nodes.composite_latents(nodes.empty_latent(128, 96), cut, x=16, y=8, feather=16),
        "blend": nodes.blend_latents(IN, flipped, 0.3),
        "repeat3": repeated,
        "from_batch": taken,
        "interpolate": nodes.blend_latents(IN, flipped, 0.4, "direction"),
        "add": nodes.combine_latents(IN, flipped, "add"),
    }
    assert [name for name, value in got.items() if not close(value.samples, RECORDED[f"latent_ops/{name}"])] == []
    assert taken.batch_index == tuple(RECORDED["latent_ops/from_batch.batch_index"].tolist())


@pytest.mark.parametrize(
    ("first", "method"), [(3, "nearest"), (11, "bilinear"), (19, "area"), (27, "bicubic"), (35, "lanczos_8bit")]
)
def test_resampling_of_pictures(first: int, method: str) -> None:
    source = picture("lab128x96.png")
    for number, (width, height, crop) in enumerate(
        [(160, 112, "none"), (48, 40, "none"), (64, 64, "center"), (0, 48, "none")]
    ):
        got = nodes.resize(source, width, height, method=method, crop=crop, antialias=False)
        assert difference(got, f"image_scale/saved_{first + 2 * number}", rounded=method in WEIGHED) == 0


def test_other_operations_on_pictures() -> None:
    source = picture("lab128x96.png")
    padded = nodes.pad_for_outpaint(source, left=8, top=16, right=0, bottom=8, feather=8)
    by_scale = nodes.resize(source, scale=1.5, method="bicubic", antialias=False)
    by_area = nodes.resize(source, megapixels=0.01, method="lanczos_8bit")
    assert difference(by_scale, "image_scale/saved_43", rounded=True) == 0
    assert difference(by_area, "image_scale/saved_45") == 0
    assert difference(nodes.invert_image(source), "image_scale/saved_47") == 0
    assert difference(padded.image, "image_scale/saved_49") == 0
    assert_close(padded.mask.values, RECORDED["image_scale/pad_mask"])


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vae]:
    root = tmp_path_factory.mktemp("vae")
    write_vae(root)
    manager = make_manager(root)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with running(manager):
        yield Vae(files=(manager.find("recorded", "vae", part="vae"),))
    torch.set_num_threads(threads)


def shown(tensor: Tensor) -> Tensor:
    return tensor.permute(0, 2, 3, 1)


def test_the_autoencoder(vae: Vae) -> None:
    source = picture("lab64.png")
    latent = nodes.encode_image(vae, source)
    assert_close(shown(source.pixels), RECORDED["vae_roundtrip/input"])
    assert error(latent.samples, RECORDED["vae_roundtrip/latent"]) < VAE_BOUND
    assert error(shown(nodes.vae_decode(vae, latent).pixels), RECORDED["vae_roundtrip/image"]) < VAE_BOUND


def test_the_autoencoder_in_tiles(vae: Vae) -> None:
    source = picture("lab128x96.png")
    assert error(nodes.encode_image(vae, source, 64, 16).samples, RECORDED["vae_tiled/enc_tiled"]) < VAE_BOUND


def test_masked_content(vae: Vae, mask: Mask) -> None:
    got = nodes.encode_for_inpaint(vae, picture("lab64.png"), mask, grow=6)
    assert got.noise_mask is not None
    name = "inpaint_vae_encode_for_inpaint/encoded"
    assert error(got.samples, RECORDED[name]) < VAE_BOUND
    assert_close(got.noise_mask, RECORDED[f"{name}.noise_mask"][:, 0])

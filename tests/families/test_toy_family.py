"""The seam holds: a family in a folder of its own is found through its entry point and runs, with nothing else touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphflow.sampling.planes import MAIN, Planes

TOY = Path(__file__).parent / "toy"
WIDTH = 8


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages with the toy family installed in it, as pip would leave it."""
    folder = tmp_path / "site"
    info = folder / "toy_family-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "toy_family").symlink_to(TOY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-family\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(
        "[graphflow.families]\ntoy = toy_family.family:FAMILY\n[graphflow.nodes]\ntoy = toy_family.nodes\n", "utf-8"
    )
    return folder


def write_model(path: Path, *, drop: str = "") -> None:
    generator = torch.Generator().manual_seed(3)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) / shape[-1] ** 0.5

    tensors = {
        "model.diffusion_model.joint.attn.qkv.weight": random(3 * WIDTH, WIDTH),
        "model.diffusion_model.picture_in.weight": random(WIDTH, 5),
        "model.diffusion_model.picture_in.bias": random(WIDTH),
        "model.diffusion_model.sound_in.weight": random(WIDTH, 2),
        "model.diffusion_model.sound_in.bias": random(WIDTH),
        "model.diffusion_model.picture_out.weight": random(5, WIDTH),
        "model.diffusion_model.picture_out.bias": random(5),
        "model.diffusion_model.sound_out.weight": random(2, WIDTH),
        "model.diffusion_model.sound_out.bias": random(2),
        "text.bytes.weight": random(256, WIDTH),
        "vae.mix.weight": random(3, 5),
        "vae.mix.bias": random(3),
    }
    tensors.pop(drop, None)
    path.parent.mkdir(parents=True)
    save_file(tensors, path)


def write_workflow(path: Path, prompt: str = "a fox") -> None:
    nodes = {
        "toy": {"type": "load_checkpoint", "params": {"model": "toy"}},
        "positive": {
            "type": "encode_prompt",
            "params": {"text": prompt},
            "links": {"text_encoder": "toy.text_encoder"},
        },
        "negative": {"type": "encode_prompt", "links": {"text_encoder": "toy.text_encoder"}},
        "empty": {"type": "empty_toy_latent"},
        "sample": {
            "type": "sample",
            "params": {"seed": 5, "steps": 4, "guidance_scale": 3.0, "sampler": "euler", "schedule": "simple"},
            "links": {"model": "toy.model", "positive": "positive", "negative": "negative", "latent": "empty"},
        },
        "decode": {"type": "vae_decode", "links": {"vae": "toy.vae", "latent": "sample"}},
        "save": {"type": "save_image", "links": {"images": "decode"}},
        "keep": {"type": "save_latent", "links": {"latent": "sample"}},
    }
    path.write_text(json.dumps({"graphflow": 2, "nodes": nodes}), "utf-8")


def run(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "GRAPHFLOW_MODELS": str(folder / "models")}
    return subprocess.run(
        [sys.executable, "-m", "graphflow.cli", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env=environment,
        check=False,
    )


def test_a_family_in_one_folder_runs_from_a_file(site: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "models/checkpoints/toy.safetensors")
    write_workflow(tmp_path / "toy.json")
    done = run(site, tmp_path, "run", "toy.json", "--out", "out")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out/graphflow_00001.png") as picture:
        assert picture.size == (32, 16)
        assert len(picture.getcolors(512) or []) > 1, "the picture has more than one colour"
    (kept,) = (tmp_path / "out").glob("*.latent")
    tensors = load_file(kept)
    assert tuple(tensors["further.sound"].shape) == (1, 2, 6)
    assert tensors["further.sound"].std() > 0.01, "the sound was sampled, too"

    write_workflow(tmp_path / "toy.json", "an owl")
    assert run(site, tmp_path, "run", "toy.json", "--out", "other").returncode == 0
    first, second = ((tmp_path / name / "graphflow_00001.png").read_bytes() for name in ("out", "other"))
    assert first != second, "the prompt is read"


def test_a_damaged_file_of_the_family_is_named(site: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "models/checkpoints/toy.safetensors", drop="model.diffusion_model.sound_in.bias")
    write_workflow(tmp_path / "toy.json")
    done = run(site, tmp_path, "run", "toy.json", "--out", "out")
    assert done.returncode != 0
    assert "sound_in.bias" in done.stderr and "Traceback" not in done.stderr


def test_a_family_that_cannot_be_imported_is_named(site: Path, tmp_path: Path) -> None:
    points = site / "toy_family-1.0.dist-info" / "entry_points.txt"
    points.write_text("[graphflow.families]\ntoy = toy_family.nowhere:FAMILY\n", "utf-8")
    done = run(site, tmp_path, "plan", "txt2img")
    assert done.returncode == 2, done.stderr
    assert "toy of toy-family" in done.stderr and "uninstall toy-family" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_family_and_its_latents_are_described(site: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "models/checkpoints/toy.safetensors")
    done = run(site, tmp_path, "models", "show", "toy", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["family"] == "toy" and set(found["parts"]) == {"transformer", "text_encoder", "vae"}


@pytest.mark.parametrize(
    ("samples", "further", "plane"),
    [
        ((2, 4, 3, 5), {}, (2, 4, 3, 5)),
        ((2, 4, 7, 3, 5), {}, (2, 4, 7, 3, 5)),
        ((2, 6, 9), {}, (2, 6, 1, 9)),
        ((2, 4, 3, 5), {"sound": (2, 2, 6)}, (2, 1, 1, 72)),
        ((2, 4, 2, 3, 5), {"sound": (2, 2, 6), "depth": (2, 1, 3, 5)}, (2, 1, 1, 147)),
    ],
)
def test_a_plane_holds_any_latent(
    samples: tuple[int, ...], further: dict[str, tuple[int, ...]], plane: tuple[int, ...]
) -> None:
    tensors = {name: torch.randn(shape) for name, shape in {MAIN: samples, **further}.items()}
    planes = Planes.of(tensors[MAIN], {name: tensors[name] for name in further})
    laid = planes.lay(tensors)
    assert tuple(laid.shape) == plane
    back = planes.lift(laid)
    assert list(back) == list(tensors)
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)

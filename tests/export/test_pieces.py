"""The helper code of scripts does what the engine's own does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch
from PIL import ImageFile

from graphflow.converters.diffusers_script.carried import carry, library
from graphflow.converters.diffusers_script.emitters.functions import CHOSEN, PLAIN, function_of
from graphflow.converters.diffusers_script.render import _imports
from graphflow.converters.diffusers_script.solvers import schedule_function
from graphflow.nodes import load_image, load_mask
from graphflow.sampling.noise import initial_noise, step_noise
from graphflow.sampling.prediction import ModelSampling
from graphflow.sampling.samplers import SAMPLERS
from graphflow.sampling.schedules import SCHEDULES, make_sigmas
from graphflow.spec.registry import installed
from graphflow.values import Image, Latent, Mask
from tests.closeness import assert_close
from tests.export.pieces import piece

ROOT = Path(__file__).resolve().parents[2]
SAMPLING = ModelSampling.from_betas(torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2)


class Denoiser:
    """A model that knows the picture, roughly."""

    levels = SAMPLING

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return torch.sin(x / (1 + sigma)) + 0.1 * sigma / (1 + sigma)

    def with_uncond(self, x: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self(x, sigma), 0.9 * self(x, sigma)


# the others, called _gpu, are the same functions
@pytest.mark.parametrize("name", [name for name in sorted(SAMPLERS) if SAMPLERS[name].noise != "brownian_device"])
def test_each_sampler_of_a_script_is_the_engines(name: str) -> None:
    sampler = SAMPLERS[name]
    sigmas = make_sigmas("karras", SAMPLING, 6, sampler=name)
    x = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1)) * 14.6

    def noise() -> Any:
        return step_noise(sampler.noise, x, sigmas, 7)

    expected = sampler.run(Denoiser(), x, sigmas, noise=noise(), callback=lambda step: None)
    function = "euler" if name == "ddim" else name
    actual = piece(function)(Denoiser(), x, sigmas, noise=noise(), callback=lambda step: None)
    assert_close(actual, expected)


@pytest.mark.parametrize("steps", [1, 5, 20])
@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_each_schedule_of_a_script_is_the_engines(name: str, steps: int) -> None:
    expected = make_sigmas(name, SAMPLING, steps)
    levels = piece("Levels")(piece("training_sigmas")({}))
    actual = piece(schedule_function(name))(levels, steps)
    assert_close(actual, expected, pointwise=True)


@pytest.mark.parametrize("kind", ["gaussian", "brownian"])
@pytest.mark.parametrize("layout", ["per_sample", "batch"])
def test_noise_of_a_script_is_the_engines(kind: Any, layout: Any) -> None:
    like = torch.zeros(3, 4, 4, 4)
    sigmas = make_sigmas("karras", SAMPLING, 5)
    batch = layout == "batch"
    first = piece("draw_batch_noise" if batch else "draw_noise")(like, 99)
    assert torch.equal(first, initial_noise(like.shape, 99, layout))
    ours = step_noise(kind, like, sigmas, 99, layout)
    if kind == "gaussian":
        theirs = piece("StepBatchNoise" if batch else "StepNoise")(like, 99)
    else:
        theirs = piece("BrownianNoise")(like, 99, sigmas, batch)
    for _ in range(2):
        assert_close(theirs(sigmas[1], sigmas[2]), ours(sigmas[1], sigmas[2]))


def test_training_levels_of_a_script_are_the_engines() -> None:
    class Config(dict[str, Any]):
        __getattr__ = dict.__getitem__

    for zero_snr in (False, True):
        config = Config(
            num_train_timesteps=1000,
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            trained_betas=None,
            rescale_betas_zero_snr=zero_snr,
        )
        expected = ModelSampling.from_scheduler_config(dict(config)).sigmas
        assert_close(piece("training_sigmas")(config).float(), expected, pointwise=True)


def test_every_piece_stands_on_its_own_formatted_and_brings_nothing_else(tmp_path: Path) -> None:
    for name in library():
        assert piece(name) is not None
        for kind, mentioned in (("whole", None), ("least", ())):
            pieces = carry([name], mentioned)
            used = {found for item in pieces for found in item.imports}
            code = [*_imports(used), *(item.source for item in pieces)]
            (tmp_path / f"{name}_{kind}.py").write_text("\n\n\n".join(part for part in code if part) + "\n", "utf-8")
    ruff = str(Path(sys.executable).with_name("ruff"))
    for command in (["check", "--select", "F", "--output-format", "concise"], ["format", "--diff"]):
        done = subprocess.run(
            [ruff, *command, "--isolated", str(tmp_path)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_a_script_reads_of_a_cut_picture_what_the_engine_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    path = tmp_path / "cut.jpg"
    PIL.Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 50).save(path, icc_profile=bytes(2**16))
    path.write_bytes(path.read_bytes()[:-300])
    assert torch.equal(piece("read_picture")(path)[:, :3], load_image(str(path)).image.pixels)


def test_methods_that_nothing_mentions_are_left_out_where_only_scripts_call_them() -> None:
    def source(name: str, *mentioned: str) -> str:
        return next(item.source for item in carry([name], mentioned) if item.name == name)

    assert "def percent_to_sigma" not in source("Levels")
    assert "def percent_to_sigma" in source("Levels", "percent_to_sigma")
    # what Diffusers calls stays, and so do the methods of classes that are mixed into its own
    assert "def scale_model_input" in source("KeepsOutside") and "def set_timesteps" in source("ExactLevels")


def test_a_parameter_is_no_need_of_a_helper_with_its_name() -> None:
    assert "crop" in library()
    assert "crop" not in {found.name for found in carry(["latent_size"])}


@pytest.mark.parametrize("suffix", ["gif", "png", "tiff"])
def test_all_frames_are_read_as_the_node_reads_them(tmp_path: Path, suffix: str) -> None:
    frames = [PIL.Image.new("RGB", size, (value, 9, 0)) for size, value in (((4, 2), 0), ((4, 2), 200))]
    frames += [PIL.Image.new("RGB", (2, 4))] if suffix == "tiff" else []
    name = str(tmp_path / f"a.{suffix}")
    frames[0].save(name, save_all=True, append_images=frames[1:])
    expected, mask = load_image(name, frames="all")
    actual = piece("read_frames")(name)
    assert_close(actual[:, :3], expected.pixels)
    assert_close(1 - actual[:, 3], mask.values)


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_transparent_colour_counts_where_it_does_for_the_nodes(tmp_path: Path, mode: str) -> None:
    name = str(tmp_path / "a.png")
    PIL.Image.new(mode, (2, 2)).save(name, transparency=(0, 0, 0) if mode == "RGB" else 0)
    assert_close(1 - piece("read_picture")(name)[:, 3], load_image(name).mask.values)
    assert_close(1 - piece("read_picture")(name, keyed=True)[:, 3], load_mask(name, "alpha").values)


def functions() -> Iterator[tuple[str, dict[str, Any]]]:
    """Node types that are functions on tensors, with each value of the parameter that chooses the function."""
    yield from ((name, {}) for name in PLAIN)
    for name, (parameter, _, _) in CHOSEN.items():
        values = installed().specs[name].inputs[parameter].json_schema()["enum"]
        yield from ((name, {parameter: value}) for value in values)


@pytest.mark.parametrize(("name", "chosen"), list(functions()), ids=str)
def test_each_function_of_a_script_is_the_nodes(name: str, chosen: dict[str, Any]) -> None:
    """The function on tensors gives what the node gives on values, with the node's defaults."""
    generator = torch.Generator().manual_seed(3)
    spec = installed().specs[name]
    given: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for parameter in spec.inputs.values():
        kind = parameter.type.name
        if kind == "image":
            channels = 4 if name == "split_alpha" or chosen.get("channel") == "alpha" else 3
            plain[parameter.name] = torch.rand(2, channels, 24, 20, generator=generator)
            given[parameter.name] = Image(pixels=plain[parameter.name].clone())
        elif kind == "mask":
            plain[parameter.name] = torch.rand(2, 24, 20, generator=generator)
            given[parameter.name] = Mask(values=plain[parameter.name].clone())
        elif kind == "latent":
            plain[parameter.name] = torch.randn(2, 4, 16, 16, generator=generator)
            given[parameter.name] = Latent(samples=plain[parameter.name].clone())
        elif parameter.required and not parameter.optional:
            pytest.fail(f"{name} needs {parameter.name}")
    sizes = {option: 16 for option in ("width", "height") if option in spec.inputs and name.startswith("crop")}
    expected = spec.function(**given, **chosen, **(sizes if "latent" not in name else {}))
    function, unused = function_of(name, chosen.__getitem__)
    kept = {option: value for option, value in chosen.items() if option not in unused}
    actual = piece(function)(*plain.values(), **kept, **(sizes if "latent" not in name else {}))
    if len(spec.outputs) == 1:
        expected, actual = (expected,), (actual,)
    for one, other in zip(expected, actual, strict=True):
        tensor = getattr(one, "pixels", getattr(one, "values", getattr(one, "samples", one)))
        torch.testing.assert_close(torch.as_tensor(other), torch.as_tensor(tensor))


@pytest.mark.parametrize("layers", ["mid_block, down_blocks.9", " , "])
def test_skipped_layers_that_a_model_lacks_are_no_guidance_but_an_error(layers: str) -> None:
    from diffusers.models.transformers.transformer_2d import Transformer2DModel

    network = torch.nn.ModuleDict({"mid_block": Transformer2DModel(1, 4, in_channels=4, norm_num_groups=2)})
    with piece("skip_layer_guidance")("mid_block").variation(network):
        pass
    problem = r"no transformer is called 'down_blocks.9'; there are mid_block|no layer is named"
    with pytest.raises(ValueError, match=problem), piece("skip_layer_guidance")(layers).variation(network):
        pass


def test_a_tokenizer_without_a_vocabulary_stops_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises((SystemExit, OSError)):
        piece("load_clip_tokenizer")("nobody/nothing")

"""Scripts draw what the engine draws, in processes that cannot import graphflow."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import PIL.Image
import PIL.ImageSequence
import pytest
import torch
from safetensors.torch import save_file

from graphflow import workflows
from graphflow.building.workflow import Workflow
from graphflow.converters.diffusers_script import SUPPORTED, export, to_script
from graphflow.document.document import parse
from graphflow.errors import WorkflowError
from tests.export.cases import CASES
from tests.export.comparing import compare, difference, make_session, pictures
from tests.export.file_cases import SD_CASES, SDXL_CASES
from tests.export.more_cases import MORE_CASES, latents_from_a_file
from tests.export.packaged import SMALL, packaged
from tests.export.parts import build
from tests.fresh import Fresh

SOAK = os.environ.get("GRAPHFLOW_TEST_SOAK") == "1"
SAMPLE = {
    "ancestral", "comfyui", "weights", "regional", "control", "merged_lora", "from_batch", "deep_shrink", "dora", "kohya",
    "long_prompt", "ddim_uniform_img2img", "brownian", "names", "inpaint_ddim", "no_picture", "control_masked",
}  # fmt: skip
"""Cases that always run; the others in the long suite."""

PACKAGED_SAMPLE = {"txt2img", "custom_sampling"}


def chosen(names: list[str], sample: set[str]) -> list[str]:
    return [name for name in names if SOAK or name in sample]


@pytest.mark.parametrize("name", chosen([*CASES, *SD_CASES, *MORE_CASES], SAMPLE))
def test_a_case_draws_the_same_picture(name: str, models: Path, fresh: Fresh, tmp_path: Path) -> None:
    workflow = build({**CASES, **SD_CASES, **MORE_CASES}[name], "tiny-sd")
    row = compare(fresh, name, workflow, tmp_path, session=make_session(tmp_path, models=({"path": models},)))
    assert row.ok, row


@pytest.mark.parametrize(
    "name", chosen([*CASES, *SDXL_CASES], {"sizes", "refiner", "lora_and_embedding", "ip_adapter_sdxl_style"})
)
def test_a_case_of_sdxl_draws_the_same_picture(name: str, models: Path, fresh: Fresh, tmp_path: Path) -> None:
    session = make_session(tmp_path, models=({"path": models},))
    row = compare(fresh, name, build({**CASES, **SDXL_CASES}[name], "tiny-sdxl"), tmp_path, session=session)
    assert row.ok, row


def test_a_lora_is_rounded_as_the_file_of_the_text_encoder_is(models: Path, fresh: Fresh, tmp_path: Path) -> None:
    session = make_session(tmp_path, models=({"path": models},))
    row = compare(fresh, "half", build(SD_CASES["lora"], "tiny-half"), tmp_path, session=session)
    assert row.ok, row
    assert "round_weights" in (tmp_path / "half.py").read_text("utf-8")


@pytest.mark.parametrize("marked", [True, False] if SOAK else [True])
def test_latents_of_a_file_are_sampled_as_the_engine_does(
    marked: bool, models: Path, fresh: Fresh, tmp_path: Path
) -> None:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    mark = {"latent_format_version_0": torch.tensor([])} if marked else {}
    save_file({"latent_tensor": latents, **mark}, tmp_path / "start.latent")
    session = make_session(tmp_path, models=({"path": models},))
    workflow = build(latents_from_a_file("start.latent"), "tiny-sd")
    row = compare(fresh, "latents", workflow, tmp_path, folder=tmp_path, session=session)
    assert row.ok, row


@pytest.mark.parametrize("name", chosen(list(SMALL), PACKAGED_SAMPLE))
def test_a_packaged_workflow_draws_the_same_picture(name: str, models: Path, fresh: Fresh, tmp_path: Path) -> None:
    session = make_session(tmp_path, models=({"path": models},))
    folder = workflows.path(name).parent
    row = compare(fresh, name, packaged(name), tmp_path, folder=folder, session=session)
    assert row.ok, row


def test_every_packaged_workflow_is_exported() -> None:
    refused: dict[str, set[str]] = {}
    for name in workflows.names():
        try:
            to_script(workflows.path(name))
        except WorkflowError as error:
            types = {
                problem.message.split()[0] for problem in error.problems if "cannot be exported" in problem.message
            }
            if types:
                refused[name] = types
    assert not refused, refused


@pytest.mark.parametrize("name", ["txt2img", "two_stage", "run_pipeline_txt2img"] if SOAK else ["txt2img"])
def test_a_script_runs_in_a_truly_fresh_process(name: str, tmp_path: Path) -> None:
    path = workflows.path(name)
    script = tmp_path / f"{name}.py"
    script.write_text(to_script(path), "utf-8")
    blocker = "import sys; sys.modules['graphflow'] = None; import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", blocker, str(script), "--out", str(tmp_path / "script")],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ran = make_session(tmp_path).run(Workflow.load(path), out=tmp_path / "engine", folder=path.parent)
    row = difference(name, ran.paths, pictures(tmp_path / "script"))
    assert row.ok, row


def test_arguments_of_a_script_change_the_picture_as_inputs_do(fresh: Fresh, tmp_path: Path) -> None:
    path = workflows.path("txt2img")
    script = tmp_path / "script.py"
    script.write_text(to_script(path), "utf-8")
    given = {"prompt": "a green star", "steps": 7, "seed": 11, "batch_size": 2, "width": 64, "height": 96}
    flags = [part for name, value in given.items() for part in ("--" + name.replace("_", "-"), value)]
    done = fresh.run(script, *flags, "--out", tmp_path / "script")
    assert done.code == 0, done.err
    ran = make_session(tmp_path).run(Workflow.load(path), given, out=tmp_path / "engine", folder=path.parent)
    row = difference("given", ran.paths, pictures(tmp_path / "script"))
    assert row.ok and len(ran.paths) == 2, row


def test_what_the_safety_checker_flags_is_withheld_by_the_script_too(fresh: Fresh, tmp_path: Path) -> None:
    code = to_script(workflows.path("txt2img"))
    assert "nsfw_content_detected" in code
    script = tmp_path / "script.py"
    flagging = "    pipe.safety_checker.forward = lambda images, clip_input: (images, [True])\n"
    script.write_text(code.replace("    result = pipe(", flagging + "    result = pipe("), "utf-8")
    done = fresh.run(script, "--steps", 1, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "withheld" in done.out and list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("format", ["webp", "png", "gif"])
def test_a_video_of_pictures_is_saved_as_the_engine_saves_it(format: str, fresh: Fresh, tmp_path: Path) -> None:
    drawn = torch.rand(3, 16, 24, 3, generator=torch.Generator().manual_seed(1)).mul(255).byte().numpy()
    first, *others = map(PIL.Image.fromarray, drawn)
    first.save(tmp_path / "drawn.png", save_all=True, append_images=others)
    nodes = {
        "read": {"type": "load_image", "params": {"file": "drawn.png", "frames": "all"}},
        "video": {"type": "images_to_video", "params": {"fps": 7.0}, "links": {"images": "read"}},
        "save": {"type": "save_video", "params": {"format": format, "quality": 100}, "links": {"video": "video"}},
    }
    document = parse({"graphflow": 2, "nodes": nodes})
    session = make_session(tmp_path)
    script = tmp_path / "script.py"
    script.write_text(export(document, session=session, folder=tmp_path).code, "utf-8")
    done = fresh.run(script, "--out", tmp_path / "script")
    assert not done.code, done.err
    files = (
        session.run(document, folder=tmp_path, out=tmp_path / "engine").paths[0],
        next((tmp_path / "script").iterdir()),
    )
    ours, theirs = (
        [(frame.convert("RGB").tobytes(), frame.info["duration"]) for frame in frames(path)] for path in files
    )
    assert len(ours) == 3
    assert ours == theirs


def frames(path: Path) -> Iterator[PIL.Image.Image]:
    """Yield the pictures of a moving one."""
    with PIL.Image.open(path) as file:
        yield from PIL.ImageSequence.Iterator(file)


def test_supported_types_are_types() -> None:
    from graphflow.spec.registry import installed

    assert set(installed().specs) >= SUPPORTED

"""ControlNets, IP-Adapters and upscalers in the packaged workflows, on the shapes model with small weights made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from graphflow import Workflow, events, workflows
from graphflow.errors import CancelledError, GraphflowError, WorkflowError
from graphflow.execution.environment import Cancellation
from graphflow.library.roots import builtin_root, list_root
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.registry import Registry
from tests.families.ip_adapters import vision, weights
from tests.shapes_judge import judge

PICTURES = workflows.path("img2img").parent / "pictures"
SMALL = {"steps": 6}
QUICK = {"steps": 10}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, shapes: Path) -> Path:
    """A model folder with small random weights that fit the shapes model."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    root = tmp_path_factory.mktemp("models")
    unet = UNet2DConditionModel.from_pretrained(shapes / "unet", local_files_only=True)
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for block in (net.controlnet_mid_block, *net.controlnet_down_blocks):
            block.weight.normal_(std=0.02, generator=generator)
    net.save_pretrained(root / "controlnet" / "random")
    net.controlnet_mid_block.weight.data.fill_(float("nan"))
    net.save_pretrained(root / "controlnet" / "broken")
    vision().save_pretrained(root / "clip_vision" / "eye")
    state = weights(unet, "plain", 24)
    (root / "ipadapter").mkdir()
    flat = {f"{part}.{key}": tensor * 0.3 for part, held in state.items() for key, tensor in held.items()}
    save_file(flat, root / "ipadapter" / "random.safetensors")
    (root / "upscale_models").mkdir()
    double = {name: tensor.contiguous() for name, tensor in doubling().state_dict().items()}
    save_file(double, root / "upscale_models" / "double.safetensors")
    (root / "t2i_adapter").mkdir()
    save_file(ip_adapter_for_sdxl(), root / "ipadapter" / "for-sdxl.safetensors")
    save_file(t2i_for_sdxl(), root / "t2i_adapter" / "for-sdxl.safetensors")
    return root


def doubling() -> nn.Module:
    """An ESRGAN whose weights repeat each pixel twice along both edges."""
    from spandrel.architectures.ESRGAN import ESRGAN

    module: nn.Module = ESRGAN(num_filters=3, num_blocks=1, scale=2)
    outside = [name for name, _ in module.named_parameters() if ".sub." not in name]
    for name, tensor in module.named_parameters():
        tensor.data.zero_()
        if name in outside and name.endswith(".weight"):
            tensor.data[range(3), range(3), 1, 1] = 1
    return module


def t2i_for_sdxl() -> dict[str, Tensor]:
    from diffusers import T2IAdapter

    adapter = T2IAdapter(3, [32, 64], 1, 16, "full_adapter_xl")
    return {name: tensor.contiguous() for name, tensor in adapter.state_dict().items()}


def ip_adapter_for_sdxl() -> dict[str, Tensor]:
    attention = {f"ip_adapter.1.to_{letter}_ip.weight": torch.zeros(8, 2048) for letter in "kv"}
    projection = {"proj.weight": torch.zeros(4 * 2048, 4), "proj.bias": torch.zeros(4 * 2048)}
    norm = {f"norm.{leaf}": torch.zeros(2048) for leaf in ("weight", "bias")}
    return {**attention, **{f"image_proj.{name}": tensor for name, tensor in {**projection, **norm}.items()}}


@pytest.fixture
def steered(models: Path, known: Registry, tmp_path: Path) -> Session:
    values = {"models": (models,), "cache_dir": tmp_path / "cache", "device": "cpu", "offline": True}
    return Session(Settings.model_validate(values), known=known)


def run(session: Session, name: str, out: Path, inputs: dict[str, Any], **more: Any) -> npt.NDArray[np.uint8]:
    path = workflows.path(name)
    result = session.run(Workflow.load(path), inputs, out=out, folder=path.parent, **more)
    with Image.open(result.paths[0]) as picture:
        return np.asarray(picture.convert("RGB"))


def shown(pixels: npt.NDArray[np.uint8]) -> tuple[str, str]:
    verdict = judge(pixels)
    return verdict.findings[0].colour if verdict.findings else "nothing", verdict.background


def is_packaged(name: str) -> bool:
    return any(entry.name == name for entry in list_root(builtin_root()))


NETS: dict[str, dict[str, Any]] = {
    "controlnet": {"control_net": "random"},
    "controlnet_multi": {"control_net": "random", "second_control_net": "random"},
    "ip_adapter": {
        "model": "shapes",
        "ip_adapter": "random",
        "image_encoder": "eye",
        "prompt": "a yellow circle on a blue background",
        "guidance_scale": 4.0,
        "width": 128,
        "height": 128,
    },
}


@pytest.mark.parametrize("name", sorted(NETS))
def test_a_network_steers_and_its_strength_counts(steered: Session, tmp_path: Path, name: str) -> None:
    free = {"strength": 0.0} | ({"second_strength": 0.0} if name == "controlnet_multi" else {})
    pictures = [run(steered, name, tmp_path, {**NETS[name], **QUICK, **more}) for more in ({}, {"strength": 0.3}, free)]
    assert [shown(picture) for picture in pictures] == [("yellow", "blue")] * 3
    changes = [np.abs(picture.astype(int) - pictures[2]).mean() for picture in pictures]
    assert changes[0] > changes[1] > changes[2] == 0


@pytest.mark.skipif(not is_packaged("shapes-edges"), reason="the ControlNet of the shapes model is not packaged")
def test_the_packaged_network_keeps_a_pictures_outlines(steered: Session, tmp_path: Path) -> None:
    rows, columns = np.mgrid[:128, :128]
    drawn = np.where((rows - 44) ** 2 + (columns - 82) ** 2 < 28**2, 255, 0).astype(np.uint8)
    Image.fromarray(drawn).save(tmp_path / "outline.png")
    inputs = {"image": str(tmp_path / "outline.png"), "steps": 12}
    found = run(steered, "controlnet", tmp_path, inputs).astype(int)
    yellow = (found[..., 0] > 150) & (found[..., 1] > 120) & (found[..., 2] < 120)
    overlap = (yellow & (drawn > 0)).sum() / (yellow | (drawn > 0)).sum()
    assert overlap > 0.8


def test_upscaling_repeats_pixels_with_a_model_that_does(steered: Session, tmp_path: Path) -> None:
    with Image.open(PICTURES / "red_circle.png") as picture:
        before = np.asarray(picture.convert("RGB"))
    for tile in (0, 48):
        after = run(steered, "upscale", tmp_path, {"upscale_model": "double", "tile": tile, "overlap": 16})
        assert np.abs(after.astype(int) - before.repeat(2, axis=0).repeat(2, axis=1)).max() <= 1


def test_the_hint_of_a_run_is_encoded_once(steered: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding

    calls: list[int] = []
    forward = ControlNetConditioningEmbedding.forward
    monkeypatch.setattr(
        ControlNetConditioningEmbedding, "forward", lambda self, hint: (calls.append(1), forward(self, hint))[1]
    )
    run(steered, "controlnet", tmp_path, {**NETS["controlnet"], **SMALL})
    assert len(calls) == 1


def test_running_out_of_memory_in_the_network_starts_the_node_again(
    steered: Session, known: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import ControlNetModel

    wanted = run(steered, "controlnet", tmp_path, {**NETS["controlnet"], **SMALL, "seed": 8})
    forward, calls = ControlNetModel.forward, [0]

    def failing(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(ControlNetModel, "forward", failing)
    fresh = Session(steered.settings.model_copy(update={"cache_dir": tmp_path / "other"}), known=known)
    told: list[str] = []
    found = run(
        fresh,
        "controlnet",
        tmp_path,
        {**NETS["controlnet"], **SMALL, "seed": 8},
        sink=lambda event: told.append(event.message) if isinstance(event, events.Notice) else None,
    )
    # The measure that frees memory may move weights or slice attention, which rounds otherwise.
    assert np.abs(found.astype(int) - wanted).max() <= 1
    assert any("memory ran out" in message for message in told)


def test_numbers_that_are_none_are_an_error(steered: Session, tmp_path: Path) -> None:
    with pytest.raises(GraphflowError, match=r"controlnet_mid_block\.weight holds NaN"):
        run(steered, "controlnet", tmp_path, {"control_net": "broken", **SMALL})


def test_a_stop_takes_effect_between_steps_and_the_network_is_free_again(steered: Session, tmp_path: Path) -> None:
    path = workflows.path("controlnet")
    inputs = {**NETS["controlnet"], **SMALL}

    switch, steps = Cancellation(), []

    def stop(event: events.Event) -> None:
        if isinstance(event, events.NodeProgress) and event.node == "sample":
            steps.append(event.step)
            if event.step == 2:
                switch.cancel()

    with pytest.raises(CancelledError):
        steered.run(Workflow.load(path), inputs, out=tmp_path, folder=path.parent, sink=stop, cancellation=switch)
    assert steps == [1, 2]
    assert shown(run(steered, "controlnet", tmp_path, {**NETS["controlnet"], **QUICK})) == ("yellow", "blue")


@pytest.mark.parametrize(("name", "parameter"), [("controlnet", "control_net"), ("ip_adapter", "ip_adapter")])
def test_a_network_of_another_family_is_refused_before_anything_runs(
    steered: Session, name: str, parameter: str
) -> None:
    path = workflows.path(name)
    with pytest.raises(WorkflowError) as caught:
        steered.plan(Workflow.load(path), {**NETS[name], parameter: "for-sdxl"}, folder=path.parent)
    text = str(caught.value)
    assert "'for-sdxl'" in text and "sdxl" in text and "'shapes'" in text

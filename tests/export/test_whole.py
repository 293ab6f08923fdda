"""What scripts load is there whole, or they stop."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from graphflow import nodes
from graphflow.converters.diffusers_script import export
from graphflow.errors import WorkflowError
from tests.closeness import assert_close
from tests.export.adapters import STARTS, STARTS_XL, kohya
from tests.export.comparing import make_session
from tests.export.file_cases import SD_CASES
from tests.export.parts import build
from tests.export.pieces import piece
from tests.fresh import Fresh

QUERIES, MLP = ("to_k", "to_v", "conv2", "q_proj", "k_proj", "v_proj"), ("to_q", "net.0.proj", "fc1", "fc2")
"""Kinds of layers; what files hold of text encoders need not be all of them."""


def pipeline(models: Path, name: str) -> Any:
    from diffusers import DiffusionPipeline

    options = {"safety_checker": None} if name == "tiny-sd" else {}
    return DiffusionPipeline.from_pretrained(models / "checkpoints" / name, **options)


@pytest.mark.parametrize("layers", [QUERIES, MLP, (*QUERIES, *MLP, "out_proj")], ids=["queries", "mlp", "all"])
@pytest.mark.parametrize(("name", "starts"), [("tiny-sd", STARTS), ("tiny-sdxl", STARTS_XL)])
@torch.inference_mode()
def test_every_layer_of_a_lora_is_loaded_at_its_own_scale(
    name: str, starts: dict[str, str], layers: tuple[str, ...], models: Path, tmp_path: Path
) -> None:
    pipe = pipeline(models, name)
    tensors = kohya(pipe.components, starts, layers)
    save_file(tensors, tmp_path / "lora.safetensors")
    expected = {}
    for part, start in starts.items():
        for layer, module in getattr(pipe, part).named_modules():
            key = (
                start + ("" if part == "unet" else "text_model_") + layer.removeprefix("text_model.").replace(".", "_")
            )
            if f"{key}.alpha" in tensors:
                up, down = (tensors[f"{key}.lora_{side}.weight"].flatten(1) for side in ("up", "down"))
                update = tensors[f"{key}.alpha"] / len(down) * (up @ down)
                expected[part, layer] = module.weight + 0.7 * update.reshape(module.weight.shape)
    assert 3 * len(expected) == len(tensors)
    piece("load_lora")(pipe, tmp_path / "lora.safetensors", "one")
    pipe.set_adapters(["one"], [0.7])
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    for (part, layer), weight in expected.items():
        assert_close(getattr(pipe, part).get_submodule(layer).weight, weight)


@pytest.mark.filterwarnings("ignore:.*_pattern keys did not match")
def test_a_lora_that_fits_in_part_only_stops_the_script(models: Path, tmp_path: Path) -> None:
    pipe = pipeline(models, "tiny-sd")
    tensors = kohya(pipe.components, STARTS, QUERIES)
    more = {name.replace("down_blocks_0", "down_blocks_7"): tensor.clone() for name, tensor in tensors.items()}
    save_file(tensors | more, tmp_path / "lora.safetensors")
    with pytest.raises(SystemExit, match=r"lora.safetensors: only \d+ of \d+ layers fit"):
        piece("load_lora")(pipe, tmp_path / "lora.safetensors", "one")


def test_layers_of_another_method_that_fit_nothing_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layer = {"hada_w1_a": (4, 1), "hada_w1_b": (1, 3), "hada_w2_a": (4, 1), "hada_w2_b": (1, 3)}
    tensors = {f"lora_unet_{name}.{role}": torch.ones(layer[role]) for name in ("here", "there") for role in layer}
    save_file(tensors, tmp_path / "loha.safetensors")
    module = torch.nn.ModuleDict({"here": torch.nn.Linear(3, 4)})
    with torch.inference_mode():
        piece("apply_adapter")(module, tmp_path / "loha.safetensors", "lora_unet_", 1.0)
    assert capsys.readouterr().out == "loha.safetensors: there is no place for lora_unet_there\n"


def test_a_lora_in_a_layout_that_pipelines_pass_over_is_refused(models: Path, tmp_path: Path) -> None:
    tensors = load_file(models / "loras" / "tiny-lora.safetensors")
    (tmp_path / "loras").mkdir()
    save_file({f"base_model.model.{name}": tensors[name] for name in tensors}, tmp_path / "loras" / "peft.safetensors")
    session = make_session(tmp_path, models=({"path": models}, {"path": tmp_path}))
    g = build(lambda g, p: p.sample(model=g.add(nodes.apply_lora, model=p.model, lora="peft").model), "tiny-sd")
    with pytest.raises(WorkflowError, match=r"the tensor base_model\.model\..* is none that scripts know"):
        export(g, session=session)


def deeper(tensors: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in tensors.items():
        yield name, tensor
        yield name.replace("layers.3.", "layers.4."), tensor.clone()


def without_last(tensors: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    yield from sorted(tensors.items())[:-1]


@pytest.mark.parametrize(
    ("case", "file", "change", "problem"),
    [
        ("ip_adapter_for_a_while", "ipadapter/tiny-plus.safetensors", deeper, "weights of tiny-plus.safetensors fit"),
        ("ip_adapter_for_a_while", "clip_vision/eye-file.safetensors", without_last, "visual_projection.weight"),
        ("ip_adapter", "clip_vision/eye/model.safetensors", without_last, "visual_projection.weight"),
        ("control", "controlnet/tiny-control/diffusion_pytorch_model.safetensors", without_last, "meta tensor"),
    ],
)
def test_a_file_that_fits_in_part_only_stops_the_script(
    case: str, file: str, change: Any, problem: str, models: Path, fresh: Fresh, tmp_path: Path
) -> None:
    session = make_session(tmp_path, models=({"path": models},))
    code = export(build(SD_CASES[case], "tiny-sd"), session=session).code
    whole = models / file
    broken = tmp_path / "model" / whole.name
    shutil.copytree(whole.parent, broken.parent)
    save_file(dict(change(load_file(whole))), broken, {"format": "pt"})
    for path, other in ((whole, broken), (whole.parent, broken.parent)):
        code = code.replace(f'"{path}"', f'"{other}"')
    assert str(broken.parent) in code
    (tmp_path / "script.py").write_text(code, "utf-8")
    done = fresh.run(tmp_path / "script.py", "--out", tmp_path / "out")
    assert done.code != 0 and problem in done.err, done.err
    assert not (tmp_path / "out").exists()

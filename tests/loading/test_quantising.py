"""Models written in quantised formats: read back as they were reported, and nothing else in them is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow.errors import InvalidInputError
from graphflow.loading.mapped import MappedFiles
from graphflow.loading.quantising import TARGETS, Report, is_chosen, quantised
from graphflow.modelfiles.quantised.summary import groups_of
from tests.closeness import assert_close

MOST = {
    "fp8": 0.03,
    "fp8_scaled": 0.03,
    "int8": 0.009,
    "int8_convrot": 0.009,
    "mxfp8": 0.03,
    "nvfp4": 0.1,
    "convrot_w4a4": 0.14,
    "w4a8": 0.09,
    "w6a8": 0.022,
    "awq_w4a16": 0.1,
    "svdquant_w4a4": 0.11,
    "gguf:Q8_0": 0.006,
    "gguf:Q6_K": 0.02,
    "gguf:Q5_K": 0.04,
    "gguf:Q4_K": 0.08,
    "gguf:Q4_0": 0.095,
}
"""Relative errors of normal weights, with a tenth of leeway."""
CHOSEN = "blocks.0.attn.to_q.weight"
CONVOLUTION = "blocks.1.conv.weight"
MODULATION = "blocks.0.img_mod.lin.weight"


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(18)
    shapes = {
        CHOSEN: (64, 256),
        "blocks.0.attn.to_q.bias": (64,),
        "blocks.0.norm.weight": (256,),
        MODULATION: (64, 256),
        CONVOLUTION: (32, 32, 3, 3),
        "x_embedder.weight": (64, 256),
        "final_layer.linear.weight": (64, 256),
    }
    found = {name: torch.randn(shape, generator=generator).half() for name, shape in shapes.items()}
    found[CHOSEN][5] = 0
    return found


def source(folder: Path, prefix: str = "") -> MappedFiles:
    path = folder / "model.safetensors"
    save_file({prefix + name: tensor for name, tensor in tensors().items()}, path, {"modelspec.title": "ours"})
    return MappedFiles([path], path.name)


def written(folder: Path, target: str, architecture: str = "flux", prefix: str = "") -> tuple[MappedFiles, Report]:
    pieces, report = quantised(source(folder, prefix), target, is_chosen, architecture=architecture)
    path = folder / ("new.gguf" if target.startswith("gguf") else "new.safetensors")
    path.write_bytes(b"".join(pieces))
    return MappedFiles([path], path.name), report


@pytest.mark.parametrize("target", TARGETS)
def test_layers_are_read_back_as_reported(target: str, tmp_path: Path) -> None:
    files, report = written(tmp_path, target)
    original = tensors()
    exact, found = original[CHOSEN].float(), files.dense(CHOSEN)
    error = float((found - exact).norm() / exact.norm())
    chosen = {CHOSEN, MODULATION, *([CONVOLUTION] if target == "fp8" else [])}
    assert {f"{layer}.weight" for layer in report.errors} == chosen
    assert max(report.errors.values()) < MOST[target]
    assert_close(torch.tensor(report.errors["blocks.0.attn.to_q"]), torch.tensor(error))
    assert error < MOST[target]
    assert float(found[5].abs().max()) < 1e-6
    for name in original.keys() - chosen:
        assert torch.equal(files.dense(name).float(), original[name].float())
    groups = [group for group in groups_of(files.weights.tensors) if group.quantised]
    assert sum(group.tensors for group in groups) == len(chosen)
    if target != "svdquant_w4a4":  # its branch is small beside large layers alone
        assert all(group.bits < 8.6 for group in groups)
    # What modulates keeps eight bits, but in GGUF files, where it never does.
    assert report.errors["blocks.0.img_mod.lin"] < (0.03 if not target.startswith("gguf") else MOST[target])


def test_the_metadata_and_the_prefix_stay(tmp_path: Path) -> None:
    prefix = "model.diffusion_model."
    files, report = written(tmp_path, "nvfp4", prefix=prefix)
    assert set(files.names) == {prefix + name for name in tensors()}
    assert files.weights.metadata["modelspec.title"] == "ours"
    assert set(report.errors) == {f"{prefix}blocks.0.attn.to_q", f"{prefix}blocks.0.img_mod.lin"}
    named, _ = written(tmp_path, "gguf:Q4_0", prefix=prefix)
    assert set(named.names) == set(tensors())
    assert named.weights.metadata["general.architecture"] == "flux"


def test_convolutions_of_unets_are_flat_in_gguf_files(tmp_path: Path) -> None:
    files, report = written(tmp_path, "gguf:Q8_0", architecture="sd1")
    assert set(report.errors) == {"blocks.0.attn.to_q", "blocks.0.img_mod.lin", "blocks.1.conv"}
    convolution = tensors()["blocks.1.conv.weight"].float()
    found = files.dense("blocks.1.conv.weight")
    assert found.shape == convolution.shape
    assert float((found - convolution).norm() / convolution.norm()) < MOST["gguf:Q8_0"]


def test_t5_has_the_names_of_llama_cpp(tmp_path: Path) -> None:
    names = [
        "shared.weight",
        "encoder.final_layer_norm.weight",
        "encoder.block.0.layer.0.SelfAttention.q.weight",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "encoder.block.0.layer.1.DenseReluDense.wo.weight",
        "encoder.block.0.layer.1.layer_norm.weight",
    ]
    path = tmp_path / "t5.safetensors"
    save_file({name: torch.ones((256,) if "norm" in name else (32, 256)) for name in names}, path)
    pieces, report = quantised(MappedFiles([path], "t5"), "gguf:Q6_K", is_chosen, architecture="t5encoder")
    path = tmp_path / "t5.gguf"
    path.write_bytes(b"".join(pieces))
    assert set(report.errors) == {"enc.blk.0.attn_q", "enc.blk.0.ffn_down"}
    assert set(MappedFiles([path], "t5").names) == set(names)


def test_a_quantised_model_can_be_written_in_another_format(tmp_path: Path) -> None:
    files, _ = written(tmp_path, "int8")
    pieces, _ = quantised(files, "nvfp4", is_chosen)
    path = tmp_path / "again.safetensors"
    path.write_bytes(b"".join(pieces))
    again = MappedFiles([path], path.name)
    exact = tensors()[CHOSEN].float()
    assert float((again.dense(CHOSEN) - exact).norm() / exact.norm()) < MOST["nvfp4"]
    assert set(again.names) == set(tensors())


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="'q4' is no format; there are fp8, "):
        quantised(source(tmp_path), "q4", is_chosen)
    path = tmp_path / "odd.safetensors"
    save_file({"blocks.0.a.weight": torch.ones(20, 20)}, path)
    with pytest.raises(InvalidInputError, match=r"as nvfp4: blocks\.0\.a\.weight is \[20, 20\], no multiple of 16"):
        quantised(MappedFiles([path], path.name), "nvfp4", is_chosen)
    save_file({"a.weight": torch.ones(20, 20)}, path)
    with pytest.raises(InvalidInputError, match="no linear layers in blocks"):
        quantised(MappedFiles([path], path.name), "fp8", is_chosen)

"""Quantised weights: files that other programs made, what is refused, and layers that compute with packed weights."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from graphflow.errors import ModelFormatError
from graphflow.loading.codes.ggml import DECODERS
from graphflow.loading.mapped import MappedFiles
from graphflow.loading.quantised import packed
from graphflow.loading.quantised.gguf import by_package
from graphflow.loading.quantised.packed import PackedWeight, hold
from graphflow.modelfiles.gguf import BLOCKS
from graphflow.modelfiles.header import TensorInfo
from graphflow.modelfiles.quantised.summary import groups_of
from graphflow.modelfiles.shards import read_weights
from tests.closeness import assert_close
from tests.loading.damaged import outcome
from tests.loading.layer_files import FORMATS, recorded

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
NAME = "blocks.0.weight"
SEEN = (0, 1, 7, -1)
"""Rows of its weight that were recorded."""
ROTATED = {"int8_convrot", "convrot_w4a4", "w4a8", "w4a8_u8scale", "w4a8_asym", "w6a8", "svdquant_w4a4"}
"""Formats whose weights are sums, which processors round differently."""


def write(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.{'gguf' if kind.startswith('gguf') else 'safetensors'}"
    path.write_bytes(recorded()[f"file/{kind}"].tobytes())
    return path


def edited(
    kind: str, folder: Path, changes: Mapping[str, Tensor | None], metadata: dict[str, str] | None = None
) -> Path:
    """A recorded file with some tensors changed, added or (None) left out, and other metadata."""
    path = write(kind, folder)
    tensors = load_file(path) | changes
    save_file({key: tensor for key, tensor in tensors.items() if tensor is not None}, path, metadata)
    return path


def dense(path: Path, name: str = NAME) -> Tensor:
    return MappedFiles([path], path.name).dense(name).float()


@pytest.mark.parametrize("kind", FORMATS)
def test_weights_are_those_that_the_writers_read(kind: str, tmp_path: Path) -> None:
    path, expected = write(kind, tmp_path), torch.from_numpy(recorded()[f"weight/{kind}"])
    found = dense(path)
    described = read_weights(path)
    rows = 64 if kind == "int8_blockwise" else 20
    padded = 32 if kind.startswith(("mxfp8", "nvfp4")) else rows
    assert described.tensors[NAME].shape == (rows, 256)  # as the bias says
    assert found.shape == (padded, 256)
    assert set(described.tensors) == {f"blocks.{index}.{leaf}" for index in (0, 1) for leaf in ("weight", "bias")}
    rounded = found[[0, 1, 7, rows - 1]]
    if kind in ROTATED:
        assert_close(rounded, expected)
    else:
        assert torch.equal(rounded, expected)


@pytest.mark.parametrize("kind", sorted(DECODERS))
def test_blocks_are_those_of_the_gguf_package(kind: str) -> None:
    (size,) = (size for name, _, size in BLOCKS.values() if name == kind)
    blocks = torch.randint(0, 256, (64, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    blocks[:, :2] = torch.tensor([0.25], dtype=torch.float16).view(torch.uint8)  # scales of any bits may be NaN
    blocks[:, 2:4] = blocks[:, -2:] = torch.tensor([0.5], dtype=torch.float16).view(torch.uint8)
    blocks[:, -4:-2] = torch.tensor([2.0], dtype=torch.float16).view(torch.uint8)
    assert torch.equal(DECODERS[kind](blocks), by_package(blocks, kind))


def marker(**said: object) -> Tensor:
    return torch.tensor(list(json.dumps(said).encode()), dtype=torch.uint8)


ONE = torch.tensor(1.0)
NAN = torch.tensor(float("nan"))
STRANGE = {
    "a format that nobody knows": (
        {"blocks.0.comfy_quant": marker(format="float9")}, {}, r"blocks\.0 is quantised as 'float9'.*known"),
    "a marker without a layer": (
        {"blocks.7.comfy_quant": marker(format="float8_e4m3fn")}, {}, r"layer blocks\.7 that is not there"),
    "a marker that is no JSON": ({"blocks.0.comfy_quant": torch.zeros(5, dtype=torch.uint8)}, {}, "not valid JSON"),
    "a header that names no layer": (
        {}, {"blocks.9": {"format": "float8_e4m3fn"}}, r"'blocks\.9' is quantised, and there is no such layer"),
    "a header without layers": ({}, None, "has no layers"),
    "a scale that nobody needs": ({"norm.weight": torch.ones(20), "norm.weight_scale": ONE}, {}, r"norm\.weight_scale"),
    "a scale of a kind that nobody knows": ({"blocks.0.weight_scale_inv": ONE}, {}, r"blocks\.0\.weight_scale_inv"),
    "an activation's scale that has to be multiplied": ({"blocks.0.pre_quant_scale": ONE}, {}, "pre_quant_scale"),
    "a scale of another shape": ({"blocks.0.weight_scale": torch.ones(7)}, {}, r"blocks\.0 is no float8.*shape \[7\]"),
    "integers without a scale": (
        {"blocks.0.weight": torch.zeros(20, 256, dtype=torch.int8), "blocks.0.weight_scale": None}, {}, "float8.*I8"),
    "bytes that nothing explains": ({"x.weight": torch.zeros(4, 4, dtype=torch.uint8)}, {}, r"x\.weight"),
    "two markers that differ": ({}, {"blocks.0": {"format": "nvfp4"}}, "marked as"),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGE)
def test_what_is_not_known_is_refused_by_name(case: str, tmp_path: Path) -> None:
    changes, layers, problem = STRANGE[case]
    said = {} if layers is None else {"layers": layers}
    metadata = {"_quantization_metadata": json.dumps(said)} if layers or layers is None else None
    path = edited("fp8_scaled_tensor", tmp_path, changes, metadata)
    with pytest.raises(ModelFormatError, match=problem) as caught:
        read_weights(path)
    assert path.name in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "key", "tensor"),
    [
        ("fp8_scaled_tensor", "blocks.0.weight_scale", NAN),
        ("int8_rowwise", "blocks.0.weight_scale", torch.full((20, 1), float("inf"))),
        ("nvfp4", "blocks.0.weight_scale", torch.full((128, 16), 127, dtype=torch.uint8).view(E4M3)),
        ("mxfp8", "blocks.0.weight_scale", torch.full((128, 8), 255, dtype=torch.uint8)),
        ("w4a8", "blocks.0.weight_codebook", torch.full((16,), float("nan"))),
        ("fp8_e4m3fn", NAME, torch.full((20, 256), 255, dtype=torch.uint8).view(E4M3)),
    ],
)
def test_numbers_that_are_none_name_their_tensor(kind: str, key: str, tensor: Tensor, tmp_path: Path) -> None:
    path = edited(kind, tmp_path, {key: tensor}, None if kind == "fp8_e4m3fn" else _header(kind, tmp_path))
    with pytest.raises(ModelFormatError, match=rf"{key} holds NaN or infinite"):
        dense(path)


def _header(kind: str, folder: Path) -> dict[str, str]:
    return dict(read_weights(write(kind, folder)).metadata)


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_damaged_files_are_refused_or_read_rightly(first: int, tmp_path: Path) -> None:
    found = [outcome(number, tmp_path) for number in range(first, first + 50)]
    assert not [bad for bad in found if bad.verdict not in ("error", "right")]


def test_marks_may_stand_in_a_header_with_or_without_the_prefix(tmp_path: Path) -> None:
    weight = torch.ones(4, 16).to(E4M3)
    for prefix, said in (("model.diffusion_model.", ""), ("", "model.diffusion_model."), ("", "")):
        path = tmp_path / "a.safetensors"
        layers = {f"{said}a": {"format": "float8_e4m3fn"}}
        save_file(
            {f"{prefix}a.weight": weight, f"{prefix}a.weight_scale": torch.tensor(0.5)},
            path,
            {"_quantization_metadata": json.dumps({"layers": layers})},
        )
        assert dense(path, f"{prefix}a.weight").unique().tolist() == [0.5]


def test_bytes_are_seen_as_the_floats_that_a_marker_says(tmp_path: Path) -> None:
    whole = dense(write("fp8_e5m2_scaled", tmp_path))
    stored = load_file(tmp_path / "fp8_e5m2_scaled.safetensors")[NAME]
    path = edited("fp8_e5m2_scaled", tmp_path, {NAME: stored.view(torch.uint8)}, _header("fp8_e5m2_scaled", tmp_path))
    assert torch.equal(dense(path), whole)


@pytest.mark.parametrize("scale", [(), (24,), (24, 1), (24, 1, 1, 1)])
@pytest.mark.parametrize(("dtype", "kind"), [(E4M3, "float8_e4m3fn"), (torch.int8, "int8_tensorwise")])
def test_convolutions_have_a_scale_for_all_or_for_rows(
    dtype: torch.dtype, kind: str, scale: tuple[int, ...], tmp_path: Path
) -> None:
    codes = torch.randint(-100, 100, (24, 16, 3, 3), generator=torch.Generator().manual_seed(1)).to(dtype)
    numbers = torch.rand(scale, generator=torch.Generator().manual_seed(2))
    tensors = {"blocks.0.weight": codes, "blocks.0.weight_scale": numbers, "blocks.0.comfy_quant": marker(format=kind)}
    save_file(tensors, tmp_path / "model.safetensors")
    found = dense(tmp_path / "model.safetensors")
    assert torch.equal(found, codes.float() * (numbers.reshape(-1, 1, 1, 1) if scale else numbers))


def test_tiles_of_svdquant_are_its_plain_order(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(4)
    codes = torch.randint(0, 256, (256, 64), dtype=torch.uint8, generator=generator)
    scale, up = torch.rand(2, 256, generator=generator), torch.randn(256, 16, generator=generator)
    plain = {
        "a.weight": codes.view(torch.int8),
        "a.weight_scale": scale,
        "a.weight_proj_up": up,
        "a.weight_proj_down": torch.randn(128, 16, generator=generator),
        "a.weight_smooth_factor": torch.rand(128, generator=generator) + 1,
        "a.comfy_quant": marker(format="svdquant_w4a4"),
    }
    tiles = torch.empty(2, 2, 32, 128, dtype=torch.uint8)
    for row in range(256):
        tile, inner = divmod(row, 128)
        for group in range(2):
            tiles[tile, group, inner // 4, inner % 4 * 32 : inner % 4 * 32 + 32] = codes[
                row, group * 32 : group * 32 + 32
            ]
    packed = plain | {
        "a.weight": tiles.view(torch.int8),
        "a.weight_scale": scale.reshape(2, 2, 128).transpose(0, 1).contiguous(),
        "a.weight_proj_up": up.reshape(2, 128, 16).transpose(1, 2).contiguous(),
        "a.comfy_quant": marker(format="svdquant_w4a4", layout="kitchen_tile_packed_w4a4"),
    }
    found = []
    for tensors in (plain, packed):
        save_file(tensors, tmp_path / "a.safetensors")
        found.append(dense(tmp_path / "a.safetensors", "a.weight"))
    assert torch.equal(*found)


def packed_weight(kind: str, folder: Path) -> PackedWeight:
    path = write(kind, folder)
    found = MappedFiles([path], path.name).read(NAME)
    assert isinstance(found, PackedWeight)
    return found


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "gguf_BF16"])
def test_a_layer_computes_with_its_packed_weight(kind: str, tmp_path: Path) -> None:
    weight = packed_weight(kind, tmp_path)
    whole = weight.values()
    layer = nn.Linear(256, whole.shape[0], bias=False)
    hold(layer, weight)
    x = torch.randn(3, 256, generator=torch.Generator().manual_seed(5))
    assert_close(layer(x), x @ whole.T)
    if kind != "svdquant_w4a4":  # its branch is small beside large layers alone
        assert weight.bytes < whole.nbytes * 0.6
    change = torch.randn(whole.shape, generator=torch.Generator().manual_seed(6))
    weight.change = lambda values: values + change
    assert torch.equal(layer.weight, whole + change)
    assert list(layer.state_dict()) == ["weight"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["int8_convrot", "w4a8", "nvfp4", "gguf_Q4_0", "gguf_Q4_K"])
def test_a_large_layer_computes_in_parts(
    kind: str, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "_PART", 7 * 256)
    monkeypatch.setattr(packed, "_ROWS", 1)
    monkeypatch.setattr(packed, "_CHUNK", 2 * 256)
    weight = packed_weight(kind, tmp_path)
    whole, weight.dtype = weight.values(), dtype
    bias = torch.randn(whole.shape[0], generator=torch.Generator().manual_seed(7)).to(dtype)
    x = torch.randn(2, 5, 256, generator=torch.Generator().manual_seed(5)).to(dtype)
    layer = nn.Linear(256, whole.shape[0])
    layer.bias = nn.Parameter(bias, requires_grad=False)
    hold(layer, weight)
    found, expected = layer(x), nn.functional.linear(x.float(), whole, bias.float())
    assert found.dtype == dtype
    # Weights, activations that are rotated and the result are each rounded to eight bits at most.
    assert float((found.float() - expected).norm() / expected.norm()) < (2**-7 if dtype == torch.bfloat16 else 1e-6)


@pytest.mark.parametrize("kind", ["fp8_scaled_old", "nvfp4", "int8_convrot", "gguf_Q4_K", "gguf_Q8_0"])
def test_an_embedding_dequantises_the_rows_that_it_needs(kind: str, tmp_path: Path) -> None:
    weight = packed_weight(kind, tmp_path)
    whole = weight.values()
    layer = nn.Embedding(*whole.shape)
    hold(layer, weight)
    ids = torch.tensor([[3, 0, 3], [19, 7, 0]])
    assert_close(layer(ids), whole[ids])


def test_a_compiled_layer_gives_the_same(tmp_path: Path) -> None:
    weight = packed_weight("nvfp4", tmp_path)
    layer = nn.Linear(256, weight.shape[0], bias=False)
    hold(layer, weight)
    x = torch.randn(3, 256, generator=torch.Generator().manual_seed(5))
    assert_close(torch.compile(layer, backend="eager", fullgraph=True)(x), layer(x))


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no compiler")
@pytest.mark.skipif(not os.environ.get("GRAPHFLOW_TEST_SOAK"), reason="a compiler takes half a minute; in the soak")
@pytest.mark.filterwarnings("ignore")  # torch's own, of what it does not find to compile with
def test_a_layer_compiles_to_machine_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    weight = packed_weight("int8_convrot", tmp_path)
    layer = nn.Linear(256, weight.shape[0], bias=False)
    hold(layer, weight)
    x = torch.randn(3, 256, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        assert_close(torch.compile(layer, fullgraph=True)(x), layer(x))


def test_what_is_quantised_is_said_by_layers(tmp_path: Path) -> None:
    groups = groups_of(read_weights(write("nvfp4_fp8_mixed", tmp_path)).tensors)
    assert [(group.name, group.format, group.quantised, group.tensors) for group in groups] == [
        ("blocks", "nvfp4", True, 1),
        ("blocks", "fp8_scaled", True, 1),
        ("norms, biases and other vectors", "F16", False, 2),
    ]
    assert [group.bits for group in groups[1:]] == [8 + 32 / (20 * 256), 16]
    assert groups_of({"a.0.weight": TensorInfo("F16", (2, 2), 0, 8)}) == ()

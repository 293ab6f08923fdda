"""Weights in folders of Diffusers, as bitsandbytes, torchao, optimum-quanto and SDNQ save them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.library.folder import describe_folder
from graphflow.loading.mapped import MappedFiles
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.modelfiles.formats import read_header
from graphflow.modelfiles.shards import merge_headers
from tests.closeness import assert_close
from tests.loading.peers import COLUMNS, MAKERS, ROWS, SEEN, Made, folders

ROUNDED = ("torchao",)
"""What is read there in bfloat16."""


LAYERS = folders()


def read(made: Made, folder: Path) -> PackedWeight:
    path = folder / "diffusion_pytorch_model.safetensors"
    path.write_bytes(made.file)
    found = MappedFiles([path], path.name, made.config).read("a.weight")
    assert isinstance(found, PackedWeight)
    whole = found.cut((ROWS, COLUMNS))
    assert whole is not None
    return whole


def compare(kind: str, found: Tensor, expected: Tensor) -> None:
    dtype = torch.bfloat16 if kind.startswith(ROUNDED) else torch.float32
    assert_close(found.to(dtype), expected.to(dtype))


@pytest.mark.parametrize("kind", LAYERS)
def test_weights_are_those_that_the_packages_read(kind: str, tmp_path: Path) -> None:
    weight = read(LAYERS[kind], tmp_path)
    compare(kind, weight.values()[list(SEEN)], LAYERS[kind].weight)
    assert weight.bytes < ROWS * COLUMNS * 1.6
    assert_close(weight.rows(torch.tensor([5, 2])), weight.values()[[5, 2]])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", MAKERS)
def test_the_packages_themselves_agree(kind: str, tmp_path: Path) -> None:
    pytest.importorskip({"quanto": "optimum.quanto"}.get(package := kind.partition("-")[0], package))
    made = MAKERS[kind]()
    compare(kind, read(made, tmp_path).values(), made.weight)


def changed(kind: str, folder: Path, name: str, tensor: Tensor | None, config: dict[str, object]) -> None:
    """Open a recorded layer with a tensor changed, added or (None) left out, and more in the folder's config."""
    made = LAYERS[kind]
    path = folder / "diffusion_pytorch_model.safetensors"
    path.write_bytes(made.file)
    tensors = {**load(made.file), name: tensor}
    metadata = dict(read_header(path).metadata)
    path.write_bytes(save({key: value for key, value in tensors.items() if value is not None}, metadata or None))
    merge_headers(
        path, [read_header(path)], {key: value for key, value in {**made.config, **config}.items() if value is not None}
    )


ONE = torch.ones(1)
STRANGE = {
    "a code book": ("sdnq-uint4", "a.bias", None, {"use_codebook": True}, "use_codebook is not read"),
    "a width that is not known": ("sdnq-int8", "a.bias", None, {"weights_dtype": "int5"}, "weights of 'int5' are not"),
    "signed codes with a zero": ("sdnq-uint4", "a.bias", None, {"weights_dtype": "int4"}, "without zero_point"),
    "a rotation that does not fit": (
        "sdnq-int8-rotated", "a.bias", None, {"hadamard_group_size": 512}, "hadamard_group_size 512 is no power"),
    "another method": ("sdnq-int8", "a.bias", None, {"quant_method": "hqq"}, "quantised by hqq"),
    "a factor of activations": ("torchao-int8", "a._weight_act_pre_scale", ONE, {}, r"a\._weight_act_pre_scale"),
    "no scale": ("torchao-int8", "a._weight_scale", None, {}, r"lacks a\._weight_scale"),
    "no zeros": ("torchao-int8", "a._weight_zero_point", None, {}, r"lacks a\._weight_zero_point"),
    "eight-bit floats without scales": ("sdnq-float8", "a.scale", None, {}, "lacks scale"),
    "groups of another size": ("torchao-float8", "a._weight_scale", torch.ones(32, 2), {}, r"for \[1, 64\] values"),
    "tiles of another size": ("torchao-nvfp4", "a._weight_scale", torch.ones(8).to(torch.float8_e4m3fn), {}, "holds 8 numbers"),
    "codes without scales": ("quanto-int8", "a.weight._scale", None, {}, r"a\.weight\._data"),
    "half of the codes": (
        "quanto-int4", "a.weight._data._data", torch.zeros(8, 128, dtype=torch.uint8), {}, "of int2, .* says int4"),
    "twice the codes": (
        "quanto-int2", "a.weight._data._data", torch.zeros(16, 128, dtype=torch.uint8), {}, "of int4, .* says int2"),
    "codes of another type": ("quanto-int8", "a.bias", None, {"weights_dtype": "float8"}, "of int8, .* says float8"),
    "codes of another type than transformers says": (
        "quanto-int4", "a.bias", None, {"weights_dtype": None, "weights": "int2"}, "of int4, .* says int2"),
    "codes of another type than a map says": (
        "quanto-int4", "a.bias", None, {"layers": {"a": "int2"}}, "of int4, the folder says int2"),
    "a layer that a map does not name": ("quanto-int8", "a.bias", None, {"layers": {}}, "a is quantised, and the folder does not"),
    "a layer that a map alone has": (
        "quanto-int8", "a.bias", None, {"layers": {"a": "int8", "b": "int8"}}, "marks a layer b that is not there"),
    "groups that are missing": ("quanto-int4", "a.weight._scale", torch.ones(9, 1), {}, "no 9 groups"),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGE)
def test_what_is_not_known_is_refused_by_name(case: str, tmp_path: Path) -> None:
    kind, name, tensor, config, problem = STRANGE[case]
    with pytest.raises(ModelFormatError, match=problem):
        changed(kind, tmp_path, name, tensor, config)


def test_what_optimum_quanto_says_of_its_layers_is_heard(tmp_path: Path) -> None:
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(LAYERS["quanto-int4"].file)
    (tmp_path / "config.json").write_text('{"_class_name": "FluxTransformer2DModel"}', "utf-8")
    said = {"a": {"weights": "qint4", "activations": "none"}, "norm": {"weights": "none", "activations": "qint8"}}
    (tmp_path / "quanto_qmap.json").write_text(json.dumps(said), "utf-8")
    assert set(describe_folder("quanto", tmp_path).bytes_by_dtype) == {"quanto_int4", "F32"}
    said["a"]["weights"] = "qfloat8_e4m3fn"
    (tmp_path / "quanto_qmap.json").write_text(json.dumps(said), "utf-8")
    with pytest.raises(ModelFormatError, match="of int4, the folder says float8"):
        describe_folder("quanto", tmp_path)


def test_a_table_that_holds_no_number_is_refused(tmp_path: Path) -> None:
    made = LAYERS["bitsandbytes-nf4"]
    table = {"a.weight.quant_map": torch.full((16,), float("nan"))}
    with pytest.raises(ModelFormatError, match=r"a\.weight\.quant_map holds NaN"):
        read(made._replace(file=save({**load(made.file), **table})), tmp_path)


def test_a_class_of_torchao_that_is_not_known_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(LAYERS["torchao-int8"].file.replace(b"Int8Tensor", b"Int4Tensor"))
    with pytest.raises(ModelFormatError, match="quantised as 'torchao_Int4Tensor', which is not known"):
        merge_headers(path, [read_header(path)], {"quant_method": "torchao"})

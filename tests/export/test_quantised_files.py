"""What exported scripts carry to read quantised files gives the weights that other programs read there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from graphflow.converters.diffusers_script.carried import library
from graphflow.converters.diffusers_script.helpers.quantised import (
    dequantised,
    read_awq,
    read_four_rotated,
    read_mxfp8,
    read_nvfp4,
    read_scaled,
    read_stepped,
    read_svdquant,
)
from graphflow.loading.mapped import MappedFiles
from graphflow.modelfiles.gguf import BLOCKS
from tests.closeness import assert_close
from tests.export.pieces import piece
from tests.loading.layer_files import FORMATS, recorded

READERS = {
    "": read_scaled,
    "float8_e4m3fn": read_scaled,
    "float8_e5m2": read_scaled,
    "int8_tensorwise": read_scaled,
    "int8_blockwise": read_scaled,
    "mxfp8": read_mxfp8,
    "nvfp4": read_nvfp4,
    "convrot_w4a4": read_four_rotated,
    "asym_w4a8_int8": read_stepped,
    "awq_w4a16": read_awq,
    "svdquant_w4a4": read_svdquant,
}
KINDS = [kind for kind in FORMATS if not kind.startswith(("gguf", "bfl_nvfp4"))]
DECODED = {
    number: (values, size, piece(kind.lower()))
    for number, (kind, values, size) in BLOCKS.items()
    if kind.lower() in library()
}


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_files_are_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(recorded()[f"file/{kind}"].tobytes())
    found = load_file(dequantised(path, READERS))
    expected = torch.from_numpy(recorded()[f"weight/{kind}"])
    assert_close(found["blocks.0.weight"].float()[[0, 1, 7, 63 if kind == "int8_blockwise" else 19]], expected)
    assert set(found) == {f"blocks.{index}.{leaf}" for index in (0, 1) for leaf in ("weight", "bias")}


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind.startswith("gguf")])
def test_recorded_gguf_files_are_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(recorded()[f"file/{kind}"].tobytes())
    found = load_file(piece("plain_gguf")(path, DECODED, "blocks.{}.bias layers.{}.bias less:1.0", prefix="unet."))
    files = MappedFiles([path], path.name)
    assert len(found) == len(files.names)
    for name in files.names:
        made = "unet." + name
        less = 0.0
        if made not in found:
            made, less = made.replace("blocks", "layers"), 1.0
        assert torch.equal(found[made].float(), files.dense(name).float() - less)


def test_a_format_that_the_script_was_not_made_for_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(recorded()["file/w4a8"].tobytes())
    with pytest.raises(SystemExit, match=r"blocks\.0 is quantised in another way"):
        dequantised(path, {"nvfp4": read_nvfp4})

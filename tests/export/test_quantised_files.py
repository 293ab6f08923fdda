"""What exported scripts carry to read quantised files gives the weights that other programs read there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

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
from tests.closeness import assert_close
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


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_files_are_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(recorded()[f"file/{kind}"].tobytes())
    found = load_file(dequantised(path, READERS))
    expected = torch.from_numpy(recorded()[f"weight/{kind}"])
    assert_close(found["blocks.0.weight"].float()[[0, 1, 7, 63 if kind == "int8_blockwise" else 19]], expected)
    assert set(found) == {f"blocks.{index}.{leaf}" for index in (0, 1) for leaf in ("weight", "bias")}


def test_a_format_that_the_script_was_not_made_for_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(recorded()["file/w4a8"].tobytes())
    with pytest.raises(SystemExit, match=r"blocks\.0 is quantised in another way"):
        dequantised(path, {"nvfp4": read_nvfp4})

"""Layers as Nunchaku's kernels read them, placed one by one: where each number of a weight stands in the file.

A warp takes 128 rows: lane 4 r + c of 32 holds rows that are r modulo 8, and columns by c.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SHIFT = 0.171875
"""What the kernels of integers add to the output of a GELU."""
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)


def _placed(values: Tensor, places: Tensor) -> Tensor:
    flat = torch.empty_like(values.flatten())
    flat[places.flatten()] = values.flatten()
    return flat


def _grid(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return row, column


def codes_as_tiles(codes: Tensor) -> Tensor:
    """Codes (N, K) of 0 to 15 as `qweight` (N, K / 2): a lane has two rows of two runs of eight codes."""
    rows, columns = codes.shape
    row, column = _grid(rows, columns)
    tile, deep = row // 128 * (columns // 64) + column // 64, row % 128 // 16
    lane = row % 8 * 4 + column % 32 // 8
    run = row % 16 // 8 * 2 + column % 64 // 32
    flat = _placed(codes, (((tile * 8 + deep) * 32 + lane) * 4 + run) * 8 + column % 8)
    return (flat[0::2] | flat[1::2] << 4).to(torch.uint8).view(torch.int8).view(rows, columns // 2)


def scales_as_tiles(scale: Tensor) -> Tensor:
    """Scales (N, groups) as `wscales` (groups, N): a lane has rows 0, 1, 8 and 9 beyond its first."""
    rows, groups = scale.shape
    row, group = _grid(rows, groups)
    lane = row % 128 // 16 * 4 + row % 8 // 2
    places = ((row // 128 * groups + group) * 32 + lane) * 4 + row % 16 // 8 * 2 + row % 2
    return _placed(scale, places).view(groups, rows)


def small_scales_as_tiles(scale: Tensor) -> Tensor:
    """Eight-bit scales (N, K / 16) as `wscales` (K / 16, N): a lane has four rows, 32 apart, of four groups."""
    rows, groups = scale.shape
    row, group = _grid(rows, groups)
    lane = row % 8 * 4 + row % 32 // 8
    places = (((row // 128 * (groups // 4) + group // 4) * 32 + lane) * 4 + row % 128 // 32) * 4 + group % 4
    return _placed(scale.view(torch.uint8), places).view(torch.float8_e4m3fn).view(groups, rows)


def branch_as_tiles(branch: Tensor, *, down: bool) -> Tensor:
    """A branch of low rank, down (rank, K) or up (N, rank), as `proj_down` (K, rank) and `proj_up` (N, rank)."""
    channels, rank = branch.shape[::-1] if down else branch.shape
    row, column = _grid(*branch.shape)
    square = column // 16 * (rank // 16) + row // 16 if down else row // 16 * (rank // 16) + column // 16
    lane = row % 8 * 4 + column % 8 // 2
    places = ((square * 32 + lane) * 4 + row % 16 // 8 * 2 + column % 16 // 8) * 2 + column % 2
    return _placed(branch, places).view(channels, rank)


def awq_codes(codes: Tensor) -> Tensor:
    """Codes (N, K) of 0 to 15 as `qweight` (N / 4, K), 16 bits each: four rows by turns, 64 columns at a time."""
    rows, columns = codes.shape
    row, column = _grid(rows, columns)
    word = ((row // 4 * (columns // 64) + column // 64) * 4 + row % 4) * 16 + column % 64 // 32 * 8 + column % 8
    words = torch.zeros(rows * columns // 4, dtype=torch.int32)
    words.index_add_(0, word.flatten(), (codes.int() << (column % 32 // 8 * 4)).flatten().int())
    return words.to(torch.int16).view(rows // 4, columns)


class Layers:
    """Layers with random numbers, in the file and unquantised.

    Args:
        fp4: Whether in floats of four bits.
        seed: Of the numbers.
    """

    def __init__(self, *, fp4: bool = False, seed: int = 0) -> None:
        self.fp4 = fp4
        self.file: dict[str, Tensor] = {}
        self._random = torch.Generator().manual_seed(seed)

    def svdquant(
        self, name: str, rows: int, columns: int, *, bias: bool = True, shifted: bool = False, old: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Write a layer; `old` names are those of the first files for FLUX.1. Returns its weight and its bias."""
        random = self._random
        codes = torch.randint(0, 16, (rows, columns), generator=random)
        smooth = (torch.rand(columns, generator=random) + 0.5).bfloat16()
        down = torch.randn(16, columns, generator=random).bfloat16() * 0.02
        up = torch.randn(rows, 16, generator=random).bfloat16() * 0.02
        added = torch.randn(rows, generator=random).bfloat16()
        scale = torch.rand(rows, columns // (16 if self.fp4 else 64), generator=random) * 0.01
        stored = {"qweight": codes_as_tiles(codes), **self._scales(scale, rows)}
        values = torch.tensor(E2M1)[codes] if self.fp4 else torch.where(codes < 8, codes, codes - 16).float()
        scale = scale.to(torch.float8_e4m3fn).float() * self._by_row[:, None] if self.fp4 else scale.bfloat16().float()
        main = values * scale.repeat_interleave(columns // scale.shape[1], 1) / smooth.float()
        stored |= {
            "smooth" if old else "smooth_factor": scales_as_tiles(smooth[:, None]).flatten(),
            "smooth_orig" if old else "smooth_factor_orig": torch.ones(columns).bfloat16(),
            "lora_down" if old else "proj_down": branch_as_tiles(down, down=True),
            "lora_up" if old else "proj_up": branch_as_tiles(up, down=False),
        }
        if bias:
            stored["bias"] = scales_as_tiles(added[:, None]).flatten()
        self.file |= {f"{name}.{leaf}": tensor.contiguous() for leaf, tensor in stored.items()}
        makes_up = main.sum(1) * SHIFT if shifted and not self.fp4 else 0.0
        return main + up.float() @ down.float(), added.float() + makes_up

    def _scales(self, scale: Tensor, rows: int) -> Mapping[str, Tensor]:
        if not self.fp4:
            return {"wscales": scales_as_tiles(scale.bfloat16())}
        by_row = torch.rand(rows, generator=self._random).bfloat16()
        self._by_row = by_row.float()
        small = small_scales_as_tiles(scale.to(torch.float8_e4m3fn))
        return {"wscales": small, "wcscales": scales_as_tiles(by_row[:, None]).flatten()}

    def modulation(self, name: str, width: int, parts: int) -> tuple[Tensor, Tensor]:
        """Write a modulation, whose rows the file has by channel; returns its weight and its bias."""
        codes, scale, zero = self._affine(parts * width, width, 64)
        bias = torch.randn(parts * width, generator=self._random)
        kernel = bias.view(parts, width).clone()
        for part in {1, parts - 2}:
            kernel[part] += 1
        by_channel = [
            tensor.view(parts, width, -1).transpose(0, 1).reshape(parts * width, -1) for tensor in (codes, scale, zero)
        ]
        self.file |= {
            f"{name}.qweight": awq_codes(by_channel[0]).view(torch.int32),
            f"{name}.wscales": by_channel[1].t().contiguous(),
            f"{name}.wzeros": by_channel[2].t().contiguous(),
            f"{name}.bias": kernel.t().flatten().contiguous(),
        }
        return _dense(codes, scale, zero), bias

    def text(self, name: str, rows: int, columns: int) -> Tensor:
        """Write a layer of a T5 encoder; returns its weight."""
        codes, scale, zero = self._affine(rows, columns, 128)
        self.file |= {
            f"{name}.qweight": awq_codes(codes),
            f"{name}.scales": scale.t().contiguous(),
            f"{name}.scaled_zeros": zero.t().contiguous(),
        }
        return _dense(codes, scale, zero)

    def _affine(self, rows: int, columns: int, group: int) -> tuple[Tensor, Tensor, Tensor]:
        codes = torch.randint(0, 16, (rows, columns), generator=self._random)
        scale, zero = torch.randn(2, rows, columns // group, generator=self._random).bfloat16() * 0.01
        return codes, scale, zero


def _dense(codes: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    group = codes.shape[1] // scale.shape[1]
    return codes * scale.float().repeat_interleave(group, 1) + zero.float().repeat_interleave(group, 1)

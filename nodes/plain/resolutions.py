"""Sizes that models were trained with."""

from __future__ import annotations

from collections.abc import Mapping

SDXL_SIZES = (
    (512, 2048), (512, 1984), (512, 1920), (512, 1856), (576, 1792), (576, 1728), (576, 1664), (640, 1600),
    (640, 1536), (704, 1472), (704, 1408), (704, 1344), (768, 1344), (768, 1280), (832, 1216), (832, 1152),
    (896, 1152), (896, 1088), (960, 1088), (960, 1024), (1024, 1024), (1024, 960), (1088, 960), (1088, 896),
    (1152, 896), (1152, 832), (1216, 832), (1280, 768), (1344, 768), (1344, 704), (1408, 704), (1472, 704),
    (1536, 640), (1600, 640), (1664, 576), (1728, 576), (1792, 576), (1856, 512), (1920, 512), (1984, 512),
    (2048, 512),
)  # fmt: skip
"""(width, height) of SDXL's training buckets (Podell et al. 2023, arXiv:2307.01952, appendix I)."""

FLUX_KONTEXT_SIZES = (
    (672, 1568), (688, 1504), (720, 1456), (752, 1392), (800, 1328), (832, 1248), (880, 1184), (944, 1104),
    (1024, 1024), (1104, 944), (1184, 880), (1248, 832), (1328, 800), (1392, 752), (1456, 720), (1504, 688),
    (1568, 672),
)  # fmt: skip
"""(width, height) that FLUX.1 Kontext was trained with, as Diffusers' FluxKontextPipeline lists them."""

PRESETS: Mapping[str, tuple[tuple[int, int], ...]] = {"sdxl": SDXL_SIZES, "flux_kontext": FLUX_KONTEXT_SIZES}

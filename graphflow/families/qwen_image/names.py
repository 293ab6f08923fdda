"""How the tensors of Qwen-Image's parts are called in files and in their classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from graphflow.families.flow.names import Row, TableNames
from graphflow.families.flow.video_names import LAYERS, ends_and_middles
from graphflow.families.qwen_image.config import TIME_ZERO
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.family import Change

_RESAMPLED = ("resample.1", "time_conv")


def transformer_names(part: Part) -> TableNames:
    """Return the names of a transformer's tensors, which its authors call as Diffusers does."""
    return TableNames((), {}, original=False, spare=(TIME_ZERO,))


def vae_names(part: Part) -> TableNames:
    """Return the names of an autoencoder's tensors."""
    config = part.config
    levels, blocks = config.get("dim_mult"), config.get("num_res_blocks")
    rows = _vae_rows(len(levels) if isinstance(levels, list) else 4, blocks if isinstance(blocks, int) else 2)
    return TableNames(tuple(rows), {}, original=part.keys == "ldm")


@dataclass(frozen=True)
class LanguageNames:
    """Implements :class:`graphflow.modelfiles.family.TensorNames` for Qwen2.5-VL.

    Attributes:
        part: The part; without `vision_config` it does not see.
    """

    part: Part
    modules: Mapping[str, str] = field(default_factory=dict)

    def targets(self, key: str) -> Iterator[tuple[str, Change]]:
        """Yield the class's tensors that a file's tensor makes."""
        if not self.is_spare(key):
            name = key.removeprefix("model.").removeprefix("language_model.")
            yield (name if name.startswith("visual.") else f"language.{name}"), ""

    def in_file(self, name: str, axes: int) -> tuple[str, Change]:
        """Return what files call a class's tensor, see :meth:`TableNames.in_file`."""
        return (name if name.startswith("visual.") else f"model.{name.removeprefix('language.')}"), ""

    def canonical(self, name: str) -> str:
        """Return a name as it is."""
        return name

    def is_spare(self, key: str) -> bool:
        """Tell what writes text, what is no weight, and what sees where nothing here does."""
        unseeing = not self.part.config.get("vision_config") and key.startswith(("visual.", "model.visual."))
        return unseeing or key.startswith("lm_head.") or "." not in key

    def originals(self, names: Iterable[str]) -> dict[str, str]:
        """Return none: the authors' names are transformers' own."""
        return {}


def _vae_rows(levels: int, blocks: int) -> Iterator[Row]:
    yield from ends_and_middles()
    for old, new in (*LAYERS, *((name, name) for name in _RESAMPLED)):
        yield f"encoder.downsamples.{{}}.{old}", f"encoder.down_blocks.{{}}.{new}", ""
    # The authors count the decoder's layers through, Diffusers by level.
    for level in range(levels):
        first = level * (blocks + 2)
        for number in range(blocks + 1):
            for old, new in LAYERS:
                yield (
                    f"decoder.upsamples.{first + number}.{old}",
                    f"decoder.up_blocks.{level}.resnets.{number}.{new}",
                    "",
                )
        for name in _RESAMPLED:
            yield f"decoder.upsamples.{first + blocks + 1}.{name}", f"decoder.up_blocks.{level}.upsamplers.0.{name}", ""

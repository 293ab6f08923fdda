"""How the tensors of Qwen-Image's parts are called in files and in their classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from graphflow.families.flow.names import Row, TableNames
from graphflow.families.qwen_image.config import TIME_ZERO
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.family import Change

_LAYERS = (("residual.0", "norm1"), ("residual.2", "conv1"), ("residual.3", "norm2"), ("residual.6", "conv2"))
_SHORTCUT = ("shortcut", "conv_shortcut")
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
    yield from (("conv1", "quant_conv", ""), ("conv2", "post_quant_conv", ""))
    for side in ("encoder", "decoder"):
        yield f"{side}.conv1", f"{side}.conv_in", ""
        yield f"{side}.head.0", f"{side}.norm_out", ""
        yield f"{side}.head.2", f"{side}.conv_out", ""
        for number in range(2):
            for old, new in _LAYERS:
                yield f"{side}.middle.{2 * number}.{old}", f"{side}.mid_block.resnets.{number}.{new}", ""
        for layer in ("norm", "to_qkv", "proj"):
            yield f"{side}.middle.1.{layer}", f"{side}.mid_block.attentions.0.{layer}", ""
    for old, new in (*_LAYERS, _SHORTCUT, *((name, name) for name in _RESAMPLED)):
        yield f"encoder.downsamples.{{}}.{old}", f"encoder.down_blocks.{{}}.{new}", ""
    # The authors count the decoder's layers through, Diffusers by level.
    for level in range(levels):
        first = level * (blocks + 2)
        for number in range(blocks + 1):
            for old, new in (*_LAYERS, _SHORTCUT):
                yield (
                    f"decoder.upsamples.{first + number}.{old}",
                    f"decoder.up_blocks.{level}.resnets.{number}.{new}",
                    "",
                )
        for name in _RESAMPLED:
            yield f"decoder.upsamples.{first + blocks + 1}.{name}", f"decoder.up_blocks.{level}.upsamplers.0.{name}", ""

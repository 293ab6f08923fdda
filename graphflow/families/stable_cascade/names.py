"""How Stable Cascade's tensors are called by its authors and in Diffusers' classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from graphflow.families.flow.names import TableNames
from graphflow.families.stable_cascade.config import STAGE_C
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.family import THIRDS, Change

_RENAMED = {
    "clip_mapper": "clip_txt_pooled_mapper",
    "vquantizer.codebook": "vquantizer.embedding",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class CascadeNames(TableNames):
    """Implements :class:`graphflow.modelfiles.family.TensorNames`.

    Attributes:
        part: The part.
    """

    part: Part

    def targets(self, key: str) -> Iterator[tuple[str, Change]]:
        """Yield the class's tensors that a file's tensor makes."""
        module, _, leaf = key.rpartition(".")
        if leaf in ("in_proj_weight", "in_proj_bias"):
            for letter, third in zip("qkv", THIRDS, strict=True):
                yield f"{module.removesuffix('.attn')}.to_{letter}.{leaf.removeprefix('in_proj_')}", third
        elif module.endswith(".attn.out_proj"):
            yield f"{module.removesuffix('.attn.out_proj')}.to_out.0.{leaf}", ""
        elif self.part.class_name == STAGE_C and not key.startswith(("encoder.", "previewer.")):
            yield f"{'previewer' if key.startswith('blocks.') else 'encoder'}.{key}", ""
        else:
            yield f"{_RENAMED.get(module, module)}.{leaf}", ""


def cascade_names(part: Part) -> CascadeNames:
    """Return the names of a part's tensors."""
    return CascadeNames((), {}, original=part.keys == "ldm", part=part)

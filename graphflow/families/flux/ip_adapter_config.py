"""Config and names of FLUX.1's IP-Adapters, as x-labs published them."""

from __future__ import annotations

from collections.abc import Iterator

from graphflow.errors import ModelFormatError
from graphflow.families.flow.names import Row, TableNames
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

IP_ADAPTER = "IPAdapter"
MARK = "double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight"
_KEY = "double_blocks.{}.processor.ip_adapter_double_stream_k_proj"


def infer_ip_adapter(shapes: Shapes, where: str) -> Inferred:
    """Config of an :class:`graphflow.families.latent_diffusion.ip_adapter.IPAdapterNetwork`.

    Args:
        shapes: Its tensors.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    projection = shape_of(shapes, "ip_adapter_proj_model.proj.weight", dims=2)
    norm = shape_of(shapes, "ip_adapter_proj_model.norm.weight", dims=1)
    blocks = len({name.split(".")[1] for name in shapes if name.startswith("double_blocks.")})
    keys = [shape_of(shapes, f"{_KEY.format(number)}.weight", dims=2) for number in range(blocks)]
    if not projection or not norm or projection[0] % norm[0] or not all(keys):
        raise ModelFormatError("the FLUX IP-Adapter lacks its projection or keys of blocks", where=where)
    return Inferred(
        IP_ADAPTER,
        "flux",
        {
            "projection": "plain",
            "image_width": projection[1],
            "cross_attention_dim": norm[0],
            "layers": [key[0] for key in keys],
            "tokens": projection[0] // norm[0],
            "bias": f"{_KEY.format(0)}.bias" in shapes,
        },
    )


def ip_adapter_names() -> TableNames:
    """Return the names of an IP-Adapter's tensors."""
    return TableNames(tuple(_rows()), {}, original=True)


def _rows() -> Iterator[Row]:
    yield _KEY, "keys.{}", ""
    yield _KEY.replace("_k_", "_v_"), "values.{}", ""
    yield "ip_adapter_proj_model.proj", "projection.image_embeds", ""
    yield "ip_adapter_proj_model.norm", "projection.norm", ""

"""Fetching a model of the Hugging Face Hub into its local cache."""

from __future__ import annotations

from graphflow.errors import ModelNotFoundError
from graphflow.models.hub import parse_hub_id


def download(name: str) -> None:
    """Fetch a model of the Hub into the local cache.

    Raises:
        ModelNotFoundError: The Hub cannot be reached or has no such model.
    """
    from huggingface_hub import snapshot_download

    hub_id = parse_hub_id(name)
    if hub_id is None:
        raise ModelNotFoundError("is no Hub id", where=name)
    try:
        snapshot_download(
            hub_id.repository,
            revision=hub_id.revision,
            allow_patterns=["*.json", "*.txt", "*.safetensors"],
            ignore_patterns=["*.onnx*", "*flax*", "*openvino*"],
        )
    except Exception as error:
        raise ModelNotFoundError(
            f"cannot be downloaded: {error}", where=name, advice="check the name and the network, or use a local file"
        ) from error

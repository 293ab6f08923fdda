"""Networks that find things in pictures, outline or describe them: transformers' own, and ONNX files."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphflow.errors import ModelFormatError, ModelNotFoundError


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what transformers and onnxruntime warn of, which a user can do nothing about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def picture_bytes(picture: Tensor) -> Tensor:
    """A picture of [0, 1] as whole numbers from 0 to 255, as transformers' processors read it."""
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8)


class OnnxNetwork(nn.Module):  # type: ignore[misc]  # torch is not followed
    """An ONNX file, run by onnxruntime.

    Args:
        path: The file.

    Raises:
        ModelNotFoundError: onnxruntime is not installed.
        ModelFormatError: It cannot read the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelNotFoundError(
                "is not installed, and ONNX files need it", where="onnxruntime", advice="pip install onnxruntime"
            ) from error
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime has an error of its own for everything that can be wrong in a file
            problem = str(error).partition("\n")[0][:200]
            raise ModelFormatError(
                f"onnxruntime cannot read it: {problem}", where=str(path), advice="export the model again"
            ) from error
        self.path = path
        self._input = self._session.get_inputs()[0]

    def edges(self, otherwise: int) -> tuple[int, int]:
        """Height and width of the pictures that it takes; ``otherwise`` where it takes any."""
        height, width = ([*self._input.shape, None, None, None, None])[2:4]
        return tuple(edge if isinstance(edge, int) else otherwise for edge in (height, width))  # type: ignore[return-value]

    @property
    def names(self) -> dict[int, str]:
        """Names of classes by number, where the file tells them as Ultralytics' exports do."""
        told = self._session.get_modelmeta().custom_metadata_map.get("names", "")
        try:
            found = ast.literal_eval(told) if told else {}
        except (ValueError, SyntaxError):
            return {}
        return {int(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Run it on (1, 3, H, W).

        Raises:
            ModelFormatError: It does not take that.
        """
        half = self._input.type == "tensor(float16)"
        given = pixels.cpu().numpy().astype(np.float16 if half else np.float32)
        try:
            found = self._session.run(None, {self._input.name: given})
        except Exception as error:
            problem = str(error).partition("\n")[0][:200]
            raise ModelFormatError(f"it does not take pictures: {problem}", where=str(self.path)) from error
        return [torch.from_numpy(np.asarray(part, dtype=np.float32)) for part in found]


class StandInNetwork(nn.Module):  # type: ignore[misc]
    """Stands in for a network that is not there, where random weights would not do: what asks it answers by itself."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VisionNetwork:
    """What `VisionModel.use()` gives.

    Attributes:
        module: A network of transformers, or an `OnnxNetwork`.
        device: Where it computes.
        name: What the user calls it.
        folder: Where its processor stands; None for ONNX files and stand-ins.
    """

    module: Any
    device: torch.device
    name: str
    folder: Path | None

    @property
    def kind(self) -> str:
        """The class of the network."""
        return type(self.module).__name__

    def processor(self) -> Any:
        """What turns pictures and words into what the network reads.

        Raises:
            ModelFormatError: The folder does not have all files of it.
        """
        import transformers

        if self.folder is None:
            return _PROCESSORS[self.kind](transformers)
        try:
            with quiet():
                return transformers.AutoProcessor.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
            problem = str(error).partition("\n")[0][:200]
            raise ModelFormatError(
                f"its processor cannot be read: {problem}", where=str(self.folder), advice="download the whole folder"
            ) from error

    def run(self, inputs: Any, **more: Any) -> Any:
        """Compute."""
        with quiet():
            return self.module(**{name: value.to(self.device) for name, value in inputs.items()}, **more)


_PROCESSORS = {
    "YolosForObjectDetection": lambda library: library.YolosImageProcessor(
        size={"height": 64, "width": 64}, do_pad=False
    ),
    "SamModel": lambda library: library.SamProcessor(
        library.SamImageProcessor(
            size={"longest_edge": 64}, pad_size={"height": 64, "width": 64},
            mask_size={"longest_edge": 16}, mask_pad_size={"height": 16, "width": 16},
        )
    ),
}  # fmt: skip
"""Processors of stand-ins, by the class of the network."""

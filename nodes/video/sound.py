"""Nodes that read sound and cut it."""

from __future__ import annotations

import io
import wave
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from graphflow.errors import InvalidInputError, LimitError, MediaError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import InputFile, node
from graphflow.values import Audio

from ..output.user_files import read

if TYPE_CHECKING:
    import torch

__all__ = ["load_audio", "trim_audio"]


@node("load_audio")
def load_audio(
    file: Annotated[str, InputFile("audio"), Field(min_length=1, description="a WAV file of 8, 16, 24 or 32 bits")],
) -> Audio:
    """Read sound (channels, n) in [-1, 1] from a WAV file of whole numbers; other formats have to be converted before.

    Raises:
        MediaError: The file is not there, is damaged, or is no such WAV file.
        LimitError: It is longer than the limits allow.
    """
    data = read(file)
    try:
        with wave.open(io.BytesIO(data)) as sound:
            channels, width, rate, count = sound.getparams()[:4]
            if 4 * count * channels > LIMITS.loaded_bytes:
                raise LimitError(
                    f"{count:,} samples of {channels} channels take more than {LIMITS.loaded_bytes:,} bytes", where=file
                )
            raw = sound.readframes(count)
    except (wave.Error, EOFError) as error:
        raise MediaError(
            f"this is no WAV file of whole numbers: {error}",
            where=file,
            advice="convert it, e.g. with ffmpeg -i FILE -c:a pcm_s16le sound.wav",
        ) from error
    if width not in (1, 2, 3, 4) or not rate:
        raise MediaError(f"it has {8 * width} bits at {rate} hertz, which is not read", where=file)
    whole = raw[: len(raw) // (width * channels) * width * channels]
    return Audio(samples=_samples(whole, width).reshape(-1, channels).T.contiguous(), sample_rate=rate)


@node("trim_audio")
def trim_audio(
    audio: Annotated[Audio, Field(description="the sound")],
    start: Annotated[
        float, Field(ge=-1e9, le=1e9, description="seconds from the beginning; negative counts from the end")
    ] = 0.0,
    duration: Annotated[float, Field(ge=0, le=1e9, description="seconds, at most to the end")] = 60.0,
) -> Audio:
    """Take a part out of a sound.

    Raises:
        InvalidInputError: No sample lies in that part.
    """
    count = audio.samples.shape[-1]
    first = round(start * audio.sample_rate) + (count if start < 0 else 0)
    first = max(first, 0)
    last = min(first + round(duration * audio.sample_rate), count)
    if first >= last:
        raise InvalidInputError(
            f"nothing of {count / audio.sample_rate:.3g} seconds lies from {start} on for {duration} seconds",
            where="start",
        )
    return replace(audio, samples=audio.samples[:, first:last])


def _samples(data: bytes, width: int) -> torch.Tensor:
    """Whole numbers of so many bytes, little-endian, as float32 in [-1, 1]."""
    import numpy as np
    import torch

    if width == 1:
        whole = np.frombuffer(data, dtype=np.uint8).astype(np.float32) - 128.0
    elif width == 3:
        parts = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3).astype(np.int32)
        high = parts[:, 2] << 24 >> 24
        whole = (parts[:, 0] | parts[:, 1] << 8 | high << 16).astype(np.float32)
    else:
        whole = np.frombuffer(data, dtype=f"<i{width}").astype(np.float32)
    return torch.from_numpy(whole / 2.0 ** (8 * width - 1))

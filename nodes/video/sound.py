"""Nodes that read, cut, join and mix sound."""

from __future__ import annotations

import io
import wave
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from graphflow.errors import InvalidInputError, LimitError, MediaError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import InputFile, node
from graphflow.values import Audio

from ..output.user_files import read

if TYPE_CHECKING:
    import torch

__all__ = ["change_volume", "concat_audio", "load_audio", "mix_audio", "silent_audio", "split_channels", "trim_audio"]

Sound = Annotated[Audio, Field(description="the sound")]


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
    audio: Sound,
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


@node("silent_audio")
def silent_audio(
    seconds: Annotated[float, Field(ge=0, le=1e6, description="how long it is")] = 60.0,
    sample_rate: Annotated[int, Field(ge=1, le=768_000, description="samples a second")] = 44100,
    channels: Annotated[int, Field(ge=1, le=2, description="1 is mono, 2 stereo")] = 2,
) -> Audio:
    """Make silence.

    Raises:
        LimitError: It is longer than the limits allow.
    """
    import torch

    count = round(seconds * sample_rate)
    _check_length(channels, count)
    return Audio(samples=torch.zeros(channels, count), sample_rate=sample_rate)


@node("change_volume", map=True)
def change_volume(
    audio: Sound,
    decibels: Annotated[float, Field(ge=-100, le=100, description="louder where positive; 6 is about twice")] = 0.0,
) -> Audio:
    """Make a sound louder or quieter: samples times 10 ** (decibels / 20)."""
    return replace(audio, samples=audio.samples * 10.0 ** (decibels / 20.0))


@node("concat_audio")
def concat_audio(
    first: Annotated[Audio, Field(description="a sound")],
    second: Annotated[Audio, Field(description="another sound")],
    direction: Annotated[
        Literal["after", "before"], Field(description="where the second one stands, seen from the first")
    ] = "after",
) -> Audio:
    """Put two sounds one after the other, as stereo where one of them is, at the higher of their rates.

    Raises:
        LimitError: Together they are longer than the limits allow.
    """
    import torch

    one, other = _matched(first, second)
    _check_length(one.samples.shape[0], one.samples.shape[1] + other.samples.shape[1])
    order = (one, other) if direction == "after" else (other, one)
    return replace(one, samples=torch.cat([part.samples for part in order], dim=1))


@node("mix_audio")
def mix_audio(
    first: Annotated[Audio, Field(description="a sound, whose length counts")],
    second: Annotated[Audio, Field(description="another sound; cut, or followed by silence")],
    method: Annotated[Literal["add", "mean", "subtract", "multiply"], Field(description="what is computed")] = "add",
) -> Audio:
    """Let two sounds play together, at the higher of their rates; what is louder than 1 is made quieter as a whole."""
    import torch

    one, other = _matched(first, second)
    count = one.samples.shape[1]
    there = other.samples[:, :count]
    there = torch.nn.functional.pad(there, (0, count - there.shape[1]))
    mixed = {
        "add": lambda: one.samples + there,
        "mean": lambda: (one.samples + there) / 2,
        "subtract": lambda: one.samples - there,
        "multiply": lambda: one.samples * there,
    }[method]()
    peak = float(mixed.abs().amax()) if mixed.numel() else 0.0
    return replace(one, samples=mixed / peak if peak > 1 else mixed)


class Channels(NamedTuple):
    """The channels of a sound, each alone."""

    left: Audio
    right: Audio


@node("split_channels")
def split_channels(audio: Sound) -> Channels:
    """Take the channels of a stereo sound apart.

    Raises:
        InvalidInputError: It has not two channels.
    """
    if audio.samples.shape[0] != 2:
        raise InvalidInputError(f"the sound has {audio.samples.shape[0]} channels, not two", where="audio")
    left, right = (replace(audio, samples=audio.samples[channel : channel + 1]) for channel in (0, 1))
    return Channels(left, right)


def _matched(first: Audio, second: Audio) -> tuple[Audio, Audio]:
    """Return two sounds with as many channels and the rate of the one that has more."""
    rate = max(first.sample_rate, second.sample_rate)
    channels = max(first.samples.shape[0], second.samples.shape[0])
    one, other = (_with_channels(_resampled(sound, rate), channels) for sound in (first, second))
    return one, other


def _with_channels(audio: Audio, channels: int) -> Audio:
    """Return a sound with more channels; mono stands in each of them."""
    own = audio.samples.shape[0]
    if own not in (1, channels):
        raise InvalidInputError(f"sounds of {own} and {channels} channels cannot be put together")
    return audio if own == channels else replace(audio, samples=audio.samples.expand(channels, -1))


def _resampled(audio: Audio, rate: int) -> Audio:
    """Return a sound at a higher rate, band-limited: its Fourier transform with zeros for what it does not have."""
    import torch

    count = audio.samples.shape[1]
    if rate == audio.sample_rate or not count:
        return replace(audio, sample_rate=rate)
    wanted = round(count * rate / audio.sample_rate)
    _check_length(audio.samples.shape[0], wanted)
    spectrum = torch.fft.rfft(audio.samples.double())
    if count % 2 == 0 and wanted > count:
        spectrum[:, -1] /= 2  # the highest frequency stood for itself and its mirror
    samples = torch.fft.irfft(spectrum, n=wanted) * (wanted / count)
    return Audio(samples=samples.float(), sample_rate=rate)


def _check_length(channels: int, count: int) -> None:
    if 4 * channels * count > LIMITS.loaded_bytes:
        raise LimitError(f"{count:,} samples of {channels} channels take more than {LIMITS.loaded_bytes:,} bytes")


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

"""Videos and sound: latents, files, cutting."""

from __future__ import annotations

import io
import math
import wave
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphflow import nodes
from graphflow.errors import InvalidInputError, LimitError, MediaError
from graphflow.values import Audio, Latent, Video
from tests.nodes.fakes import Told


def frames(count: int, fps: float = 4.0) -> Video:
    levels = torch.arange(count, dtype=torch.float32).div(255)[:, None, None, None]
    return Video(frames=levels.expand(-1, 3, 6, 10).clone(), fps=fps)


def counted(count: int) -> Latent:
    return Latent(samples=torch.arange(count, dtype=torch.float32)[None, None, :, None, None].expand(2, 3, -1, 4, 5))


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ({}, (1, 16, 7, 60, 106)),
        ({"width": 832, "height": 480, "length": 81, "batch_size": 2}, (2, 16, 21, 60, 104)),
        (
            {"width": 768, "height": 512, "length": 97, "channels": 128, "downscale": 32, "time_downscale": 8},
            (1, 128, 13, 16, 24),
        ),
        ({"length": 1}, (1, 16, 1, 60, 106)),
    ],
)
def test_an_empty_video_latent_has_one_frame_and_then_one_for_each_group(
    sizes: dict[str, int], shape: tuple[int, ...]
) -> None:
    latent = nodes.empty_video_latent(**sizes)
    assert latent.samples.shape == shape
    assert not latent.samples.any()
    assert latent.downscale == sizes.get("downscale", 8)


def test_an_empty_video_latent_has_bounds() -> None:
    with pytest.raises(InvalidInputError, match="smaller than one latent sample"):
        nodes.empty_video_latent(width=16, height=64, downscale=32)
    with pytest.raises(LimitError, match="latent frames"):
        nodes.empty_video_latent(width=4096, height=4096, length=10_000)


def test_latent_frames_are_left_out_at_the_start() -> None:
    assert nodes.trim_video_latent(counted(5), 2).samples[1, 2, :, 0, 0].tolist() == [2, 3, 4]
    assert torch.equal(nodes.trim_video_latent(counted(5)).samples, counted(5).samples)
    with pytest.raises(InvalidInputError, match="leave none"):
        nodes.trim_video_latent(counted(5), 5)
    with pytest.raises(InvalidInputError, match="of pictures"):
        nodes.trim_video_latent(Latent(samples=torch.zeros(1, 4, 8, 8)), 1)


@pytest.mark.parametrize(("start", "expected"), [(0, [0, 1, 2, 3, 4]), (3, [0, 1, 2, 0, 1]), (-2, [0, 1, 2, 0, 1])])
def test_latent_frames_are_put_in_the_place_of_others(start: int, expected: list[int]) -> None:
    before = counted(5)
    after = nodes.replace_latent_frames(before, counted(2), start)
    assert after.samples[0, 0, :, 3, 4].tolist() == expected
    assert torch.equal(before.samples, counted(5).samples)


def test_latent_frames_that_do_not_fit_are_refused() -> None:
    assert torch.equal(nodes.replace_latent_frames(counted(5)).samples, counted(5).samples)
    for start in (4, -6):
        with pytest.raises(InvalidInputError, match="do not lie inside"):
            nodes.replace_latent_frames(counted(5), counted(2), start)
    with pytest.raises(InvalidInputError, match="does not fit"):
        nodes.replace_latent_frames(counted(5), Latent(samples=torch.zeros(2, 3, 1, 8, 8)))


@pytest.mark.parametrize(("start", "length", "expected"), [(1, 2, [1, 2]), (-2, 9, [3, 4]), (9, 1, [4])])
def test_frames_are_cut_out_of_latents(start: int, length: int, expected: list[int]) -> None:
    assert nodes.cut_latent(counted(5), "t", start, length).samples[1, 2, :, 0, 0].tolist() == expected


def test_latents_of_videos_are_joined() -> None:
    for direction, expected in (("after", [0, 1, 2, 0, 1]), ("before", [0, 1, 0, 1, 2])):
        joined = nodes.concat_latents(counted(3), counted(2), direction)
        assert joined.samples[1, 0, :, 2, 2].tolist() == expected
    still = Latent(samples=torch.zeros(1, 3, 4, 5))
    with pytest.raises(InvalidInputError, match="of pictures"):
        nodes.concat_latents(still, still, "after")
    with pytest.raises(InvalidInputError, match="of pictures"):
        nodes.cut_latent(still, "t")
    with pytest.raises(InvalidInputError, match="different sizes"):
        nodes.concat_latents(counted(3), Latent(samples=torch.zeros(2, 3, 1, 8, 8)), "after")


def test_latents_of_videos_are_resampled_frame_by_frame(told: Told) -> None:
    larger = nodes.upscale_latent(counted(5), scale=2.0).samples
    assert larger.shape[2:] == (5, 8, 10)
    assert larger[0, 0, :, 0, 0].tolist() == counted(5).samples[0, 0, :, 0, 0].tolist()
    assert nodes.latent_size(counted(5)) == (40, 32, 2)


@pytest.mark.parametrize("format", ["webp", "png", "gif"])
def test_what_save_video_writes_load_video_reads(told: Told, tmp_path: Path, format: str) -> None:
    (file,) = nodes.save_video(frames(5), format=format, quality=100).files
    path = tmp_path / f"video{file.suffix}"
    path.write_bytes(file.data)
    read = nodes.load_video(str(path))
    assert read.fps == 4.0
    assert torch.allclose(read.frames, frames(5).frames, atol=1e-6)


def test_a_file_of_another_kind_is_refused_with_a_way_out(told: Told, tmp_path: Path) -> None:
    for name, load in (("a.mp4", nodes.load_video), ("a.mp3", nodes.load_audio)):
        path = tmp_path / name
        path.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(64))
        with pytest.raises(MediaError, match="convert it"):
            load(str(path))


@pytest.mark.parametrize(
    ("start", "duration", "kept"),
    [(0.0, 0.0, (0, 8)), (0.5, 1.0, (2, 6)), (-0.5, 0.0, (6, 8)), (1.0, 9.0, (4, 8)), (1.9, 0.01, (7, 8))],
)
def test_a_part_of_a_video(start: float, duration: float, kept: tuple[int, int]) -> None:
    part = nodes.slice_video(frames(8), start, duration)
    assert torch.equal(part.frames, frames(8).frames[slice(*kept)])


def test_a_part_outside_of_a_video_is_refused() -> None:
    for start, duration, strict in ((2.0, 0.0, False), (-3.0, 0.0, False), (1.0, 1.5, True)):
        with pytest.raises(InvalidInputError, match="do not lie inside"):
            nodes.slice_video(frames(8), start, duration, strict)


def wav(path: Path, data: bytes, width: int, channels: int = 1) -> str:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(width)
        sound.setframerate(8000)
        sound.writeframes(data)
    path.write_bytes(stream.getvalue())
    return str(path)


@given(samples=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=20), width=st.sampled_from([1, 2, 3, 4]))
def test_whole_numbers_of_any_width_are_read(
    tmp_path_factory: pytest.TempPathFactory, samples: list[int], width: int
) -> None:
    from graphflow import runtime
    from tests.nodes.fakes import FakeModels

    whole = [sample >> 8 * (4 - width) for sample in samples]
    data = b"".join((x + 128 * (width == 1)).to_bytes(width, "little", signed=width > 1) for x in whole)
    with runtime.using(Told().runtime(FakeModels())):
        read = nodes.load_audio(wav(tmp_path_factory.mktemp("wav") / "a.wav", data, width))
    assert read.sample_rate == 8000
    assert torch.allclose(read.samples, torch.tensor([whole]) / 2.0 ** (8 * width - 1), atol=1e-6)


def test_what_save_audio_writes_load_audio_reads(told: Told, tmp_path: Path) -> None:
    sound = Audio(samples=torch.tensor([[0.0, 0.5, -1.0], [1.0, -0.25, 0.125]]), sample_rate=22050)
    (file,) = nodes.save_audio(sound).files
    (tmp_path / "a.wav").write_bytes(file.data)
    read = nodes.load_audio(str(tmp_path / "a.wav"))
    assert read.sample_rate == 22050
    assert torch.allclose(read.samples, sound.samples, atol=1 / 16384)


def test_a_part_of_a_sound() -> None:
    sound = Audio(samples=torch.arange(40.0)[None].expand(2, -1), sample_rate=10)
    assert nodes.trim_audio(sound, 1.0, 0.5).samples[1].tolist() == [10, 11, 12, 13, 14]
    assert nodes.trim_audio(sound, -0.2).samples[0].tolist() == [38, 39]
    with pytest.raises(InvalidInputError, match="nothing of 4 seconds"):
        nodes.trim_audio(sound, 4.0)


def tone(rate: int, seconds: float = 1.0, hertz: float = 5.0) -> torch.Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(round(rate * seconds)) / rate)[None]


def test_sounds_are_joined_as_stereo_at_the_higher_rate() -> None:
    slow, fast = Audio(samples=tone(40), sample_rate=40), Audio(samples=tone(100).expand(2, -1), sample_rate=100)
    after, before = nodes.concat_audio(slow, fast), nodes.concat_audio(slow, fast, "before")
    assert (after.samples.shape, after.sample_rate) == ((2, 200), 100)
    assert torch.allclose(after.samples, tone(100, 2.0).expand(2, -1), atol=1e-5)
    assert torch.equal(before.samples[:, :100], after.samples[:, 100:])
    with pytest.raises(InvalidInputError, match="sounds of 2 and 3 channels"):
        nodes.concat_audio(fast, Audio(samples=torch.zeros(3, 5), sample_rate=100))


@pytest.mark.parametrize(
    ("method", "wanted"), [("add", [0.5, 1.0, 0.25]), ("mean", [0.25, 0.5, 0.125]), ("subtract", [0.5, 0.0, 0.25]),
                           ("multiply", [0.0, 0.25, 0.0])]
)  # fmt: skip
def test_sounds_are_mixed_over_the_length_of_the_first(method: Any, wanted: list[float]) -> None:
    first, second = torch.tensor([[0.5, 0.5, 0.25]]), torch.tensor([[0.0, 0.5]])
    assert nodes.mix_audio(Audio(samples=first), Audio(samples=second), method).samples.tolist() == [wanted]
    assert nodes.mix_audio(Audio(samples=second), Audio(samples=first), method).samples.shape == (1, 2)


def test_what_is_too_loud_together_is_made_quieter_as_a_whole() -> None:
    loud = Audio(samples=torch.tensor([[1.0, 0.5, -0.25]]))
    assert nodes.mix_audio(loud, loud).samples.tolist() == [[1.0, 0.5, -0.25]]


def test_silence_volume_and_channels() -> None:
    silent = nodes.silent_audio(0.5, 10, 1)
    assert (silent.samples.tolist(), silent.sample_rate) == ([[0.0] * 5], 10)
    with pytest.raises(LimitError, match="take more than"):
        nodes.silent_audio(1e6, 768_000, 2)
    sound = Audio(samples=torch.tensor([[0.1, -0.2], [0.3, 0.4]]))
    assert torch.allclose(nodes.change_volume(sound, 20.0).samples, 10 * sound.samples)
    left, right = nodes.split_channels(sound)
    assert torch.equal(torch.cat([left.samples, right.samples]), sound.samples)
    with pytest.raises(InvalidInputError, match="has 1 channels, not two"):
        nodes.split_channels(left)

"""Reading and writing pictures, videos and sound."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL.PngImagePlugin import PngInfo

from graphflow import Session, Workflow, runtime
from graphflow.basics.eight_bits import content_digest, to_bytes_array
from graphflow.basics.finite import NonFiniteError
from graphflow.basics.marks import COMPOSITE, GENERATED, marks_of
from graphflow.converters.comfyui.metadata import texts_of
from graphflow.document.document import from_bytes
from graphflow.document.embedded import embedded_texts, png_texts
from graphflow.errors import LimitError, MediaError
from graphflow.limits import LIMITS
from graphflow.nodes import (
    load_image,
    load_mask,
    load_video,
    preview,
    save_audio,
    save_image,
    save_latent,
    save_video,
)
from graphflow.nodes.output.picture_bytes import encode_picture
from graphflow.nodes.output.saving import _durations
from graphflow.settings import Settings
from graphflow.spec.decorator import spec_of
from graphflow.values import Audio, Image, Latent, Video
from tests.nodes.fakes import Told

RECORD: dict[str, Any] = {"workflow": {"graphflow": 2, "name": "ünï"}, "record": {"device": "cpu"}}


def ramp(channels: int = 3, items: int = 1) -> Image:
    values = torch.arange(64 * channels * items, dtype=torch.float32).reshape(items, channels, 8, 8) % 256
    return Image(pixels=values / 255)


def opened(data: bytes) -> PIL.Image.Image:
    picture = PIL.Image.open(io.BytesIO(data))
    picture.load()
    return picture


# ------------------------------------------------------------------------------------------------ saving


@pytest.mark.parametrize("channels", [3, 4])
def test_png_is_lossless(told: Told, channels: int) -> None:
    (file,) = save_image((ramp(channels),)).files
    assert (file.stem, file.suffix) == ("graphflow", ".png")
    array = np.asarray(opened(file.data), dtype=np.float32) / 255
    assert np.array_equal(array, ramp(channels).pixels[0].permute(1, 2, 0).numpy())


def test_webp_at_full_quality_is_lossless(told: Told) -> None:
    (file,) = save_image((ramp(),), format="webp", quality=100).files
    array = np.asarray(opened(file.data), dtype=np.float32) / 255
    assert np.array_equal(array, ramp().pixels[0].permute(1, 2, 0).numpy())


def test_jpeg_puts_transparent_parts_on_white(told: Told) -> None:
    clear = torch.zeros(1, 4, 8, 8)
    (file,) = save_image((Image(pixels=clear),), format="jpeg").files
    assert file.suffix == ".jpg"
    assert opened(file.data).getpixel((3, 3)) == (255, 255, 255)


def test_rounding_and_truncating_differ() -> None:
    pixels = torch.full((3, 1, 1), 0.999)
    assert to_bytes_array(pixels, "round")[0, 0, 0] == 255
    assert to_bytes_array(pixels, "truncate")[0, 0, 0] == 254


@given(st.integers(0, 255))
def test_every_eight_bit_value_survives_rounding(value: int) -> None:
    assert to_bytes_array(torch.full((3, 1, 1), value / 255), "round")[0, 0, 0] == value


def saved(format: str, record: dict[str, Any] = RECORD, **options: Any) -> bytes:
    """A file of any format, which a node made that knew this record."""
    with runtime.using(Told().runtime(record=record)):
        if format == "wav":
            files = save_audio(Audio(samples=torch.linspace(-1, 1, 99)[None], sample_rate=8000), **options)
        elif format == "latent":
            files = save_latent((Latent(samples=torch.ones(1, 4, 2, 2)),), **options)
        elif format in ("gif", "animated webp", "animated png"):
            kind: Any = format.removeprefix("animated ")
            files = save_video(Video(frames=ramp(items=2).pixels, fps=4), format=kind, **options)
        else:
            files = save_image((ramp(),), format=format, **options)  # type: ignore[arg-type]
    return files.files[0].data


FORMATS = ("png", "webp", "jpeg", "gif", "animated webp", "animated png", "wav", "latent")


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_carries_workflow_record_and_mark_in_the_same_bytes(format: str, tmp_path: Path) -> None:
    data = saved(format, {**RECORD, "mark": COMPOSITE})
    assert data == saved(format, {**RECORD, "mark": COMPOSITE})
    texts = embedded_texts(io.BytesIO(data))
    assert texts is not None
    assert json.loads(texts["graphflow"]) == RECORD["workflow"]
    record = json.loads(texts["graphflow.record"])
    assert record.pop("content") and record.pop("number") == 0
    assert record == RECORD["record"]
    assert from_bytes(data, source="test", file="test").name == "ünï"
    path = tmp_path / "file"
    path.write_bytes(data)
    assert marks_of(path) == (COMPOSITE, False)
    if format not in ("gif", "wav", "latent"):  # Pillow finds it
        info = opened(data).info
        assert COMPOSITE in str(info["XML:com.adobe.xmp" if "png" in format else "xmp"])


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_but_the_mark_is_embedded_where_that_is_not_wanted(format: str) -> None:
    marked = saved(format, {**RECORD, "mark": GENERATED}, embed=False)
    plain = saved(format, embed=False)
    assert GENERATED.encode() in marked and marked != plain
    for data in (marked, plain):
        assert b"graphflow" not in data and b"device" not in data


def test_the_record_tells_what_a_lossless_picture_shows() -> None:
    texts = embedded_texts(io.BytesIO(saved("png"))) or {}
    content = json.loads(texts["graphflow.record"])["content"]
    assert content == content_digest([np.asarray(opened(saved("png")))])


def test_png_carries_workflow_and_record_as_texts() -> None:
    texts = {"graphflow": json.dumps(RECORD["workflow"]), "workflow": '{"nodes": []}', "prompt": '{"1": {}}'}
    data, large = encode_picture(to_bytes_array(ramp().pixels[0], "round"), "png", quality=90, texts=texts, mark="")
    assert not large
    assert dict(png_texts(data)) == texts


@pytest.mark.parametrize("format", ["webp", "jpeg"])
def test_webp_and_jpeg_carry_a_comfyui_workflow_where_it_is_looked_for(format: str) -> None:
    foreign = {"prompt": {"1": {"text": "ü"}}, "workflow": {"nodes": []}}
    texts = {"graphflow": "{}", **{name: json.dumps(value) for name, value in foreign.items()}}
    array = to_bytes_array(ramp().pixels[0], "round")
    data, large = encode_picture(array, format, quality=90, texts=texts, mark="")  # type: ignore[arg-type]
    assert not large
    found = texts_of(io.BytesIO(data), format, "a file")
    assert {name: json.loads(found[name]) for name in ("prompt", "workflow")} == foreign
    assert opened(data).getexif().get_ifd(0x8769)[0x9286].startswith(b"ASCII\0\0\0{")


def test_a_workflow_too_large_for_jpeg_goes_into_a_file_beside_it() -> None:
    with runtime.using(Told().runtime(record={"workflow": {"graphflow": 2, "note": "x" * 70_000}, "mark": GENERATED})):
        (file,) = save_image((ramp(),), format="jpeg").files
    assert not opened(file.data).getexif() and GENERATED.encode() in file.data
    assert len(json.loads(file.sidecar)["graphflow"]["note"]) == 70_000


def test_names_tell_the_numbers_of_a_batch(told: Told) -> None:
    batch = Image(pixels=torch.rand(2, 3, 8, 8), numbers=(0, 3), withheld=2)
    files = save_image((batch, ramp()), filename_prefix="x")
    assert [(file.stem, file.number) for file in files.files] == [("x-0", 0), ("x-3", 3), ("x-4", 4)]
    assert files.withheld == 2


def test_a_batch_may_come_without_a_sequence(told: Told) -> None:
    assert len(save_image(ramp(items=2)).files) == 2  # type: ignore[arg-type]


def test_nothing_left_is_nothing_saved(told: Told) -> None:
    files = save_image((Image(pixels=torch.zeros(0, 3, 8, 8), withheld=1),))
    assert files.files == ()
    assert files.withheld == 1


def test_nan_is_never_a_black_picture(told: Told) -> None:
    with pytest.raises(NonFiniteError):
        save_image((Image(pixels=torch.full((1, 3, 8, 8), float("nan"))),))


def test_formats_have_their_largest_edge() -> None:
    with pytest.raises(MediaError, match="16383"):
        encode_picture(np.zeros((1, 20_000, 3), np.uint8), "webp", quality=90, texts={}, mark="")


def test_previews_are_small(told: Told) -> None:
    large = Image(pixels=torch.rand(1, 3, 64, 128))
    assert opened(preview((large,), max_edge=64).files[0].data).size == (64, 32)


@pytest.mark.parametrize("format", ["webp", "gif"])
def test_a_video_keeps_its_frames_and_its_length(told: Told, format: str) -> None:
    frames = torch.stack([torch.full((3, 8, 8), value / 4) for value in range(5)])
    (file,) = save_video(Video(frames=frames, fps=10), format=format, quality=100).files  # type: ignore[arg-type]
    animation = PIL.Image.open(io.BytesIO(file.data))
    assert animation.n_frames == 5  # type: ignore[attr-defined]
    total = 0
    for index in range(5):
        animation.seek(index)
        animation.load()
        total += animation.info["duration"]
    assert total == 500


@given(st.integers(1, 300), st.floats(1, 120))
def test_frame_times_add_up(count: int, fps: float) -> None:
    times = _durations(count, fps)
    assert len(times) == count
    assert sum(times) == round(1000 * count / fps)


def test_a_picture_does_not_say_in_which_folders_its_files_lie(tmp_path: Path) -> None:
    folder = tmp_path / "of-somebody"
    folder.mkdir()
    write(folder / "in.png", PIL.Image.new("RGB", (8, 8), (9, 9, 9)))
    g = Workflow()
    g.add(save_image, images=g.add(load_image, file=folder / "in.png", id="load").image)
    g.add(save_image, images=g.add(load_image, file=str(folder / "in.png"), keep_alpha=True).image)
    settings = Settings.model_validate({"models": (), "cache_dir": tmp_path / "cache", "device": "cpu"})
    result = Session(settings).run(g, out=tmp_path / "out")
    for path in result.paths:
        assert b"of-somebody" not in path.read_bytes()
        texts = dict(png_texts(path.read_bytes()))
        assert json.loads(texts["graphflow"])["nodes"]["load"]["params"]["file"] == "in.png"
        assert list(json.loads(texts["graphflow.record"])["files"]) == ["in.png"]
    assert g.document.nodes["load"].params["file"] == str(folder / "in.png")


def test_a_file_name_is_counted_in_bytes() -> None:
    check = spec_of(save_image).inputs["filename_prefix"].check
    assert check("x" * 100)[1] is None and check("é" * 100)[1] is None
    assert "at most 200 bytes of UTF-8, this has 400" in str(check("🙂" * 100)[1])


def test_an_empty_video_is_refused(told: Told) -> None:
    with pytest.raises(MediaError, match="frames"):
        save_video(Video(frames=torch.zeros(0, 3, 8, 8)))


def test_sound_is_written_as_wav(told: Told) -> None:
    samples = torch.tensor([[0.0, 0.5, -1.0], [1.0, 2.0, 0.0]])
    (file,) = save_audio(Audio(samples=samples, sample_rate=8000)).files
    with wave.open(io.BytesIO(file.data)) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getsampwidth()) == (2, 8000, 2)
        values = np.frombuffer(sound.readframes(3), dtype="<i2").reshape(3, 2)
    assert values.tolist() == [[0, 32767], [16384, 32767], [-32767, 0]]
    with pytest.raises(MediaError):
        save_audio(Audio(samples=torch.zeros(1, 0)))


# ----------------------------------------------------------------------------------------------- reading


def write(path: Path, picture: PIL.Image.Image, **options: Any) -> str:
    picture.save(path, **options)
    return str(path)


def speckled() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def test_a_picture_and_its_transparency(told: Told, tmp_path: Path) -> None:
    picture = PIL.Image.new("RGBA", (4, 2), (255, 0, 51, 255))
    picture.putpixel((1, 0), (0, 0, 0, 0))
    image, mask = load_image(write(tmp_path / "a.png", picture))
    assert image.pixels.shape == (1, 3, 2, 4)
    assert image.pixels[0, :, 1, 3].tolist() == pytest.approx([1.0, 0.0, 0.2])
    assert mask.values[0].tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]
    assert load_image(str(tmp_path / "a.png"), keep_alpha=True).image.pixels.shape == (1, 4, 2, 4)
    assert torch.equal(load_mask(str(tmp_path / "a.png"), "alpha").values, mask.values)


def test_a_picture_without_alpha_has_an_empty_mask(told: Told, tmp_path: Path) -> None:
    name = write(tmp_path / "a.jpg", PIL.Image.new("L", (4, 2), 128))
    image, mask = load_image(name)
    assert image.pixels.shape == (1, 3, 2, 4)
    assert not mask.values.any()
    assert load_mask(name, "green").values.mean() == pytest.approx(128 / 255, abs=0.01)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_colours_in_range(told: Told, tmp_path: Path, mode: str) -> None:
    name = write(
        tmp_path / "a.tiff", PIL.Image.new(mode, (3, 2)) if mode != "P" else PIL.Image.new("RGB", (3, 2)).convert("P")
    )
    pixels = load_image(name).image.pixels
    assert pixels.shape == (1, 3, 2, 3)
    assert 0 <= pixels.min() <= pixels.max() <= 1


def test_sixteen_bits_keep_their_scale(told: Told, tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    pixels = load_image(write(tmp_path / "a.png", picture)).image.pixels
    assert pixels[0, 0, 0].tolist() == pytest.approx([0, 32768 / 65535, 1])


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_all_frames_of_an_animated_picture(told: Told, tmp_path: Path, suffix: str) -> None:
    frames = [PIL.Image.new("RGB", (4, 2), (value, 0, 0)) for value in (0, 128, 255)]
    name = write(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], lossless=True)
    assert load_image(name).image.pixels.shape == (1, 3, 2, 4)
    image, mask = load_image(name, frames="all")
    assert image.pixels[:, 0].mean(dim=(1, 2)).tolist() == pytest.approx([0, 128 / 255, 1], abs=0.02)
    assert mask.values.shape == (3, 2, 4)
    assert not mask.values.any()


def test_frames_of_another_size_are_left_out(told: Told, tmp_path: Path) -> None:
    sizes = [(4, 2), (2, 4), (4, 2)]
    pages = [PIL.Image.new("RGB", size, (number * 100, 0, 0)) for number, size in enumerate(sizes)]
    name = write(tmp_path / "a.tiff", pages[0], save_all=True, append_images=pages[1:])
    pixels = load_image(name, frames="all").image.pixels
    assert pixels[:, 0].mean(dim=(1, 2)).tolist() == pytest.approx([0, 200 / 255])


def test_the_further_pictures_of_a_phone_are_no_frames(told: Told, tmp_path: Path) -> None:
    views = [PIL.Image.new("RGB", (8, 8), (value, 0, 0)) for value in (0, 255)]
    name = write(tmp_path / "a.jpg", views[0], format="MPO", save_all=True, append_images=views[1:])
    with PIL.Image.open(name) as opened:
        assert (opened.format, getattr(opened, "n_frames", 1)) == ("MPO", 2)
    assert load_image(name, frames="all").image.pixels.shape == (1, 3, 8, 8)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "LA"])
def test_a_transparent_colour_is_no_mask_but_a_transparent_entry_of_a_palette_is(
    told: Told, tmp_path: Path, mode: str
) -> None:
    picture = PIL.Image.new("RGBA", (2, 1), (255, 255, 255, 255))
    picture.putpixel((0, 0), (0, 0, 0, 0))
    colour = {"RGB": (0, 0, 0), "L": 0, "P": picture.convert("P").getpixel((0, 0))}
    options = {"transparency": colour[mode]} if mode in colour else {}
    name = write(tmp_path / "a.png", picture.convert(mode), **options)
    image, mask = load_image(name, keep_alpha=True)
    clear = mode in ("P", "LA")
    assert mask.values[0].tolist() == [[float(clear), 0.0]]
    assert image.pixels.shape[1] == (4 if clear else 3)
    assert load_mask(name, "alpha").values[0].tolist() == [[1.0, 0.0]]


def test_exif_turns_a_picture_upright(told: Told, tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    name = write(tmp_path / "a.jpg", PIL.Image.new("RGB", (4, 2)), exif=exif)
    assert load_image(name).image.pixels.shape == (1, 3, 4, 2)


def test_saving_and_loading_are_inverse(told: Told, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(save_image((ramp(),)).files[0].data)
    assert torch.equal(load_image(str(path)).image.pixels, ramp().pixels)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_what_is_no_picture_is_refused(told: Told, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(MediaError):
        load_image(str(path))


@pytest.mark.parametrize("format", ["png", "jpeg", "bmp", "gif", "tiff"])
def test_a_cut_picture_keeps_what_is_there(told: Told, tmp_path: Path, format: str) -> None:
    name = write(tmp_path / f"a.{format}", PIL.Image.fromarray(speckled()), interlace=False)
    whole, data = load_image(name).image.pixels, Path(name).read_bytes()
    assert not told.notices
    Path(name).write_bytes(data[: len(data) * 3 // 4])
    pixels = load_image(name).image.pixels
    if format == "bmp":  # is stored from below
        pixels, whole = pixels.flip(-2), whole.flip(-2)
    assert torch.equal(pixels[..., :16, :], whole[..., :16, :])
    missing = pixels[0, :, -8:].flatten(1)
    assert torch.equal(missing, missing[:, :1].expand_as(missing))
    if format == "jpeg":
        assert missing[:, 0].tolist() == pytest.approx([128 / 255] * 3)
    (notice,) = told.notices
    assert name in notice and "is damaged" in notice


def test_of_a_cut_animation_the_frames_that_are_there_are_read(told: Told, tmp_path: Path) -> None:
    frames = [PIL.Image.fromarray(np.roll(speckled(), turn)) for turn in range(3)]
    name = write(tmp_path / "a.png", frames[0], save_all=True, append_images=frames[1:])
    data = Path(name).read_bytes()
    Path(name).write_bytes(data[: len(data) // 2])
    assert len(load_video(name).frames) == len(load_image(name, frames="all").image.pixels) == 2
    assert len(told.notices) == 2


def test_no_cut_of_a_picture_gives_a_traceback_or_a_picture_of_nothing(told: Told, tmp_path: Path) -> None:
    array = to_bytes_array(torch.rand(3, 40, 40), "round")
    data = encode_picture(array, "png", quality=90, texts={"graphflow": json.dumps(RECORD)}, mark="")[0]
    path = tmp_path / "a.png"
    for cut in range(0, len(data) - 12, 97):
        path.write_bytes(data[:cut])
        try:
            pixels = load_image(str(path)).image.pixels
        except MediaError:
            continue
        assert pixels.std() > 0 and told.notices
        told.notices.clear()


def test_colour_profiles_and_texts_beyond_the_limits_are_passed_over(told: Told, tmp_path: Path) -> None:
    texts = PngInfo()
    texts.add_text("note", "x" * 2**21, zip=True)
    texts.add_itxt("another", "x" * 2**21, zip=True)
    name = write(tmp_path / "a.png", PIL.Image.fromarray(speckled()), pnginfo=texts, icc_profile=bytes(2**21))
    assert (load_image(name).image.pixels[0].permute(1, 2, 0) * 255).round().byte().tolist() == speckled().tolist()
    assert not told.notices


def test_formats_beyond_the_list_are_refused(told: Told, tmp_path: Path) -> None:
    name = write(tmp_path / "a.ppm", PIL.Image.new("RGB", (2, 2)))
    with pytest.raises(MediaError, match="known format"):
        load_image(name)


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(told: Told, tmp_path: Path) -> None:
    name = write(tmp_path / "a.png", PIL.Image.new("1", (LIMITS.edge + 1, 1)))
    with pytest.raises(LimitError, match="32769"):
        load_image(name)


def test_a_missing_file_is_named(told: Told) -> None:
    with pytest.raises(MediaError, match="nowhere"):
        load_image("nowhere.png")


def test_a_name_that_planning_has_not_seen_is_refused(tmp_path: Path) -> None:
    name = write(tmp_path / "a.png", PIL.Image.new("RGB", (2, 2)))
    with runtime.using(Told().runtime(trusted=frozenset())), pytest.raises(MediaError, match="literal"):
        load_image(name)
    with runtime.using(Told().runtime(trusted=frozenset(), files={"b": name})):
        assert load_image("b").image.pixels.shape == (1, 3, 2, 2)

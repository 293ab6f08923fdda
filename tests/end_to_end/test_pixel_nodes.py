"""Nodes on latents, masks, pictures, texts, numbers and sequences, in graphs that the engine runs."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest
import torch
from PIL import Image as Pillow

from graphflow.session import Session
from graphflow.values import Image, Latent, Mask
from tests.closeness import assert_close
from tests.end_to_end.graph import Graph


def test_a_part_is_cut_out_changed_and_put_back(session: Session) -> None:
    g = Graph(session)
    whole = g.picture()
    found = g.grow_mask(mask=g.mask_from_color(images=whole, color="#dc2828", tolerance=60), amount=2)
    bounds = g.mask_bounds(mask=found, padding=2)
    place = {"x": bounds.x, "y": bounds.y}
    part = g.crop_image(images=whole, **place, width=bounds.width, height=bounds.height)
    hole = g.crop_mask(mask=found, **place, width=bounds.width, height=bounds.height)
    back = g.composite_images(destination=whole, source=g.invert_image(images=part), mask=hole, **place)
    mask, before, after = g.values(found, whole, back)
    inside = mask.values[0].bool()
    assert 0.05 < inside.float().mean() < 0.5
    assert torch.equal(after.pixels[0][:, ~inside], before.pixels[0][:, ~inside])
    assert torch.allclose(after.pixels[0][:, inside], 1 - before.pixels[0][:, inside], atol=1e-6)


def test_masks_are_made_and_combined(session: Session) -> None:
    g = Graph(session)
    left = g.rectangle_mask(width=32, height=32, left=0.0, right=0.5, top=0.0, bottom=1.0)
    soft = g.feather_mask(mask=g.solid_mask(width=32, height=32), left=8, right=8)
    both = g.compose_masks(destination=left, source=soft, operation="multiply")
    sharp = g.threshold_mask(mask=g.blur_mask(mask=both), threshold=0.25)
    small = g.resize_mask(mask=g.invert_mask(mask=sharp), width=16, height=16)
    grey = g.mask_from_image(images=g.mask_to_image(mask=small), channel="brightness")
    one, two = g.values(small, grey)
    assert isinstance(one, Mask)
    assert_close(two.values, one.values)
    assert one.values[0, 8, 12] == pytest.approx(1, rel=1e-5)


def test_pictures_are_filtered_and_laid_over_each_other(session: Session) -> None:
    g = Graph(session)
    whole = g.picture()
    smooth = g.sharpen_image(images=g.blur_image(images=whole, radius=2))
    poor = g.quantize_image(images=g.morphology(images=smooth, operation="open"), colors=8, dither="bayer-4")
    noisy = g.add_image_noise(images=g.adjust_image(images=poor, contrast=1.2), seed=3, strength=0.05)
    mixed = g.blend_images(first=whole, second=noisy, factor=0.5, mode="soft_light")
    planes = g.rgb_to_yuv(images=g.match_colors(images=mixed, reference=whole))
    again = g.yuv_to_rgb(y=planes.y, u=planes.u, v=planes.v)
    clear = g.split_alpha(images=g.join_alpha(images=again, mask=g.solid_mask(width=64, height=64, value=0.5)))
    over = g.porter_duff(
        source=clear.image, source_alpha=clear.mask, destination=whole, destination_alpha=g.solid_mask(value=0.0)
    )
    before, after = g.values(whole, over.image)
    assert after.pixels.shape == before.pixels.shape
    assert 0.001 < (after.pixels - before.pixels).abs().mean() < 0.2


def test_pictures_are_picked_placed_and_shifted_in_hue(session: Session) -> None:
    g = Graph(session)
    ground = g.gradient_image(width=64, height=64, start="#000000", end="#ffffff")
    pile = g.batch_images(images=[g.invert_image(images=g.picture()), g.picture()])
    picked = g.pick_images(images=pile, places="-1")
    placed = g.place_image(destination=ground, source=g.shift_hsv(images=picked, hue=120.0), scale=0.5)
    before, source, after, cover = g.values(ground, picked, placed.image, placed.mask)
    outside = cover.values[0] == 0
    assert 0.7 < outside.float().mean() < 0.8
    assert torch.equal(after.pixels[0][:, outside], before.pixels[0][:, outside])
    red, green, blue = after.pixels[0, :, 32, 32]
    assert (blue - red - green).item() < 0 < (green - red).item()
    assert source.pixels[0, 0, 32, 32] > source.pixels[0, 1, 32, 32]


def test_pictures_are_turned_padded_and_joined(session: Session) -> None:
    g = Graph(session)
    whole = g.picture()
    turned = g.flip_image(images=g.rotate_image(images=whole, degrees=180), direction="vertical")
    side = g.stitch_images(first=whole, second=turned, spacing=4)
    fitted = g.resize_and_pad(images=g.pad_image(images=side, top=6, fill="edge"), width=96, height=96)
    preset = g.resize_to_preset(images=fitted, preset="sdxl", method="nearest")
    pile = g.batch_images(images=[fitted, g.solid_image(width=96, height=96, batch_size=2), preset], resize=True)
    some = g.repeat_images(images=g.images_from_batch(images=pile, start=1, length=2), count=2)
    size, parts = g.image_size(images=some), g.rebatch_images(images=some, batch_size=3)
    batches, width, count, number = g.values(
        g.flip_image(images=parts, direction="horizontal"), size.width, size.batch_size, g.list_length(items=parts)
    )
    assert [len(batch.pixels) for batch in batches] == [3, 1]
    assert (width, count, number) == (96, 4, 2)


def test_latents_are_changed(session: Session, tmp_path: Path) -> None:
    g = Graph(session)
    vae = g.load_checkpoint(model="shapes").vae
    whole = g.encode_image(vae=vae, images=g.picture(128), tile=64, overlap=16)
    parts = [g.flip_latent(latent=whole), g.rotate_latent(latent=whole, degrees=90), whole]
    pile = g.batch_noise(latent=g.repeat_latents(latent=g.batch_latents(latents=parts), count=2))
    first = g.latents_from_batch(latent=pile, start=2, length=1)
    halves = [g.cut_latent(latent=first, axis="x", start=start, length=8) for start in (0, 8)]
    joined = g.concat_latents(first=halves[0], second=halves[1])
    pasted = g.composite_latents(
        destination=joined, source=g.crop_latent(latent=joined, width=64, height=64), feather=8
    )
    mixed = g.blend_latents(first=pasted, second=g.multiply_latent(latent=whole, factor=0.5), factor=0.9)
    zero = g.combine_latents(first=mixed, second=mixed, operation="subtract")
    sharp = g.tonemap_latent(latent=g.sharpen_latent(latent=mixed, radius=2, strength=0.1), multiplier=50.0)
    g.save_latent(latent=whole, filename_prefix="kept")
    sequence = g.rebatch_latents(latents=pile, batch_size=4)
    again, nothing, ready, shapes, size = g.values(
        joined, zero, g.vae_decode(vae=vae, latent=sharp), sequence, g.latent_size(latent=pile).batch_size
    )
    (original,) = g.values(whole)
    assert torch.equal(again.samples, original.samples)
    assert not nothing.samples.any()
    assert isinstance(ready, Image)
    assert ready.pixels.shape == (1, 3, 128, 128)
    assert [len(part.samples) for part in shapes] == [4, 2]
    assert size == 6
    paths, _ = g.write(tmp_path)
    assert paths[0].suffix == ".latent"
    loaded = Graph(session)
    (back,) = loaded.values(loaded.load_latent(file=paths[0].name), folder=tmp_path)
    assert isinstance(back, Latent)
    assert torch.equal(back.samples, original.samples)


def test_texts_and_numbers_are_settled_while_planning(session: Session) -> None:
    g = Graph(session)
    word = g.text_case(text=g.text_trim(text="  RED "), case="lower")
    long = g.expression(
        expression="a * 2 if b else 0", a=g.text_length(text=word), b=g.text_contains(text=word, find="re")
    )
    size = g.aspect_ratio_size(ratio="1:1", megapixels=0.01, multiple_of=8)
    other = g.resolution_preset(preset="512 x 512 (1:1)")
    check = g.bool_math(a=g.text_compare(a=word, b="red"), b=g.compare(a=1.0, b=2.0, operation="less"))
    seed = g.random_int(seed=5, maximum=10)
    line = g.text_format(
        template="{a} {b} {c:.1f} {d}",
        a=word,
        b=long.rounded,
        c=g.to_float(value="2.5"),
        d=g.to_int(value=g.to_text(value=7)),
    )
    picture = g.solid_image(width=size.width, height=g.switch(select=check, on_true=size.height, on_false=other.height))
    noise = g.add_image_noise(images=picture, seed=seed, strength=g.random_float(seed=seed, maximum=0.5))
    choice = g.random_line(text=g.text_substring(text="red\ngreen\nblue", start=4), seed=seed)
    g.workflow.output("noise", noise)
    plan = session.plan(g.workflow)
    assert {step.id for step in plan.steps.values() if step.action == "run"} == {picture.node, noise.node}
    assert g.values(line)[0] == "red 6 2.5 7"
    assert g.values(picture)[0].pixels.shape == (1, 3, 104, 104)
    assert g.values(choice)[0] in ("green", "blue")


def test_expressions_over_texts_run(session: Session) -> None:
    g = Graph(session)
    text = "size: 24 x 16"
    width = g.to_int(value=g.regex_extract(text=text, pattern=r"(\d+) x", mode="first_group"))
    height = g.to_int(value=g.regex_replace(text=text, pattern=r"^.* x ", replacement=""))
    shown = g.solid_image(width=width, height=height)
    found, match = g.values(shown, g.regex_match(text=text, pattern=r"\d+ x \d+"))
    assert found.pixels.shape == (1, 3, 16, 24)
    assert match is True


def test_sequences_are_taken_apart(session: Session) -> None:
    g = Graph(session)
    widths = g.int_range(count=3, start=8, step=8)
    pictures = g.solid_image(width=g.int_item(numbers=widths, index=-1), height=16)
    pile = g.image_list(images=[pictures, g.rebatch_images(images=g.solid_image(width=8, batch_size=2))])
    word = g.text_item(texts=g.text_lines(text="red\ngreen"), index=1)
    latent = g.latent_item(latents=g.rebatch_latents(latents=g.empty_latent(batch_size=3)), index=2)
    item, count, joined, taken = g.values(
        g.image_item(images=pile, index=0),
        g.list_length(items=pile),
        g.text_from_list(texts=g.text_lines(text="a\nb"), separator="+"),
        latent,
    )
    assert item.pixels.shape == (1, 3, 16, 24)
    assert (count, joined) == (3, "a+b")
    assert taken.batch_index == (2,)
    assert g.values(word) == ["green"]


def test_values_are_shown_and_kept(session: Session, tmp_path: Path) -> None:
    g = Graph(session)
    whole = g.picture(32)
    g.show(value=g.image_size(images=whole).width)
    g.save_text(text="a note", filename_prefix="note")
    pair = g.batch_images(images=[whole, g.invert_image(images=whole)])
    moving = g.images_to_video(images=pair, fps=4.0)
    g.save_video(video=moving, format="png", filename_prefix="moving")
    g.preview(images=g.video_to_images(video=moving).image)
    paths, told = g.write(tmp_path)
    assert "32" in told
    assert sorted(path.suffix for path in paths) == [".jpg", ".jpg", ".png", ".txt"]
    with Pillow.open(next(path for path in paths if path.suffix == ".png")) as opened:
        assert getattr(opened, "n_frames", 1) == 2


def test_editing_and_inpainting_models_get_their_channels(session: Session) -> None:
    g = Graph(session)
    parts = g.load_checkpoint(model="shapes")
    whole = g.picture(128)
    text = g.encode_prompt(text_encoder=parts.text_encoder, text="a red circle")
    sides = {"positive": text, "negative": text, "vae": parts.vae, "images": whole}
    paint = g.inpaint_conditioning(**sides, mask=g.rectangle_mask(width=128, height=128))
    edit = g.edit_conditioning(**sides)
    painted, edited = g.values(paint.positive, edit.negative)
    assert painted.entries[0].extras["picture"].shape == (1, 4, 16, 16)
    assert painted.entries[0].extras["hole"].shape == (1, 1, 128, 128)
    assert edited.entries[0].extras["picture"].shape == (1, 4, 16, 16)


def test_videos_and_sound_are_read_cut_and_written(session: Session, tmp_path: Path) -> None:
    pictures = [Pillow.new("RGB", (32, 16), (level, 0, 0)) for level in (0, 51, 102, 153)]
    pictures[0].save(tmp_path / "red.png", save_all=True, append_images=pictures[1:], duration=250)
    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 100, 0, "NONE", ""))
        sound.writeframes(b"".join((256 * number).to_bytes(2, "little") for number in range(100)))
    g = Graph(session)
    part = g.video_to_images(video=g.slice_video(video=g.load_video(file="red.png"), start=0.5, duration=0.25))
    tone = g.trim_audio(audio=g.load_audio(file="a.wav"), start=0.5, duration=0.25)
    both = g.concat_audio(first=tone, second=g.silent_audio(seconds=0.5, sample_rate=100, channels=2))
    mixed = g.mix_audio(first=both, second=tone, method="subtract")
    left = g.split_channels(audio=g.change_volume(audio=mixed, decibels=-6.0)).left
    image, fps, heard, rest = g.values(part.image, part.fps, tone, left, folder=tmp_path)
    assert torch.allclose(rest.samples, torch.zeros(1, 75), atol=1e-6)
    assert image.pixels[:, 0, 3, 7].tolist() == [torch.tensor(0.4).item()]
    assert fps == 4.0
    assert torch.allclose(heard.samples[0], torch.arange(50, 75) / 128)


def test_latents_of_videos_are_made_and_cut(session: Session) -> None:
    g = Graph(session)
    video = g.empty_video_latent(width=64, height=32, length=9)
    start = g.trim_video_latent(latent=video, count=2)
    whole, short = g.values(g.replace_latent_frames(latent=video, source=start, start=-1), start)
    assert isinstance(whole, Latent)
    assert (whole.samples.shape, short.samples.shape) == ((1, 16, 3, 4, 8), (1, 16, 1, 4, 8))

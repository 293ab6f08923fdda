"""Things in pictures: found, chosen, cut out, and put back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file

from graphflow import nodes
from graphflow.errors import InvalidInputError, LimitError, ModelFormatError, ModelNotFoundError
from graphflow.loading.manager import ModelManager
from graphflow.values import Area, Conditioning, ConditioningEntry, Control, ControlNet, Image, Latent, Mask, Segments
from graphflow.vision.describe import Task, describe
from graphflow.vision.detect import Found
from graphflow.vision.networks import VisionNetwork
from tests.closeness import assert_close
from tests.models.onnx_files import write_onnx
from tests.models.tiny_manager import make_manager, running


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ModelManager]:
    found = make_manager(tmp_path)
    with running(found):
        yield found


def picture(height: int = 64, width: int = 128, batch: int = 1) -> Image:
    return Image(pixels=torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(2)))


def rows(*found: tuple[float, ...], count: int = 40) -> np.ndarray[Any, Any]:
    """What a YOLO network gives: a column for each of many places."""
    made = np.zeros((1, len(found[0]), count), np.float32)
    for column, values in enumerate(found):
        made[0, :, column] = values
    return made


def blocks(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (60, 100)) -> Mask:
    """A mask that is 1 in rectangles (x, y, width, height)."""
    values = torch.zeros(1, *size)
    for x, y, width, height in boxes:
        values[0, y : y + height, x : x + width] = 1
    return Mask(values=values)


# ------------------------------------------------------------------------------------------------- detectors


def test_a_yolo_network_sees_the_whole_picture_and_each_thing_once(manager: ModelManager, tmp_path: Path) -> None:
    """A picture of 128 x 64 stands at half its size in the middle of a square of 64."""
    seen = rows((32, 32, 16, 16, 0.9, 0.1), (33, 32, 16, 16, 0.8, 0.1), (10, 30, 8, 8, 0.1, 0.7))
    write_onnx(tmp_path / "ultralytics" / "bbox" / "face.onnx", seen, names={0: "face", 1: "hand"})
    found = nodes.detect_segments(picture(batch=2), "bbox/face.pt", threshold=0.5, crop_factor=1.5)
    assert [(part.label, part.item, part.box) for part in found.parts] == [
        ("face", 0, (48, 16, 32, 32)), ("hand", 0, (12, 20, 16, 16)), ("face", 1, (48, 16, 32, 32)), ("hand", 1, (12, 20, 16, 16)),
    ]  # fmt: skip
    assert found.parts[0].crop == (40, 8, 48, 48)
    assert found.parts[0].mask.sum() == 32 * 32
    assert not nodes.detect_segments(picture(), "bbox/face.pt", threshold=0.95).parts


def test_a_yolo_network_that_selects_itself_gives_outlines(manager: ModelManager, tmp_path: Path) -> None:
    shapes = np.full((1, 2, 16, 16), -9, np.float32)
    shapes[0, 0, 4:12, 4:8] = 9  # the left half of the box, in quarters of the input
    chosen = np.zeros((1, 3, 8), np.float32)
    chosen[0, 0] = (16, 16, 48, 48, 0.9, 0, 1, 0)
    write_onnx(tmp_path / "detectors" / "person.onnx", chosen, shapes, names={0: "person"})
    whole = nodes.detect_segments(picture(64, 64), "person.onnx").parts[0]
    outline = nodes.detect_segments(picture(64, 64), "person.onnx", outline=True, crop_factor=1.0).parts[0]
    assert whole.box == outline.box == (16, 16, 32, 32) and whole.label == "person"
    assert outline.mask.shape == (32, 32)
    assert outline.mask[2:30, :14].min() == 1 and outline.mask[:, 18:].max() == 0


def test_what_no_detector_is_is_refused_with_the_way_out(manager: ModelManager, tmp_path: Path) -> None:
    folder = tmp_path / "ultralytics" / "bbox"
    write_onnx(folder / "odd.onnx", np.zeros((1, 3)))
    (folder / "torn.onnx").write_bytes(b"no network")
    (folder / "hand.pt").write_bytes(b"pickle")
    for name, error, words in (
        ("bbox/odd.onnx", ModelFormatError, "yolo export"),
        ("bbox/torn.onnx", ModelFormatError, "onnxruntime cannot read it"),
        ("bbox/hand.pt", ModelFormatError, "yolo export model=bbox/hand.pt format=onnx"),
        ("bbox/none.pt", ModelNotFoundError, "there is no detector"),
        ("bbox/none.pt", ModelNotFoundError, "yolo export model=bbox/none.pt format=onnx"),
    ):
        with pytest.raises(error) as caught:
            nodes.detect_segments(picture(), name)
        assert words in str(caught.value)


def save_small(folder: Path, kind: str) -> Any:
    """Save a tiny network of transformers with its processor, and return the network."""
    from graphflow.modelfiles.stand_in import TINY_VISION

    torch.manual_seed(4)
    name, config = TINY_VISION[kind]  # type: ignore[index]
    cls = getattr(transformers, name)
    module = cls(cls.config_class.from_dict(dict(config))).eval()
    module.save_pretrained(folder)
    if kind == "detector":
        transformers.YolosImageProcessor(size={"height": 64, "width": 64}, do_pad=False).save_pretrained(folder)
    else:
        pictures = transformers.SamImageProcessor(
            size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}, mask_size={"longest_edge": 16}, mask_pad_size={"height": 16, "width": 16}
        )  # fmt: skip
        transformers.SamProcessor(pictures).save_pretrained(folder)
    return module


def test_a_detector_of_transformers_finds_what_the_library_finds(manager: ModelManager, tmp_path: Path) -> None:
    module = save_small(tmp_path / "detectors" / "small", "detector")
    found = nodes.detect_segments(picture(64, 64), "small", threshold=0.0, smallest=0)
    pixels = (picture(64, 64).pixels * 255).round() / 255
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        output = module((pixels - mean) / std)
    scores = output.logits.softmax(-1)[0, :, :-1].max(-1).values
    best = int(scores.argmax())
    middle, half = output.pred_boxes[0, best, :2] * 64, output.pred_boxes[0, best, 2:] * 32
    corners = torch.cat([middle - half, middle + half]).clamp(0, 64).round().int().tolist()
    x, y, width, height = found.parts[0].box
    assert [x, y, x + width, y + height] == corners
    assert found.parts[0].score == pytest.approx(float(scores[best]), abs=1e-4)


def test_weights_that_are_not_there_are_never_drawn(manager: ModelManager, tmp_path: Path) -> None:
    folder = tmp_path / "detectors" / "torn"
    module = save_small(folder, "detector")
    kept = {name: tensor.contiguous() for name, tensor in module.state_dict().items() if "bbox_predictor" not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelFormatError, match="its weights lack bbox_predictor"):
        nodes.detect_segments(picture(64, 64), "torn")


def test_outlines_are_segment_anythings(manager: ModelManager, tmp_path: Path) -> None:
    save_small(tmp_path / "sams" / "small", "segmenter")
    things = nodes.segments_from_mask(blocks((10, 10, 30, 20), (60, 20, 20, 30)), crop_factor=2.0)
    image = picture(60, 100)
    outlined = nodes.outline_segments(things, image, "small", threshold=-10.0)
    kept = nodes.outline_segments(things, image, "small", threshold=-10.0, inside=True)
    for before, after, inside in zip(things.parts, outlined.parts, kept.parts, strict=True):
        assert after.mask.shape == before.mask.shape and set(after.mask.unique().tolist()) <= {0.0, 1.0}
        assert torch.equal(inside.mask, torch.minimum(after.mask, before.mask))
    unsure = nodes.outline_segments(things, image, "small", threshold=1.0)
    assert all(torch.equal(a.mask, b.mask) for a, b in zip(unsure.parts, things.parts, strict=True))
    with pytest.raises(ModelFormatError, match="which detects nothing"):
        save_small(tmp_path / "detectors" / "wrong", "segmenter")
        nodes.detect_segments(image, "wrong")


@pytest.mark.parametrize("logits", [False, True])
def test_the_foreground_is_what_the_network_says(manager: ModelManager, tmp_path: Path, logits: bool) -> None:
    plane = torch.zeros(1, 1, 64, 64)
    plane[..., 16:48, 16:48] = 1.0
    write_onnx(tmp_path / "rembg" / "u2net.onnx", (plane * 40 - 20 if logits else plane * 0.8).numpy())
    mask = nodes.foreground_mask(picture(batch=2), "u2net.onnx").values
    assert mask.shape == (2, 64, 128)
    assert mask[:, 20:44, 40:88].min() > 0.99 and mask[:, :12].max() < 0.01


# ------------------------------------------------------------------------------------------ masks and choices


def test_connected_parts_of_a_mask_are_things(manager: ModelManager) -> None:
    mask = blocks((5, 5, 30, 20), (60, 30, 12, 25), (90, 2, 4, 4))
    mask.values[0, 10:15, 10:20] = 0  # a hole
    found = nodes.segments_from_mask(mask, crop_factor=2.0)
    assert [part.box for part in found.parts] == [(5, 5, 30, 20), (60, 30, 12, 25)]
    assert found.parts[0].crop == (0, 0, 60, 40)  # moved inside at the border
    assert torch.equal(nodes.segments_to_mask(found).values[0, :, :85], mask.values[0, :, :85])
    filled = nodes.segments_from_mask(mask, fill_holes=True).parts[0]
    assert filled.mask.sum() == 30 * 20
    together = nodes.segments_from_mask(mask, together=True, smallest=0)
    assert [part.box for part in together.parts] == [(5, 2, 89, 53)]
    wide = nodes.segments_from_mask(mask, crop_factor=1.0, aspect=2.0).parts[1]
    assert wide.crop == (41, 30, 50, 25)


def test_things_are_chosen_joined_and_masked(manager: ModelManager) -> None:
    things = nodes.segments_from_mask(blocks((0, 0, 20, 20), (30, 5, 30, 30), (70, 0, 12, 12)), crop_factor=1.0)
    largest = nodes.choose_segments(things, by="area", order="descending", most=1)
    assert [part.box[0] for part in largest.chosen.parts] == [30]
    assert [part.box[0] for part in largest.rest.parts] == [0, 70]
    middle = nodes.choose_segments(things, by="width", minimum=15, maximum=25)
    assert [part.box[0] for part in middle.chosen.parts] == [0]
    outside = nodes.choose_segments(things, by="width", minimum=15, maximum=25, outside=True)
    assert [part.box[0] for part in outside.chosen.parts] == [70, 30]
    assert not nodes.choose_segments(things, labels="face, hand").chosen.parts
    again = nodes.join_segments([largest.rest, largest.chosen])
    assert nodes.count_segments(again) == 3
    half = blocks((0, 0, 40, 60))
    kept, removed = (nodes.mask_segments(things, half, operation) for operation in ("keep", "remove"))
    assert torch.equal(nodes.segments_to_mask(kept).values, nodes.segments_to_mask(things).values * half.values)
    assert torch.equal(
        nodes.segments_to_mask(removed).values, nodes.segments_to_mask(things).values * (1 - half.values)
    )
    with pytest.raises(InvalidInputError, match="the mask has 10 x 10 pixels, the pictures 100 x 60"):
        nodes.mask_segments(things, Mask(values=torch.ones(1, 10, 10)))


# ------------------------------------------------------------------------------------------ cut out, put back


def test_what_was_cut_out_and_not_changed_is_put_back_as_it_was(manager: ModelManager) -> None:
    image = picture(60, 100, batch=2)
    things = nodes.segments_from_mask(Mask(values=blocks((10, 10, 30, 20), (60, 20, 20, 30)).values.repeat(2, 1, 1)))
    crops = nodes.crop_segments(image, things, guide_size=0, multiple_of=1)
    assert len(crops.images) == 4
    assert_close(nodes.paste_segments(image, crops.segments, crops.images).pixels, image.pixels)


def test_cut_outs_are_enlarged_to_the_guide_size_and_pasted_by_their_masks(manager: ModelManager) -> None:
    image = picture(60, 100)
    things = nodes.segments_from_mask(blocks((10, 10, 30, 15), (60, 20, 20, 30)), crop_factor=1.5)
    crops = nodes.crop_segments(image, things, guide_size=60, longest=120)
    assert [tuple(one.pixels.shape[-2:]) for one in crops.images] == [(56, 120), (120, 80)]
    by_crop = nodes.crop_segments(image, things, guide_size=64, guide="crop")
    assert [min(one.pixels.shape[-2:]) for one in by_crop.images] == [64, 64]
    large = nodes.crop_segments(image, things, guide_size=18, skip_large=True)
    assert [part.box for part in large.segments.parts] == [(10, 10, 30, 15)]
    within = nodes.crop_segments(image, things, width=64, height=64)
    assert [tuple(one.pixels.shape[-2:]) for one in within.images] == [(32, 64), (64, 40)]
    white = [Image(pixels=torch.ones_like(one.pixels)) for one in crops.images]
    hard = nodes.paste_segments(image, crops.segments, tuple(white), feather=0).pixels
    mask = nodes.segments_to_mask(things).values[:, None]
    assert_close(hard, image.pixels * (1 - mask) + mask)
    soft = nodes.paste_segments(image, crops.segments, tuple(white), feather=4).pixels
    assert 0.4 < float((soft - image.pixels)[0, :, 10, 25].mean() / (1 - image.pixels)[0, :, 10, 25].mean()) < 0.7
    with pytest.raises(InvalidInputError, match="1 pictures of 2 things"):
        nodes.paste_segments(image, things, white[0])
    with pytest.raises(InvalidInputError, match="found in pictures of 100 x 60, these have 128 x 64"):
        nodes.crop_segments(picture(), things)


def test_what_the_model_is_told_of_the_whole_is_cut_alike(manager: ModelManager) -> None:
    """Pictures of ControlNets at twice the size, and masks; rectangles cannot be cut."""
    tiles = nodes.tile_segments(picture(64, 128), tile_width=64, tile_height=64, overlap=0)
    hint, mask = picture(128, 256).pixels, blocks((0, 0, 16, 64), size=(64, 128)).values
    control = Control(net=ControlNet(files=()), hint=hint)
    entry = ConditioningEntry(embedding=torch.zeros(1, 4, 8), controls=(control,), mask=mask)
    left, right = nodes.crop_conditioning(Conditioning(entries=(entry,)), tiles)  # type: ignore[misc]
    assert torch.equal(left.entries[0].controls[0].hint, hint[..., :128])
    assert torch.equal(right.entries[0].controls[0].hint, hint[..., 128:])
    assert left.entries[0].mask.sum() == 16 * 64 and right.entries[0].mask.sum() == 0
    framed = Conditioning(entries=(replace(entry, area=Area(height=8, width=8)),))
    with pytest.raises(InvalidInputError, match="acts in a rectangle"):
        nodes.crop_conditioning(framed, tiles)


def test_too_many_things_are_refused(manager: ModelManager) -> None:
    dots = torch.zeros(1, 140, 140)
    dots[0, ::2, ::2] = 1
    with pytest.raises(LimitError, match="there are more than 4,096 things"):
        nodes.segments_from_mask(Mask(values=dots), smallest=0)
    assert not nodes.segments_from_mask(Mask(values=dots)).parts


def test_an_empty_mask_may_stand_for_the_whole_picture(manager: ModelManager) -> None:
    empty = Mask(values=torch.zeros(1, 60, 100))
    assert not nodes.segments_from_mask(empty).parts
    (whole,) = nodes.segments_from_mask(empty, whole_if_empty=True).parts
    assert whole.crop == (0, 0, 100, 60) and not whole.mask.any()


def test_tiles_cover_a_picture_with_what_is_around_them(manager: ModelManager) -> None:
    image = picture(100, 230)
    tiles = nodes.tile_segments(image, tile_width=96, tile_height=64, overlap=16, margin=8)
    assert isinstance(tiles, Segments)
    assert torch.equal(nodes.segments_to_mask(tiles).values, torch.ones(1, 100, 230))
    assert {part.box[2:] for part in tiles.parts} == {(96, 64)} and len(tiles.parts) == 6
    assert tiles.parts[0].crop == (0, 0, 104, 72)


def test_each_of_a_sequence_gets_a_seed_of_its_own(manager: ModelManager) -> None:
    assert tuple(nodes.seeds_for((picture(), picture(), picture()), seed=2**64 - 2)) == (2**64 - 2, 2**64 - 1, 0)  # type: ignore[arg-type]
    masks = nodes.batch_masks([(blocks((0, 0, 5, 5)), blocks((0, 0, 9, 9), size=(30, 50)))])
    assert masks.values.shape == (2, 60, 100)


# ---------------------------------------------------------------------------------------------- transparency


def test_transparency_is_the_median_over_turns_and_reflections(manager: ModelManager, tmp_path: Path) -> None:
    """The published file's names; edges that are no multiple of what the network halves are filled up."""
    from graphflow.vision.transparency import TransparencyDecoder

    torch.manual_seed(3)
    network = TransparencyDecoder([8, 8, 8, 16], attending=3).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.2)
    (tmp_path / "layer_model").mkdir()
    save_file(network.state_dict(), tmp_path / "layer_model" / "vae_transparent_decoder.safetensors")
    image, latent = picture(40, 64), Latent(samples=torch.randn(1, 4, 5, 8, generator=torch.Generator().manual_seed(2)))
    found = nodes.decode_transparency(image, latent)
    assert found.image.pixels.shape == (1, 3, 40, 64) and found.mask.values.shape == (1, 40, 64)
    flipped = nodes.decode_transparency(
        replace(image, pixels=image.pixels.flip(3)), replace(latent, samples=latent.samples.flip(3))
    )
    assert_close(flipped.image.pixels.flip(3), found.image.pixels)
    assert_close(flipped.mask.values.flip(2), found.mask.values)
    with torch.no_grad():
        once = network(image.pixels, latent.samples).clamp(0, 1)
    assert float((once[:, 0] - found.mask.values).abs().mean()) > 1e-3
    with pytest.raises(InvalidInputError, match="do not belong to 1 pictures of 128 x 64"):
        nodes.decode_transparency(picture(), latent)


# ----------------------------------------------------------------------------------------------------- words


def save_reader(folder: Path) -> Any:
    """Save a processor of Florence-2 with a token for every byte; returns its tokenizer."""
    from graphflow.modelfiles.tokenizer_config import byte_letters

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocab = {token: number for number, token in enumerate([*special, *byte_letters()])}
    tokenizer = transformers.BartTokenizer(vocab=vocab, merges=[], extra_special_tokens={"image_token": "<image>"})
    places = [f"<loc_{number}>" for number in range(1000)]
    tokenizer.add_special_tokens({"additional_special_tokens": [*places, "<poly>", "</poly>"]})
    pictures = transformers.CLIPImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False)
    pictures.image_seq_length = 5
    asked = {name: {} for name in ("pure_text", "description_with_bboxes", "phrase_grounding", "polygons")}
    transformers.Florence2Processor(pictures, tokenizer, post_processor_config=asked).save_pretrained(folder)
    return tokenizer


def test_answers_are_read_as_words_boxes_and_outlines(tmp_path: Path) -> None:
    tokenizer = save_reader(tmp_path)
    asked: list[str] = []

    class Florence2ForConditionalGeneration:
        answer = ""

        def generate(self, input_ids: torch.Tensor, **more: Any) -> torch.Tensor:
            asked.append(tokenizer.decode(input_ids[0], skip_special_tokens=True))
            ids: torch.Tensor = tokenizer(self.answer, return_tensors="pt")["input_ids"]
            return ids

    module = Florence2ForConditionalGeneration()
    network = VisionNetwork(module=module, device=torch.device("cpu"), name="florence", folder=tmp_path)

    def told(task: Task, answer: str, words: str = "") -> tuple[str, list[Found]]:
        module.answer = answer
        return describe(network, picture(100, 200).pixels[0], task, words=words, most=20, beams=1)

    assert told("caption", "a red circle") == ("a red circle", [])
    text, (found,) = told("things", "circle<loc_100><loc_200><loc_500><loc_600>")
    assert text == found.label == "circle"
    assert found.box == pytest.approx((20, 20, 100, 60), abs=0.2)
    text, (found,) = told("outline_phrase", "<loc_100><loc_100><loc_500><loc_100><loc_500><loc_500>", "a circle")
    assert found.mask is not None and found.mask[15, 60] == 1 and found.mask[45, 30] == 0
    assert asked == [
        "What does the image describe?", "Locate the objects with category name in the image.", "Locate a circle in the image with mask",
    ]  # fmt: skip
    with pytest.raises(InvalidInputError, match="say what to look for"):
        told("find_phrases", "", " ")

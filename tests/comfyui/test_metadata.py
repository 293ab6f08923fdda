"""Workflows inside pictures and videos."""

from __future__ import annotations

import json
import struct
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from graphflow.converters.comfyui import to_prompt
from graphflow.errors import ConversionError

from .ui import flat, text_to_image

PROMPT = flat(text_to_image()).prompt
WORKFLOW = json.dumps(text_to_image())
SENT = json.dumps({"1": {"class_type": "LoadImage", "inputs": {"image": "sent.png"}}})


def png(*, kind: str = "tEXt", **texts: str) -> bytes:
    info = PngInfo()
    for key, text in texts.items():
        if kind == "iTXt":
            info.add_itxt(key, text, zip=True)
        else:
            info.add_text(key, text, zip=kind == "zTXt")
    stream = BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def with_exif(kind: str, **texts: str) -> bytes:
    """A picture as ComfyUI writes it: ``Model`` holds the prompt, ``Make`` the workflow."""
    exif = Image.Exif()
    for tag, (key, text) in zip((0x0110, 0x010F), texts.items(), strict=False):
        exif[tag] = f"{key}:{text}"
    stream = BytesIO()
    Image.new("RGB", (8, 8)).save(stream, kind, exif=exif)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt"])
def test_png_texts(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(png(kind=kind, workflow=WORKFLOW))
    result = to_prompt(path)
    assert (result.prompt, result.container, result.format) == (PROMPT, "png", "ui 0.4")


def test_what_was_sent_comes_before_what_was_drawn() -> None:
    data = png(prompt=SENT, workflow=WORKFLOW)
    sent = to_prompt(data)
    assert (sent.format, sent.prompt["1"]["inputs"]) == ("api", {"image": "sent.png"})
    assert any("not used" in note.message for note in sent.notes)
    assert to_prompt(data, prefer="workflow").prompt == PROMPT


def test_the_version_of_what_was_drawn_is_that_of_what_was_sent() -> None:
    drawn = text_to_image()
    drawn["nodes"][0]["properties"] = {"cnr_id": "comfy-core", "ver": "0.3.64"}
    sent = to_prompt(png(prompt=SENT, workflow=json.dumps(drawn)))
    assert (sent.format, sent.core_version) == ("api", (0, 3, 64))
    assert to_prompt(png(prompt=SENT, workflow="{")).core_version == ()


def test_a_broken_prompt_falls_back_on_the_workflow_and_says_so() -> None:
    result = to_prompt(png(prompt="{", workflow=WORKFLOW))
    assert result.prompt == PROMPT
    assert any("no JSON" in note.message for note in result.notes)


def test_animated_pngs_carry_comf_chunks() -> None:
    body = b"prompt\x00" + SENT.encode()
    chunk = struct.pack(">I", len(body)) + b"comf" + body + struct.pack(">I", zlib.crc32(b"comf" + body))
    plain = png()
    assert to_prompt(plain[:-12] + chunk + plain[-12:]).prompt["1"]["inputs"] == {"image": "sent.png"}


@pytest.mark.parametrize("kind", ["WEBP", "JPEG"])
def test_exif_texts(kind: str) -> None:
    result = to_prompt(with_exif(kind, prompt=SENT, workflow=WORKFLOW))
    assert (result.container, result.format) == (kind.lower(), "api")
    assert to_prompt(with_exif(kind, workflow=WORKFLOW)).prompt == PROMPT


@pytest.mark.parametrize("prefix", [b"ASCII\x00\x00\x00", b"UNICODE\x00"])
def test_user_comments(prefix: bytes) -> None:
    exif = Image.Exif()
    text = json.dumps({"workflow": WORKFLOW})
    exif.get_ifd(0x8769)[0x9286] = prefix + text.encode("ascii" if prefix.startswith(b"ASCII") else "utf-16-le")
    stream = BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG", exif=exif)
    assert to_prompt(stream.getvalue()).prompt == PROMPT


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def mp4(items: bytes, keys: list[str], *, quicktime: bool = False) -> bytes:
    """A video file reduced to its metadata, after picture data that is never read."""
    names = b"".join(box(b"mdta", name.encode()) for name in keys)
    head = b"" if quicktime else bytes(4)
    handler = box(b"hdlr", bytes(8) + b"mdta" + bytes(13))
    meta = box(
        b"meta", head + handler + box(b"keys", bytes(4) + struct.pack(">I", len(keys)) + names) + box(b"ilst", items)
    )
    moov = box(b"moov", box(b"mvhd", bytes(100)) + (meta if quicktime else box(b"udta", meta)))
    large = struct.pack(">I", 1) + b"mdat" + struct.pack(">Q", 16 + 4096) + bytes(4096)
    return box(b"ftyp", b"isom" + bytes(4)) + large + moov


def item(kind: bytes, text: str) -> bytes:
    return box(kind, box(b"data", struct.pack(">II", 1, 0) + text.encode()))


@pytest.mark.parametrize("quicktime", [False, True])
def test_mp4_keys(quicktime: bool) -> None:
    items = item(struct.pack(">I", 1), SENT) + item(struct.pack(">I", 2), WORKFLOW)
    data = mp4(items, ["prompt", "workflow"], quicktime=quicktime)
    assert to_prompt(data).container == "mp4"
    assert to_prompt(data, prefer="workflow").prompt == PROMPT


def test_mp4_comments() -> None:
    assert to_prompt(mp4(item(b"\xa9cmt", json.dumps({"prompt": SENT, "workflow": WORKFLOW})), [])).format == "api"


def element(kind: str, body: bytes) -> bytes:
    return bytes.fromhex(kind) + struct.pack(">Q", 1 << 56 | len(body)) + body


def webm(*tags: tuple[str, str], size: bytes | None = None) -> bytes:
    simple = [element("67C8", element("45A3", name.encode()) + element("4487", text.encode())) for name, text in tags]
    body = element("1549A966", bytes(20)) + element("1254C367", b"".join(element("7373", one) for one in simple))
    body += element("1F43B675", bytes(2048))
    segment = element("18538067", body) if size is None else bytes.fromhex("18538067") + size + body
    return element("1A45DFA3", b"\x42\x82\x84webm") + segment


def test_webm_tags() -> None:
    assert to_prompt(webm(("PROMPT", SENT), ("WORKFLOW", WORKFLOW)), prefer="workflow").prompt == PROMPT
    assert to_prompt(webm(("COMMENT", json.dumps({"workflow": json.loads(WORKFLOW)})))).prompt == PROMPT


def test_webm_of_unknown_length() -> None:
    assert to_prompt(webm(("PROMPT", SENT), size=b"\x01" + b"\xff" * 7)).container == "webm"


def test_settings_in_words_are_named_as_what_they_are() -> None:
    words = "a fox\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\x00" + words.encode("utf-16-be")
    stream = BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG", exif=exif)
    for data in (png(parameters=words), stream.getvalue()):
        with pytest.raises(ConversionError, match="settings in words"):
            to_prompt(data)


@pytest.mark.parametrize(
    "data", [png(), png(parameters="a fox, Steps: 20"), with_exif("JPEG"), with_exif("WEBP"), mp4(b"", []), webm()]
)
def test_media_without_a_workflow_say_so(data: bytes) -> None:
    with pytest.raises(ConversionError, match="carries no ComfyUI workflow"):
        to_prompt(data)


def test_text_that_unpacks_to_too_much_is_refused() -> None:
    body = b"workflow\x00\x00" + zlib.compress(bytes(2**25 + 1), 1)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(body)) + b"zTXt" + body + bytes(4)
    with pytest.raises(ConversionError, match="bytes of metadata"):
        to_prompt(data)


FILES = {
    "png": png(workflow=WORKFLOW),
    "zpng": png(kind="zTXt", workflow=WORKFLOW),
    "webp": with_exif("WEBP", workflow=WORKFLOW),
    "jpeg": with_exif("JPEG", workflow=WORKFLOW),
    "mp4": mp4(item(struct.pack(">I", 1), WORKFLOW), ["workflow"]),
    "webm": webm(("WORKFLOW", WORKFLOW)),
}


@pytest.mark.parametrize("kind", FILES)
def test_damaged_media_give_a_prompt_or_a_clear_error(kind: str) -> None:
    data = FILES[kind]
    step = max(len(data) // 150, 1)
    for at in range(0, len(data), step):
        for spoiled in (data[:at], data[:at] + b"\xff" + data[at + 1 :], data[:at] + bytes(4) + data[at + 4 :]):
            try:
                to_prompt(spoiled)
            except ConversionError as error:
                assert error.where

"""What files will say of how they came about, as planning knows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from graphflow import Session, Workflow
from graphflow.basics.marks import COMPOSITE, GENERATED, packet
from graphflow.nodes import (
    blend_images,
    empty_latent,
    encode_image,
    encode_prompt,
    load_checkpoint,
    load_image,
    resize,
    sample,
    save_image,
    vae_decode,
)
from graphflow.planning.steps import Plan
from graphflow.settings import Settings


def picture(path: Path, mark: str = "", *, signed: bool = False) -> str:
    info = PngInfo()
    if mark:
        info.add_itxt("XML:com.adobe.xmp", packet(mark).decode())
    if signed:  # the start of a manifest store, as C2PA's specification has it in PNG's chunk caBX
        info.add(b"caBX", b"\0\0\0\x30jumb\0\0\0\x1ejumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0")
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    return str(path)


def planned(g: Workflow, tmp_path: Path, marking: str = "on") -> Plan:
    settings = Settings.model_validate({"cache_dir": tmp_path / "cache", "device": "cpu", "marking": marking})
    return Session(settings).plan(g)


def mark(plan: Plan) -> str | None:
    (step,) = (step for step in plan.steps.values() if step.spec.effect)
    assert step.record is not None
    found = step.record.get("mark")
    return found if found is None else str(found)


def changed(*files: str) -> Workflow:
    """A workflow that resizes pictures and lays them over each other."""
    g = Workflow()
    loaded = [g.add(resize, images=g.add(load_image, file=file).image, width=4, height=4) for file in files]
    shown = loaded[0]
    for other in loaded[1:]:
        shown = g.add(blend_images, first=shown, second=other)
    g.add(save_image, images=shown)
    return g


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([""], None),
        ([GENERATED], GENERATED),
        (["digitalCapture"], None),
        ([COMPOSITE], COMPOSITE),
        ([GENERATED, ""], COMPOSITE),
        ([GENERATED, GENERATED], GENERATED),
        (["", ""], None),
    ],
)
def test_changed_pictures_say_what_they_said(marks: list[str], expected: str | None, tmp_path: Path) -> None:
    files = [picture(tmp_path / f"{number}.png", said) for number, said in enumerate(marks)]
    assert mark(planned(changed(*files), tmp_path)) == expected


@pytest.mark.parametrize(("photo", "expected"), [(False, GENERATED), (True, COMPOSITE)])
def test_what_a_model_made_says_so(photo: bool, expected: str, tmp_path: Path) -> None:
    g = Workflow()
    checkpoint = g.add(load_checkpoint, model="shapes")
    latent = g.add(empty_latent, width=64, height=64)
    if photo:
        file = picture(tmp_path / "photo.png")
        latent = g.add(encode_image, vae=checkpoint.vae, images=g.add(load_image, file=file).image)
    positive = g.add(encode_prompt, text_encoder=checkpoint.text_encoder, text="")
    sampled = g.add(sample, model=checkpoint.model, positive=positive, latent=latent)
    g.add(save_image, images=g.add(vae_decode, vae=checkpoint.vae, latent=sampled))
    assert mark(planned(g, tmp_path)) == expected
    assert mark(planned(g, tmp_path, marking="off")) is None


def test_the_loss_of_content_credentials_is_told(tmp_path: Path) -> None:
    signed, plain = picture(tmp_path / "signed.png", signed=True), picture(tmp_path / "plain.png")
    (notice,) = (notice for notice in planned(changed(signed, plain), tmp_path).notices if "C2PA" in notice)
    assert "signed.png has content credentials" in notice

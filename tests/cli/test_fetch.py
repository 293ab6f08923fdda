"""``graphflow fetch``, from a local server that answers as the Hub does, and as any other host."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import graphflow
from tests.cli.commands import Command
from tests.hub import Hub, graphflow_with, running_hub

LORA = (Path(graphflow.__file__).parent / "assets" / "loras" / "shapes-outline.safetensors").read_bytes()
SHA256 = hashlib.sha256(LORA).hexdigest()
ON_THE_HUB = "https://huggingface.co/tester/shapes/resolve/main/styles/outline.safetensors"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    for running in running_hub():
        (tmp_path / "outline.safetensors").write_bytes(LORA)
        running.files["styles/outline.safetensors"] = tmp_path / "outline.safetensors"
        running.others["weights/outline.safetensors"] = LORA
        yield running


def workflow(url: str, *, sha256: str = "", model: str = "shapes") -> Path:
    """Write a workflow that names a LoRA which is not here."""
    nodes = {
        "checkpoint": {"type": "load_checkpoint", "params": {"model": model}},
        "style": {"type": "apply_lora", "params": {"lora": "some/style"}, "links": {"model": "checkpoint.model"}},
        "show": {"type": "show", "links": {"value": "style.model"}},
    }
    entry = {"name": "style.safetensors", "url": url, **({"sha256": sha256} if sha256 else {})}
    path = Path("styled.json")
    path.write_text(json.dumps({"graphflow": 1, "meta": {"models": [entry]}, "nodes": nodes}), "utf-8")
    return path


def test_a_file_and_a_repository_of_the_hub(hub: Hub, tmp_path: Path) -> None:
    path = workflow(ON_THE_HUB, sha256=SHA256, model="tester/shapes").absolute()
    folder = ("--models", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    asked = graphflow_with(hub, tmp_path, "fetch", str(path), *folder)
    assert asked.returncode == 2
    assert "Download 2 models" in asked.stderr and "--yes answers yes" in asked.stderr
    assert ON_THE_HUB in " ".join(asked.stderr.split()) and hub.fetched == []
    done = graphflow_with(hub, tmp_path, "fetch", str(path), *folder, "--yes")
    assert done.returncode == 0, done.stderr
    assert "SHA-256 checked" in done.stdout
    assert (tmp_path / "models" / "loras" / "some" / "style.safetensors").read_bytes() == LORA
    assert [item.name for item in (tmp_path / "models" / "loras" / "some").iterdir()] == ["style.safetensors"]
    fetched = len(hub.fetched)
    again = graphflow_with(hub, tmp_path, "fetch", str(path), *folder, "--yes")
    assert (again.returncode, again.stdout) == (0, "all models are here: 2 models\n")
    assert graphflow_with(hub, tmp_path, "validate", str(path), *folder, "--offline").returncode == 0
    assert len(hub.fetched) == fetched


@pytest.mark.parametrize(
    ("url", "sha256", "said"),
    [
        (ON_THE_HUB, "0" * 64, "the workflow wants the SHA-256 0000"),
        (ON_THE_HUB.replace("outline", "inline"), "", "the repository has no file 'styles/inline.safetensors'"),
        (ON_THE_HUB.replace("tester/shapes", "tester/squares"), "", "cannot be downloaded"),
    ],
)
def test_what_the_hub_does_not_have(url: str, sha256: str, said: str, hub: Hub, tmp_path: Path) -> None:
    path = workflow(url, sha256=sha256).absolute()
    ran = graphflow_with(hub, tmp_path, "fetch", str(path), "--models", str(tmp_path), "--yes")
    assert ran.returncode == 2
    assert said in ran.stderr and "Traceback" not in ran.stderr
    assert hub.fetched == []


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


HOST = ("--allow-host", "127.0.0.1", "--yes")


def test_another_host_goes_on_where_it_broke_off(hub: Hub, graphflow: Command, home: Path, online: None) -> None:
    path = workflow(f"{hub.url}/weights/outline.safetensors", sha256=SHA256)
    place = home / "models" / "loras" / "some" / "style.safetensors"
    refused = graphflow("fetch", path, "--yes")
    assert refused.code == 2 and "--allow-host 127.0.0.1" in refused.err
    hub.breaks = 1000
    broken = graphflow("fetch", path, *HOST)
    assert broken.code == 2 and "broke off after 1,000 of" in broken.err and not place.exists()
    hub.breaks = None
    assert graphflow("fetch", path, *HOST).code == 0
    assert place.read_bytes() == LORA
    assert hub.fetched == ["weights/outline.safetensors", "weights/outline.safetensors@1000"]
    assert [item.name for item in place.parent.iterdir()] == ["style.safetensors"]


def test_what_is_not_what_it_should_be_is_removed(hub: Hub, graphflow: Command, home: Path, online: None) -> None:
    ran = graphflow("fetch", workflow(f"{hub.url}/weights/outline.safetensors", sha256="1" * 64), *HOST)
    assert ran.code == 2
    assert f"has the SHA-256 {SHA256}, not 1111" in ran.err
    assert [item for item in (home / "models").rglob("*") if item.is_file()] == []


def test_an_address_may_not_lead_on_to_another_host(hub: Hub, graphflow: Command, online: None) -> None:
    hub.moved["away"] = hub.url.replace("127.0.0.1", "localhost") + "/weights/outline.safetensors"
    path = workflow(f"{hub.url}/away")
    refused = graphflow("fetch", path, *HOST)
    assert refused.code == 2 and "--allow-host localhost" in refused.err and hub.fetched == []
    assert graphflow("fetch", path, *HOST, "--allow-host", "localhost").code == 0
    plain = workflow("http://example.org/style.safetensors")
    plain.write_text(plain.read_text("utf-8").replace("some/style", "style"), "utf-8")
    ran = graphflow("fetch", plain, "--yes", "--allow-host", "example.org")
    assert ran.code == 2 and "by https only" in ran.err


def test_nobody_knows(graphflow: Command, online: None, home: Path) -> None:
    path = workflow("ftp://example.org/style.safetensors")
    path.write_text(path.read_text("utf-8").replace("some/style", "style"), "utf-8")  # else it may be a Hub id
    ran = graphflow("fetch", path)
    place = home / "models" / "loras" / "style.safetensors"
    assert ran.code == 2 and f"nobody says where to get 'style', for {place}" in ran.err


def test_planning_names_the_file_and_its_source(graphflow: Command, home: Path) -> None:
    said = graphflow("plan", "upscale").err
    place = home / "models" / "upscale_models" / "RealESRGAN_x4plus.safetensors"
    assert f"/RealESRGAN_x4plus.safetensors to {place}" in said and "`graphflow fetch`" in said
    listed = json.loads(graphflow("workflows", "--json").out)
    needed = {row["name"]: [model["url"] for model in row["models"] if not model.get("path")] for row in listed}
    missing = {name for name, urls in needed.items() if urls}
    assert {"ip_adapter", "sdxl_base_refiner", "upscale", "flux"} <= missing and "txt2img" not in missing
    assert all(url.startswith("https://huggingface.co/") for urls in needed.values() for url in urls)
    assert all(Path(row["picture"]).is_file() for row in listed if row["name"] not in missing or row["picture"])
    explained = graphflow("workflows", "upscale").out
    assert str(place) in "".join(explained.split()) and "upscale_model" in explained  # a long path is folded
    assert graphflow("workflows", "upscael").code == 2


def test_what_a_comfyui_file_says_of_its_models(graphflow: Command, home: Path) -> None:
    models = [
        {"name": "x4.pth", "url": "https://huggingface.co/a/b/resolve/main/x4.pth", "hash": "A" * 64, "hash_type": "SHA256"},
        {"name": "other.pth", "url": "https://huggingface.co/a/b/resolve/main/other.pth"},
        {"name": 3},
    ]  # fmt: skip
    load = {"id": 1, "type": "UpscaleModelLoader", "widgets_values": ["x4.pth"], "properties": {"models": models}}
    load["outputs"] = [{"name": "UPSCALE_MODEL", "type": "UPSCALE_MODEL", "links": [1]}]
    image = {"id": 2, "type": "LoadImage", "widgets_values": ["a.png", "image"]}
    image["outputs"] = [{"name": "IMAGE", "type": "IMAGE", "links": [2]}]
    scale = {"id": 3, "type": "ImageUpscaleWithModel", "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [3]}]}
    scale["inputs"] = [
        {"name": "upscale_model", "type": "UPSCALE_MODEL", "link": 1},
        {"name": "image", "type": "IMAGE", "link": 2},
    ]
    save = {
        "id": 4,
        "type": "SaveImage",
        "widgets_values": ["x"],
        "inputs": [{"name": "images", "type": "IMAGE", "link": 3}],
    }
    links = [[1, 1, 0, 3, 0, "UPSCALE_MODEL"], [2, 2, 0, 3, 1, "IMAGE"], [3, 3, 0, 4, 0, "IMAGE"]]
    Path("theirs.json").write_text(json.dumps({"nodes": [load, image, scale, save], "links": links, "version": 0.4}))
    ran = graphflow("import", "theirs.json", "-o", "mine.json")
    place = home / "models" / "upscale_models" / "x4.pth"
    assert f"belongs into {place}, from {models[0]['url']}" in ran.err and "graphflow fetch" in ran.err
    kept = json.loads(Path("mine.json").read_text("utf-8"))["meta"]["models"]
    assert kept == [{"name": "x4.pth", "url": models[0]["url"], "sha256": "a" * 64}]
    assert models[0]["url"] in graphflow("import", "theirs.json", "--report").out.replace("\n", "")


def test_locked_files_are_fetched_by_their_digest(
    hub: Hub, graphflow: Command, home: Path, online: None, tmp_path: Path
) -> None:
    path = workflow(f"{hub.url}/weights/outline.safetensors")
    place = home / "models" / "loras" / "some" / "style.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(LORA)
    assert graphflow("lock", path).code == 0
    lock = json.loads(Path("styled.lock.json").read_text("utf-8"))
    assert lock["models"]["some/style"]["files"] == {"style.safetensors": {"sha256": SHA256, "size": len(LORA)}}
    assert lock["models"]["some/style"]["url"] == f"{hub.url}/weights/outline.safetensors"
    assert graphflow("fetch", path, "--locked").out == "all models are here: 2 models\n"
    place.unlink()
    hub.others["weights/outline.safetensors"] = LORA + b" "
    refused = graphflow("fetch", path, "--locked", *HOST)
    assert refused.code == 2 and f"not {SHA256}" in refused.err and not place.exists()
    hub.others["weights/outline.safetensors"] = LORA
    assert graphflow("fetch", path, "--locked", *HOST).code == 0
    assert place.read_bytes() == LORA

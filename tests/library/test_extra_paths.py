"""ComfyUI's extra_model_paths.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphflow.errors import ModelNotFoundError, SettingsError
from graphflow.library.extra_paths import read_extra_paths
from graphflow.library.library import Library
from graphflow.settings import RootSetting, Settings

FILE = """
# comment
a111:
    base_path: webui/
    checkpoints: models/Stable-diffusion
    configs: models/Stable-diffusion
    loras: |
        models/Lora
        models/LyCORIS
    controlnet: models/ControlNet
comfyui:
    is_default: true
    base_path: {absolute}
    checkpoints: more
empty:
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for place in ("webui/models/Stable-diffusion/sub", "webui/models/LyCORIS", "webui/models/ControlNet", "other/more"):
        (tmp_path / place).mkdir(parents=True)
    for file in (
        "webui/models/Stable-diffusion/sub/a.safetensors",
        "webui/models/LyCORIS/l.safetensors",
        "other/more/a2.safetensors",
    ):
        (tmp_path / file).write_bytes(b"")
    (tmp_path / "webui/models/ControlNet/c.safetensors").write_bytes(b"")
    (tmp_path / "extra_model_paths.yaml").write_text(FILE.format(absolute=tmp_path / "other"), "utf-8")
    return tmp_path


def library(path: Path) -> Library:
    return Library(Settings(models=(RootSetting(path=path),), offline=True, cache_dir=path.parent / "cache"))


def test_the_default_section_comes_first_and_unknown_kinds_are_passed_over(tree: Path) -> None:
    roots = read_extra_paths(tree / "extra_model_paths.yaml")
    assert [(root.path.relative_to(tree).as_posix(), root.folder) for root in roots] == [
        ("other/more", "checkpoints"),
        ("webui/models/Stable-diffusion", "checkpoints"),
        ("webui/models/Lora", "loras"),
        ("webui/models/LyCORIS", "loras"),
        ("webui/models/ControlNet", "controlnet"),
    ]


def test_names_resolve_by_kind_with_backslashes_too(tree: Path) -> None:
    models = library(tree / "extra_model_paths.yaml")
    assert (
        models.resolve("sub\\a.safetensors", "checkpoint").path
        == tree / "webui/models/Stable-diffusion/sub/a.safetensors"
    )
    assert models.resolve("l", "lora").path == tree / "webui/models/LyCORIS/l.safetensors"
    assert models.resolve("c", "t2i_adapter").path == tree / "webui/models/ControlNet/c.safetensors"
    with pytest.raises(ModelNotFoundError):
        models.resolve("l", "checkpoint")


def test_listing_knows_the_kinds(tree: Path) -> None:
    entries = {entry.name: entry.kind for entry in library(tree / "extra_model_paths.yaml").entries()}
    assert entries["sub/a.safetensors"] == "checkpoint"
    assert entries["l.safetensors"] == "lora"


def test_the_file_beside_a_models_folder_is_read(tree: Path) -> None:
    (tree / "models").mkdir()
    assert library(tree / "models").resolve("a2", "checkpoint").path == tree / "other/more/a2.safetensors"


@pytest.mark.parametrize(
    "text",
    [
        "- a",
        "a: 3",
        "a:\n  checkpoints: [x]",
        "a:\n  base_path: 3",
        "a: {",
        "\x00",
        "&a [*a]",
        "!!python/object:os.system {}",
    ],
)
def test_a_bad_file_is_a_settings_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError) as raised:
        read_extra_paths(path)
    assert "x.yaml" in str(raised.value)


def test_a_missing_file_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        read_extra_paths(tmp_path / "x.yaml")


def test_another_file_is_no_folder_with_models(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"")
    with pytest.raises(SettingsError, match=r"model\.safetensors: is a file, not a folder with models"):
        Library(Settings(models=(RootSetting(path=path),)))

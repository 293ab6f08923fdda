from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from graphflow.errors import SettingsError
from graphflow.settings import Settings, default_models_dir, load_settings, settings_file


def write(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "settings.toml"
    path.write_text(text, "utf-8")
    return {"GRAPHFLOW_SETTINGS": str(path)}


def test_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *_, **__: str(tmp_path))
    found = load_settings({})
    assert [item.path for item in found.models] == [default_models_dir()]
    assert (found.device, found.dtype, found.safety, found.offline) == ("auto", "auto", "auto", False)
    assert settings_file({}) == tmp_path / "settings.toml"


def test_a_file(tmp_path: Path) -> None:
    text = """
    models = ["/a", {path = "~/b", follow_symlinks = true}]
    cache_bytes = "8 GB"
    memory_bytes = "512MiB"
    device = "cuda:1"
    offline = true
    """
    found = load_settings(write(tmp_path, text))
    assert [item.path for item in found.models] == [Path("/a"), Path("~/b").expanduser()]
    assert found.models[1].follow_symlinks
    assert (found.cache_bytes, found.memory_bytes) == (8 * 10**9, 512 * 2**20)
    assert (found.device, found.offline) == ("cuda:1", True)


def test_variables_come_before_the_file(tmp_path: Path) -> None:
    variables = write(tmp_path, 'models = ["/a"]\ndtype = "float16"\ndevice = "cpu"') | {
        "GRAPHFLOW_MODELS": os.pathsep.join(["/x", "", "/y"]),
        "GRAPHFLOW_DTYPE": "bfloat16",
        "GRAPHFLOW_DEVICE": "",
        "GRAPHFLOW_CACHE_BYTES": "1 kB",
        "GRAPHFLOW_OFFLINE": "1",
        "GRAPHFLOW_SAFETY": "require",
        "GRAPHFLOW_SAFETY_CHECKER": "mine",
    }
    found = load_settings(variables)
    assert [item.path for item in found.models] == [Path("/x"), Path("/y")]
    assert (found.dtype, found.device, found.cache_bytes, found.offline) == ("bfloat16", "cpu", 1000, True)
    assert (found.safety, found.safety_checker) == ("require", "mine")


def test_a_home_folder_of_nobody_is_a_name_like_any_other(tmp_path: Path) -> None:
    found = load_settings(write(tmp_path, 'models = ["~nobody-of-this-name/b"]'))
    assert [item.path for item in found.models] == [Path("~nobody-of-this-name/b")]
    with pytest.raises(SettingsError, match="there is no file '~nobody-of-this-name/s"):
        load_settings({"GRAPHFLOW_SETTINGS": "~nobody-of-this-name/s.toml"})


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_hubs_own_offline_variable_counts(tmp_path: Path, value: str, offline: bool) -> None:
    assert load_settings(write(tmp_path, "") | {"HF_HUB_OFFLINE": value}).offline is offline
    assert load_settings(write(tmp_path, "offline = false") | {"HF_HUB_OFFLINE": value}).offline is False


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('device = "gpu"', "settings.toml: device", "got 'gpu'"),
        ('dtype = "half"', "settings.toml: dtype", "'float32', 'float16'.*got 'half'"),
        ('cache_bytes = "many"', "settings.toml: cache_bytes", "'8 GB'.*got 'many'"),
        ("cache_bytes = -1", "settings.toml: cache_bytes", "greater than or equal to 0, got -1"),
        ("models = [3]", "settings.toml: models[0]", "got 3"),
        ('modles = ["/a"]', "settings.toml: modles", "no such setting.*did you mean 'models'"),
        (
            'models = [{path = "/a", follow_symlink = true}]',
            "settings.toml: models[0]",
            "did you mean 'follow_symlinks'",
        ),
        ("offline = 3", "settings.toml: offline", "got 3"),
        ("device = ", "settings.toml", "not valid TOML"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, place: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings(write(tmp_path, text))
    assert place in str(caught.value)


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, 'device = "gpu"\ndtype = "half"') | {"GRAPHFLOW_SAFETY": "maybe"})
    text = str(caught.value)
    assert all(part in text for part in ("device", "'gpu'", "dtype", "'half'", "GRAPHFLOW_SAFETY", "'maybe'"))


def test_a_device_that_there_is_not_is_told_which_there_are() -> None:
    with pytest.raises(SettingsError, match=r"GRAPHFLOW_DEVICE.*must be auto, cpu, .*got 'gpu'"):
        load_settings({"GRAPHFLOW_DEVICE": "gpu"})


def test_an_unknown_variable_is_an_error() -> None:
    with pytest.raises(
        SettingsError, match=r"GRAPHFLOW_MODEL: there is no such variable.*did you mean 'GRAPHFLOW_MODELS'"
    ):
        load_settings({"GRAPHFLOW_MODEL": "/x"})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no file"):
        load_settings({"GRAPHFLOW_SETTINGS": str(tmp_path / "nowhere.toml")})


def test_the_page_names_every_setting_and_variable() -> None:
    page = (Path(__file__).parents[1] / "docs" / "settings.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(GRAPHFLOW_\w+)` \|", page, flags=re.MULTILINE)
    assert [name for name, _ in rows] == list(Settings.model_fields)
    assert all(variable == f"GRAPHFLOW_{name.upper()}" for name, variable in rows)
    values = {
        "models": "/m",
        "device": "cpu",
        "devices": "cpu*2",
        "part_devices": "vae=cpu",
        "dtype": "float16",
        "safety": "off",
        "marking": "off",
        "cluster": "local",
    }
    values |= {name: "1" for name, _ in rows if name not in values}
    load_settings({variable: values[name] for name, variable in rows})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().device = "cpu"  # type: ignore[misc]

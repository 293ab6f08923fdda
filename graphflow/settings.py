"""Settings of one user on one machine: where models are, how much memory to use, what is allowed.

They come from environment variables, then from a TOML file, then from the defaults. The file is `settings.toml` in the
platform's configuration folder for graphflow (`GRAPHFLOW_SETTINGS` names another)::

    models = ["/data/models", {path = "/home/me/ComfyUI/models", follow_symlinks = true}]
    cache_bytes = "20 GB"
    device = "cuda:1"
    offline = true
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from graphflow.basics.device_names import ALL, DEVICE, by_part, listed, require_parts
from graphflow.basics.paths import user_path
from graphflow.errors import SettingsError

Dtype = Literal["auto", "float32", "float16", "bfloat16"]
SafetyPolicy = Literal["auto", "require", "off"]

_UNITS = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9, "t": 10**12,
          "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}  # fmt: skip
_MAX_FILE_BYTES = 1_000_000


def _size(value: object) -> object:
    """Accept `"20 GB"`, `"512MiB"` and plain numbers as a count of bytes."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-z]*)\s*", value)
    if not match or match[2].lower() not in _UNITS:
        raise ValueError("must be a number of bytes, such as 8000000000, '8 GB' or '512 MiB'")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _user_path(value: object) -> object:
    """Expand `~` in a path given as text."""
    return user_path(value) if isinstance(value, str) and value else value


Size = Annotated[int, BeforeValidator(_size), Field(ge=0)]
UserPath = Annotated[Path, BeforeValidator(_user_path)]


class RootSetting(BaseModel):
    """One folder with models.

    Attributes:
        path: The folder: graphflow's own tree or an existing ComfyUI `models` folder.
        follow_symlinks: Whether links inside may lead out of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: UserPath
    follow_symlinks: bool | None = None


class Settings(BaseModel):
    """All settings, checked.

    Attributes:
        models: Folders with models, searched in this order. Default: `models` in the platform's data folder.
        follow_symlinks: Whether links inside the model folders may lead out of them, where a folder does not say.
        cache_dir: Folder of the disk tier and of the digest index.
        cache_bytes: Most bytes of the disk tier; the least recently used entries go first.
        memory_bytes: Most bytes of weights and values kept in memory; None: half of the machine's.
        device: `auto`, `cpu`, `cuda`, `cuda:N`, `mps` or `xpu`.
        devices: Devices of one kind that compute at the same time, such as `cuda:0,cuda:1` or `cpu*2`, `all` for all of
            the kind of `device`; empty: that one.
        part_devices: Devices of parts that do not stand where networks sample, by part, such as `{"text_encoder": "cpu"}`.
        dtype: What weights are computed in; `auto`: half precision on a GPU, float32 on the CPU.
        offline: Never touch the network; `HF_HUB_OFFLINE`, which the Hub's library knows, turns it on, too.
        download: Fetch what a document names from the Hub, too; else only names that the user gave.
        hub_cache: Folder of the Hugging Face cache; None: where that library puts it.
        stand_in: Let random tiny weights stand in for model files that are not there, to try a workflow without them.
        safety: `auto` checks pictures where a checker is at hand, `require` refuses without one, `off` never checks.
        safety_checker: Name of the safety checker model, where the checkpoint brings none.
        marking: `on` has files say that a model made them, in IPTC's digital source type; `off` leaves that out.
        deterministic: Ask torch for kernels that give the same bits every time; where it has none, it warns.
        cluster: `local`, `auto` or `HOST:PORT` of a Ray cluster, with `*2` for two workers, where nodes for a device run.
        object_store: An object store behind the disk tier, as fsspec has it, which several machines share.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[RootSetting, ...] = Field(default_factory=lambda: (RootSetting(path=default_models_dir()),))
    follow_symlinks: bool = False
    cache_dir: UserPath = Field(default_factory=lambda: Path(platformdirs.user_cache_dir("graphflow", appauthor=False)))
    cache_bytes: Size = 20 * 10**9
    memory_bytes: Size | None = None
    device: Annotated[str, Field(pattern=rf"^(auto|{DEVICE})$")] = "auto"
    devices: tuple[str, ...] = ()
    part_devices: Mapping[str, str] = Field(default_factory=dict)
    dtype: Dtype = "auto"
    offline: bool = False
    download: bool = False
    hub_cache: UserPath | None = None
    stand_in: bool = False
    safety: SafetyPolicy = "auto"
    safety_checker: str | None = None
    marking: Literal["on", "off"] = "on"
    deterministic: bool = False
    cluster: Annotated[str, Field(pattern=r"^(local|auto|[A-Za-z0-9_.-]+:\d{1,5})(\*[1-9]\d{0,3})?$")] | None = None
    object_store: str | None = None

    @field_validator("devices", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        parts = [value] if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
            raise ValueError("must be a text such as cuda:0,cuda:1, cpu*2 or all")
        return listed(",".join(parts)) if any(map(str.strip, parts)) else ()

    @field_validator("part_devices", mode="before")
    @classmethod
    def _parts(cls, value: object) -> object:
        return by_part(value) if isinstance(value, str) else value

    @field_validator("part_devices")
    @classmethod
    def _known_parts(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        require_parts(value)
        return value

    @property
    def device_names(self) -> tuple[str, ...]:
        """The devices that compute at the same time; where all of a kind do, that is said by ``all``."""
        return self.devices or (self.device,)

    @property
    def computes_on(self) -> str:
        """The first device, for what one is enough to know."""
        return self.device if self.device_names == (ALL,) else self.device_names[0]

    @field_validator("marking", mode="before")
    @classmethod
    def _switch(cls, value: object) -> object:
        return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value

    @field_validator("models", mode="before")
    @classmethod
    def _plain_paths(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            return [{"path": item} if isinstance(item, str | Path) else item for item in value]
        return value


_VARIABLES: Mapping[str, str] = {
    "GRAPHFLOW_MODELS": "models",
    "GRAPHFLOW_FOLLOW_SYMLINKS": "follow_symlinks",
    "GRAPHFLOW_CACHE_DIR": "cache_dir",
    "GRAPHFLOW_CACHE_BYTES": "cache_bytes",
    "GRAPHFLOW_MEMORY_BYTES": "memory_bytes",
    "GRAPHFLOW_DEVICE": "device",
    "GRAPHFLOW_DEVICES": "devices",
    "GRAPHFLOW_PART_DEVICES": "part_devices",
    "GRAPHFLOW_DTYPE": "dtype",
    "GRAPHFLOW_OFFLINE": "offline",
    "GRAPHFLOW_DOWNLOAD": "download",
    "GRAPHFLOW_HUB_CACHE": "hub_cache",
    "GRAPHFLOW_STAND_IN": "stand_in",
    "GRAPHFLOW_SAFETY": "safety",
    "GRAPHFLOW_SAFETY_CHECKER": "safety_checker",
    "GRAPHFLOW_MARKING": "marking",
    "GRAPHFLOW_DETERMINISTIC": "deterministic",
    "GRAPHFLOW_CLUSTER": "cluster",
    "GRAPHFLOW_OBJECT_STORE": "object_store",
}
_PATTERNS = {
    "device": "must be auto, cpu, cuda, cuda:N, mps, xpu or xpu:N",
    "cluster": "must be local, auto or HOST:PORT of a Ray cluster, with *2 for two workers",
}
_FILE_VARIABLE = "GRAPHFLOW_SETTINGS"
_ELSEWHERE = ("GRAPHFLOW_TOKEN", "GRAPHFLOW_TRACEBACK", "GRAPHFLOW_WORKER")
"""Variables that the command line, the service and its clients read."""


def default_models_dir() -> Path:
    """The folder for models where no setting names one."""
    return Path(platformdirs.user_data_dir("graphflow", appauthor=False)) / "models"


def default_service_dir() -> Path:
    """The folder in which the service keeps its jobs where nobody names one."""
    return Path(platformdirs.user_data_dir("graphflow", appauthor=False)) / "service"


def settings_file(environment: Mapping[str, str] | None = None) -> Path:
    """The settings file in use, whether it exists or not."""
    named = (os.environ if environment is None else environment).get(_FILE_VARIABLE)
    if named:
        return user_path(named)
    return Path(platformdirs.user_config_dir("graphflow", appauthor=False)) / "settings.toml"


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from environment variables, the settings file and the defaults, in this order.

    Args:
        environment: Variables to read; None: those of the process.

    Raises:
        SettingsError: A value is wrong, a key or `GRAPHFLOW_…` variable is unknown, or the file cannot be read. All
            problems are named at once, each with its place and value.
    """
    variables = os.environ if environment is None else environment
    path = settings_file(variables)
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    if _FILE_VARIABLE in variables and variables[_FILE_VARIABLE] and not path.is_file():
        raise SettingsError(f"there is no file {str(path)!r}", where=_FILE_VARIABLE, advice="create it or unset it")
    if path.is_file():
        values = _read(path)
        places = {key: f"{path}: {key}" for key in values}
    values |= (found := _from_variables(variables))
    if variables.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        values.setdefault("offline", True)
    places |= {key: name for name, key in _VARIABLES.items() if key in found}
    _refuse_unknown(variables)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _readable(error, places) from error


def change_settings(settings: Settings, changes: Mapping[str, object], places: Mapping[str, str]) -> Settings:
    """Return settings with some of them changed.

    Args:
        settings: The settings.
        changes: What is changed, by name.
        places: Where each change was given, as errors say it.

    Raises:
        SettingsError: A value is wrong.
    """
    try:
        return Settings.model_validate({**settings.model_dump(), **changes})
    except ValidationError as error:
        raise _readable(error, dict(places)) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE_BYTES + 1)
        if len(raw) > _MAX_FILE_BYTES:
            raise SettingsError("the file is larger than a megabyte", where=str(path))
        return tomllib.loads(raw.decode("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"is not valid TOML: {error}", where=str(path)) from error


def _from_variables(variables: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, key in _VARIABLES.items():
        text = variables.get(name, "")
        if text:
            found[key] = [part for part in text.split(os.pathsep) if part] if key == "models" else text
    return found


def _refuse_unknown(variables: Mapping[str, str]) -> None:
    """A misspelt variable would otherwise be ignored in silence."""
    from graphflow.basics.wording import did_you_mean

    known = {*_VARIABLES, _FILE_VARIABLE, *_ELSEWHERE}
    for name in variables:
        if name.startswith("GRAPHFLOW_") and name not in known and not name.startswith("GRAPHFLOW_TEST_"):
            advice = did_you_mean(name, known) or f"known are {', '.join(sorted(known))}"
            raise SettingsError("there is no such variable", where=name, advice=advice)


def _readable(error: ValidationError, places: Mapping[str, str]) -> SettingsError:
    from graphflow.basics.wording import did_you_mean

    problems: list[tuple[str, str, str]] = []
    for item in error.errors(include_url=False):
        key = str(item["loc"][0]) if item["loc"] else ""
        inner = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"][1:])
        place = places.get(key, key) + inner
        if item["type"] == "extra_forbidden":
            known = RootSetting.model_fields if inner else Settings.model_fields
            name = str(item["loc"][-1])
            advice = did_you_mean(name, known) or f"known are {', '.join(sorted(known))}"
            problems.append((place, "there is no such setting", advice))
        else:
            text = item["msg"].removeprefix("Value error, ")
            if item["type"] == "string_pattern_mismatch":
                text = _PATTERNS[key]
            problems.append((place, f"{text[:1].lower()}{text[1:]}, got {_shown(item['input'])}", ""))
    first, *rest = problems
    others = [f"{place}: {text}" + (f" ({hint})" if hint else "") for place, text, hint in rest]
    message = "; ".join([first[1], *others])
    return SettingsError(message, where=first[0], advice=first[2] or "correct it or remove it")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

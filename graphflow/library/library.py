"""The library: names to files, files to descriptions.

    library = Library(load_settings())
    library.describe("sd15.safetensors", "checkpoint").parts["unet"].config

Nothing here reads weights or imports torch; a description takes milliseconds.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from graphflow.basics.paths import user_path
from graphflow.basics.wording import did_you_mean, with_article
from graphflow.errors import ModelFormatError, ModelNotFoundError, SettingsError
from graphflow.library.describe import describe_file
from graphflow.library.extra_paths import FILE_NAME, SUFFIXES, read_extra_paths
from graphflow.library.folder import describe_folder
from graphflow.library.hub import HubId, cached_snapshot, hub_cache_dir, parse_hub_id
from graphflow.library.roots import (
    BUILTIN_NAMES,
    EXTENSIONS,
    KIND_FOLDERS,
    PICKLE_EXTENSIONS,
    Entry,
    Root,
    builtin_root,
    clean_name,
    find_in_root,
    is_model,
    list_root,
    search_folders,
)
from graphflow.library.tokenizers import with_tokenizers
from graphflow.modelfiles.description import Config, Description, JsonValue, Kind
from graphflow.modelfiles.fingerprint import DigestIndex, hub_fingerprint
from graphflow.modelfiles.peft_folder import config_of, model_file
from graphflow.modelfiles.sources import find_sidecar
from graphflow.settings import RootSetting, Settings


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a name leads.

    Attributes:
        name: The name as it was given.
        path: File or folder, resolved; None for a Hub id that is not in the cache.
        root: The root it was found in; None for a trusted path and for the Hub.
        hub: The Hub id, where it is one.
        commit: Its commit in the cache.
    """

    name: str
    path: Path | None
    root: Root | None = None
    hub: HubId | None = None
    commit: str | None = None


_PART_KINDS = ("diffusion_model", "text_encoder", "vae", "image_encoder", "safety_checker")
"""Kinds for which a checkpoint may stand in."""


class Library:
    """The models that this user's settings make available.

    Args:
        settings: Model folders in their order (the packaged models come after them), Hub cache, offline, cache folder.
    """

    def __init__(self, settings: Settings) -> None:
        self.roots = (
            *(root for item in settings.models for root in _roots(item, settings)),
            builtin_root(),
        )
        self.hub_cache = settings.hub_cache or hub_cache_dir()
        self.offline = settings.offline
        self.download = settings.download
        self.digests = DigestIndex(settings.cache_dir)
        self._listed: tuple[float, list[Entry]] = (-1e9, [])
        self._described: dict[str, tuple[Description, tuple[object, ...]]] = {}
        self._stand_ins: dict[tuple[str, Kind | None], Description] = {}

    def stand_in(self, description: Description) -> None:
        """Have :meth:`describe` give a description for a name and kind that no file has."""
        self._stand_ins[description.name, description.kind] = description

    @property
    def standing_in(self) -> tuple[Description, ...]:
        """What :meth:`stand_in` was given."""
        return tuple(self._stand_ins.values())

    def resolve(self, name: str, kind: Kind | None = None, *, trusted: bool = False) -> Resolved:
        """Find what a name stands for; the rules stand in :mod:`graphflow.library.roots`.

        Args:
            name: Relative name with or without extension, Hub id, or `shapes`.
            kind: What it is wanted as: decides which folders are searched first.
            trusted: The name comes from the user (command line, Python), so that it may be any path, and the Hub may be
                asked for it.

        Raises:
            ModelNotFoundError: Nothing has this name, or it leads out of the roots.
        """
        if trusted and _is_plain_path(name):
            return Resolved(name, _user_path(name))
        plain = clean_name(name)
        for root in self.roots:
            if path := find_in_root(root, plain, kind):
                return Resolved(name, path, root)
        if trusted and is_model(Path(name)):
            return Resolved(name, model_file(Path(name)).resolve())
        if hub_id := parse_hub_id(name):
            if snapshot := cached_snapshot(self.hub_cache, hub_id):
                return Resolved(name, model_file(snapshot[0].resolve()), hub=hub_id, commit=snapshot[1])
            if not self.offline and (trusted or self.download):
                return Resolved(name, None, hub=hub_id)
        raise self._not_found(name, plain, kind, parse_hub_id(name))

    def describe(
        self,
        name: str,
        kind: Kind | None = None,
        *,
        overrides: Mapping[str, JsonValue] | None = None,
        trusted: bool = False,
        allow_pickle: bool = False,
    ) -> Description:
        """Describe a model: kind, family, parts with their configs, fingerprint, and where each value comes from.

        Args:
            name: As in :meth:`resolve`.
            kind: As in :meth:`resolve`; a model of another kind is an error, except that a checkpoint may stand in for
                any part that it holds.
            overrides: Values for what the file does not say: short names (`prediction_type`, `zero_snr`,
                `scaling_factor`, `attention_heads`, `norm_groups`), sections (`{"unet": {…}}`, `tokenizer` with
                `vocab` and `merges`), `variant` (`sd1`, `sd2`, `sdxl`, `sdxl_refiner`), and for a Diffusers folder
                `weights_variant` (`"fp16"`, or `""` for the plain set).
            trusted: As in :meth:`resolve`.
            allow_pickle: Whether a pickle file may be described (it is never opened here).

        Raises:
            ModelNotFoundError: As :meth:`resolve`.
            ModelFormatError: The file is damaged, of another kind, a pickle file, or contradicts the overrides.
        """
        standing = self._stand_ins.get((name, kind))
        try:
            resolved = self.resolve(name, kind, trusted=trusted)
        except ModelNotFoundError:
            if standing is None:
                raise
            return _overridden(standing, overrides or {})
        if resolved.path is None:
            if standing is not None:
                return _overridden(standing, overrides or {})
            return Description(name, None, kind or "checkpoint", "hub", warnings=(_download_note(resolved),))
        given = dict(overrides or {})
        key = json.dumps([name, kind, str(resolved.path), given], sort_keys=True)
        described = self._described.get(key)
        if described is None or described[1] != _state(described[0]):
            try:
                description = self._describe(resolved, resolved.path, kind, given)
            except ModelFormatError:
                if resolved.hub is None or self.offline:
                    raise
                # A part of the snapshot has not been downloaded yet; loading completes it.
                return Description(name, None, kind or "checkpoint", "hub", warnings=(_download_note(resolved),))
            description = with_tokenizers(description, self.roots, self.hub_cache)
            described = (description, _state(description))
            self._described[key] = described
        description = described[0]
        if description.needs_conversion and not allow_pickle:
            raise ModelFormatError(
                "is a pickle file, which can run any code when it is opened",
                where=str(resolved.path),
                advice=_conversion(name, kind),
            )
        _check_kind(description, kind)
        return description

    def entries(self, kind: Kind | None = None) -> list[Entry]:
        """Every model in the roots, in the order of the roots; with `kind`, those that stand in its folders."""
        found = [entry for root in self.roots for entry in list_root(root)]
        return [entry for entry in found if kind is None or entry.kind in (kind, None)]

    def _lately_listed(self) -> list[Entry]:
        """Return the models of a second ago: a document may name hundreds that are not there, and each is told."""
        if time.monotonic() - self._listed[0] > 1.0:
            self._listed = (time.monotonic(), self.entries())
        return self._listed[1]

    def place_for(self, name: str, kind: Kind, url: str = "") -> Path | None:
        """Return the file in the first model folder that takes this kind, in which a missing model belongs.

        Args:
            name: Its name in a document.
            kind: What it is wanted as.
            url: Where it is published; gives the ending of a name that has none.

        Raises:
            ModelNotFoundError: The name leads out of the model folders.
        """
        plain = clean_name(name)
        if not plain.lower().endswith(EXTENSIONS):
            ending = next((end for end in EXTENSIONS if url.partition("?")[0].lower().endswith(end)), EXTENSIONS[0])
            plain += ending
        for root in self.roots:
            if not root.only and (folders := search_folders(root, kind)):
                return folders[0] / plain
        return None

    def sha256(self, path: Path) -> str:
        """Full SHA-256 of a file, computed once for each state of it.

        Raises:
            ModelFormatError: The file cannot be read.
        """
        return self.digests.sha256(path)

    def _describe(self, resolved: Resolved, path: Path, kind: Kind | None, overrides: Config) -> Description:
        root = resolved.root
        boundary = root.path.resolve() if root and not root.follow_symlinks else None
        if resolved.hub is not None:
            # Snapshot files are links into the repository's own `blobs` folder.
            boundary = (path if path.is_dir() else path.parent).parent.parent
        sidecar = find_sidecar(path) if resolved.hub is None else None
        if sidecar and boundary and not sidecar.resolve().is_relative_to(boundary):
            sidecar = None
        if path.is_dir():
            fingerprint = None
            if resolved.hub and resolved.commit:
                fingerprint = hub_fingerprint(resolved.hub.repository, resolved.commit)
            return describe_folder(
                resolved.name,
                path,
                kind=kind,
                overrides=overrides,
                sidecar=sidecar,
                boundary=boundary,
                fingerprint=fingerprint,
            )
        overrides.pop("weights_variant", None)
        description = describe_file(resolved.name, path, kind=kind, overrides=overrides, sidecar=sidecar)
        outside = [file for file in description.files if boundary and not file.resolve().is_relative_to(boundary)]
        if outside:
            raise ModelNotFoundError(
                "is a link that leads out of the model folder",
                where=str(outside[0]),
                advice="set follow_symlinks = true for this folder in the settings",
            )
        return description

    def _not_found(self, name: str, plain: str, kind: Kind | None, hub_id: HubId | None) -> ModelNotFoundError:
        places = []
        for root in self.roots[:-1]:
            if not search_folders(root, kind):
                continue
            folders = " or ".join(KIND_FOLDERS.get(kind, ())) if kind and not root.folder else ""
            missing = "" if root.path.is_dir() else " (there is no such folder)"
            places.append(f"{root.path}{f' in {folders}' if folders else ''}{missing}")
        if hub_id is not None:
            places.append(f"the Hub cache {self.hub_cache}{' (offline)' if self.offline else ''}")
        entries = self._lately_listed()
        names = [entry.name for entry in entries if kind is None or entry.kind in (kind, None)]
        names = names or [entry.name for entry in entries]
        advice = did_you_mean(plain, [*names, *BUILTIN_NAMES])
        others = [entry.kind for entry in entries if plain in (entry.name, entry.name.rpartition(".")[0])]
        if kind and others and others[0]:
            advice = f"there is a {others[0].replace('_', ' ')} of this name: load it as such"
        if hub_id is not None and not self.offline:
            advice = (
                "`graphflow fetch` gets it from the Hub; --download, or the name given with -i or --set, while it runs"
            )
        if kind in _EXPORTS and plain.lower().endswith(tuple(PICKLE_EXTENSIONS)):
            advice = _conversion(plain, kind)
        what = (kind or "model").replace("_", " ")
        return ModelNotFoundError(
            f"there is no {what} of this name in {'; '.join(places) or 'any model folder'}",
            where=repr(name),
            advice=advice or "'graphflow models' lists what there is; GRAPHFLOW_MODELS names the model folders",
        )


_EXPORTS: Mapping[Kind | None, str] = {
    "detector": "put its ONNX file there, which its makers' tool writes: yolo export model={name} format=onnx",
    "segmenter": "name the folder that transformers reads instead, e.g. facebook/sam-vit-base, facebook/sam-vit-huge",
    "background_remover": "put its ONNX file, as rembg publishes it, there",
    "face_network": "put an ONNX file there: of SCRFD to find faces, of ArcFace to tell whose they are",
}


def _conversion(name: str, kind: Kind | None) -> str:
    return _EXPORTS.get(kind, "convert it once: graphflow models convert {name}").format(name=name)


def _roots(item: RootSetting, settings: Settings) -> Iterator[Root]:
    """Yield the folder of a setting, and what ComfyUI's file of further folders names: given itself, or beside it."""
    path = item.path.absolute()
    follow = settings.follow_symlinks if item.follow_symlinks is None else item.follow_symlinks
    if path.suffix.lower() in SUFFIXES:
        yield from read_extra_paths(path, follow_symlinks=follow)
        return
    if path.is_file():
        raise SettingsError(
            "is a file, not a folder with models",
            where=str(path),
            advice="name its folder, or ComfyUI's extra_model_paths.yaml",
        )
    if not any((path / folder).is_dir() for folders in KIND_FOLDERS.values() for folder in folders):
        path = next((inner for inner in [path / "models"] if inner.is_dir()), path)  # ComfyUI's own folder
    yield Root(path, follow)
    beside = path.parent / FILE_NAME
    if path.name == "models" and beside.is_file():
        yield from read_extra_paths(beside, follow_symlinks=follow)


def _is_plain_path(name: str) -> bool:
    """Whether a user means a path: absolute, from the home folder, or with a leading dot."""
    return "\0" not in name and (name.startswith((".", "~")) or Path(name).is_absolute())


def _user_path(name: str) -> Path:
    path = user_path(name)
    if is_model(path):
        return model_file(path).resolve()
    there = os.path.lexists(path)  # False, not an error, for a name that is too long
    problem = "is neither a weight file nor a Diffusers folder" if there else "there is no such file or folder"
    raise ModelNotFoundError(problem, where=name, advice="weight files end in .safetensors or .gguf")


def _check_kind(description: Description, kind: Kind | None) -> None:
    if kind is None or description.kind in (kind, "unknown"):
        return
    if description.kind == "checkpoint" and kind in _PART_KINDS:
        return
    whole = any(part.prefix.startswith("model.") for part in description.parts.values())
    if (description.kind, kind) == ("diffusion_model", "checkpoint") and whole:
        return  # a checkpoint that was published without text encoders and autoencoder
    if {description.kind, kind} == {"controlnet", "t2i_adapter"}:
        return
    raise ModelFormatError(
        f"is {with_article(description.kind.replace('_', ' '))}, not {with_article(kind.replace('_', ' '))}",
        where=str(description.path),
        advice="use the loader of its kind",
    )


def _state(description: Description) -> tuple[object, ...]:
    """What must be unchanged for a description to hold."""
    found: list[object] = []
    paths = [*description.files, *([description.path] if description.path else [])]
    paths += [part_file for part in description.parts.values() for part_file in _configs(description, part.folder)]
    for path in dict.fromkeys(paths):
        try:
            state = path.stat()
        except OSError:
            return (None,)
        found.append((path, state.st_size, state.st_mtime_ns, state.st_ino))
    for find in (find_sidecar, config_of):
        beside = find(description.path) if description.path else None
        found.append((beside, beside.stat().st_mtime_ns) if beside else None)
    return tuple(found)


def _overridden(standing: Description, overrides: Mapping[str, JsonValue]) -> Description:
    """What stands in for a file, with what a node says of its prediction."""
    told = {"prediction_type": "prediction_type", "zero_snr": "rescale_betas_zero_snr"}
    changes = {told[key]: value for key, value in overrides.items() if key in told}
    return replace(standing, scheduler={**standing.scheduler, **changes}) if changes else standing


def _configs(description: Description, folder: str) -> list[Path]:
    if description.path is None or not description.path.is_dir():
        return []
    names = [description.path / folder / "config.json", description.path / "model_index.json"]
    names.append(description.path / "scheduler" / "scheduler_config.json")
    return [path for path in names if path.is_file()]


def _download_note(resolved: Resolved) -> str:
    return f"{resolved.hub} is not complete in the local cache: it is downloaded when it is first used"

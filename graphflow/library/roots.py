r"""Model folders, and how a name in a document becomes a path inside one of them.

A root is a folder with one subfolder per kind, named as ComfyUI names them, so that an existing `models` tree works as
it is. The rules for a name, in this order:

1. Separators may be `/` or `\\`. A name is relative: `..`, absolute paths, drive letters, `~` and control characters
   are refused, unless the caller says that the name is trusted (command line, Python).
2. Roots are tried in their order, the first that has the name wins. Within a root the folders of the kind are tried,
   then the root itself, so that `loras/x` works as well as `x`.
3. In each folder the exact name comes before the name with an extension added, `.safetensors` first.
4. A Diffusers folder counts as a model wherever it stands; its inner files do not.
5. The found path is resolved and must lie inside the resolved root. A link that leads out is refused unless the root's
   `follow_symlinks` is on: a downloaded archive can bring links along, so the user decides, once, per root.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from graphflow.errors import ModelNotFoundError
from graphflow.modelfiles.description import Kind
from graphflow.modelfiles.peft_folder import is_peft_folder, model_file

KIND_FOLDERS: Mapping[Kind, tuple[str, ...]] = {
    "checkpoint": ("checkpoints", "diffusers"),
    "diffusion_model": ("diffusion_models", "unet"),
    "text_encoder": ("text_encoders", "clip"),
    "vae": ("vae", "vae_approx"),
    "controlnet": ("controlnet", "t2i_adapter", "model_patches", "xlabs/controlnets"),
    "t2i_adapter": ("t2i_adapter", "controlnet"),
    "lora": ("loras", "layer_model", "animatediff_motion_lora"),
    "embedding": ("embeddings",),
    "hypernetwork": ("hypernetworks",),
    "upscale_model": ("upscale_models",),
    "ip_adapter": ("ipadapter", "xlabs/ipadapters"),
    "image_encoder": ("clip_vision", "checkpoints"),
    "audio_encoder": ("audio_encoders",),
    "latent_upscale_model": ("latent_upscale_models",),
    "style_model": ("style_models",),
    "gligen": ("gligen",),
    "motion_module": ("animatediff_models",),
    "photomaker": ("photomaker",),
    "safety_checker": ("safety_checkers",),
    "detector": ("detectors", "ultralytics", "onnx", "grounding-dino", "clipseg"),
    "segmenter": ("sams",),
    "describer": ("LLM", "florence2"),
    "language_model": ("LLM",),
    "transparency_decoder": ("layer_model",),
    "background_remover": ("background_removal", "rembg", "BiRefNet", "RMBG"),
    "face_network": ("insightface/models", "insightface"),
}
"""Subfolders of a root by kind, the kind's own first."""

EXTENSIONS = (".safetensors", ".sft", ".safetensors.index.json", ".gguf", ".ckpt", ".pt", ".pth", ".bin", ".onnx")
"""Endings of weight files, in the order in which they are added to a name."""

PICKLE_EXTENSIONS = frozenset({".ckpt", ".pt", ".pth", ".bin"})
_INSTEAD: Mapping[Kind, tuple[str, ...]] = {
    "hypernetwork": (".safetensors",),
    "ip_adapter": (".safetensors",),
    "detector": (".onnx", ""),
    "segmenter": ("",),
    "background_remover": (".onnx", ""),
}
"""Endings of what a pickle file of a kind gives way to: a file that was made of it, or a folder."""
BUILTIN_NAMES: Mapping[str, tuple[Kind, str]] = {
    "shapes": ("checkpoint", "shapes"),
    "shapes-outline": ("lora", "loras/shapes-outline.safetensors"),
    "shapes-edges": ("controlnet", "controlnet/shapes-edges"),
    "shapes-valentine": ("embedding", "embeddings/shapes-valentine.safetensors"),
}
"""Packaged models: name to kind and to the place in the package's assets."""

_SHARD = re.compile(r".+-\d{5}-of-\d{5}\.safetensors")
_MAX_NAME = 1024
_MAX_LISTED = 100_000


@dataclass(frozen=True, slots=True)
class Root:
    """A folder with models.

    Attributes:
        path: The folder, absolute; it need not exist.
        follow_symlinks: Whether links inside may lead out of it.
        only: If not empty, nothing but these names counts, each with its kind and its place below the folder.
        folder: If not empty, the folder has no subfolders by kind: it stands for this one of them, e.g. ``loras``.
    """

    path: Path
    follow_symlinks: bool = False
    only: Mapping[str, tuple[Kind, str]] = field(default_factory=dict, hash=False)
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model in a root.

    Attributes:
        name: The name that a document gives, relative to the kind's folder or to the root.
        kind: What the folder says it is; None outside the kinds' folders.
        path: File or Diffusers folder.
        root: Where it was found.
    """

    name: str
    kind: Kind | None
    path: Path
    root: Root


def builtin_root() -> Root:
    """The models that are part of the package."""
    return Root(Path(__file__).resolve().parents[1] / "assets", only=BUILTIN_NAMES)


def clean_name(name: str) -> str:
    """Check a name from a document and return it with `/` as separator.

    Raises:
        ModelNotFoundError: The name is empty, absolute, leads upwards or holds control characters.
    """
    plain = name.replace("\\", "/")
    if not plain.strip() or len(plain) > _MAX_NAME:
        raise ModelNotFoundError("a model name must have 1 to 1024 characters", where=repr(name[:80]))
    if any(ord(char) < 32 or ord(char) == 127 for char in plain):
        raise ModelNotFoundError("a model name must not hold control characters", where=repr(name[:80]))
    if plain.startswith(("/", "~")) or re.match(r"[A-Za-z]:", plain):
        raise ModelNotFoundError(
            "a document must not name a model by an absolute path",
            where=repr(name),
            advice="name it relative to a model folder, and add its folder to 'models' in the settings; a path given on"
            " the command line is accepted",
        )
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise ModelNotFoundError(
            "a model name must not lead out of the model folders",
            where=repr(name),
            advice="name it relative to a model folder",
        )
    return "/".join(parts)


def find_in_root(root: Root, name: str, kind: Kind | None) -> Path | None:
    """The path that a cleaned name has in one root, resolved; None where it has none.

    A pickle file of a kind that is published as such gives way to what was made of it, see `_INSTEAD`.

    Raises:
        ModelNotFoundError: It is there, but a link leads out of the root.
    """
    if root.only:
        _, place = root.only.get(name, (None, ""))
        return (root.path / place).resolve() if place and is_model(root.path / place) else None
    stem, dot, ending = name.rpartition(".")
    pickled = dot + ending.lower() in PICKLE_EXTENSIONS
    converted = [stem + other for other in _INSTEAD.get(kind or "unknown", ())] if pickled else []
    for base in search_folders(root, kind):
        for found in (*converted, *(name + ending for ending in ("", *EXTENSIONS))):
            candidate = base / found
            if is_model(candidate):
                return _inside(root, model_file(candidate), name)
    return None


def search_folders(root: Root, kind: Kind | None) -> list[Path]:
    """The folders of a root in which a name of this kind is looked for."""
    if root.folder:
        return [root.path] if kind is None or root.folder in KIND_FOLDERS.get(kind, ()) else []
    folders = KIND_FOLDERS.get(kind, ()) if kind else tuple(dict.fromkeys(sum(KIND_FOLDERS.values(), ())))
    return [*(root.path / folder for folder in folders), root.path]


def is_model(path: Path) -> bool:
    """Whether a path is a weight file by its name, a Diffusers folder, or a PEFT folder."""
    try:
        if path.name.lower().endswith(EXTENSIONS) and path.is_file():
            return True
        return is_diffusers_folder(path) or is_peft_folder(path)
    except (OSError, ValueError):
        return False  # Too long, or with characters that no file can have: nothing is there.


def is_diffusers_folder(path: Path) -> bool:
    """Whether a folder holds a Diffusers pipeline, or one component with its weights."""
    if (path / "model_index.json").is_file():
        return True
    return (path / "config.json").is_file() and any(
        item.name.endswith(EXTENSIONS) for item in path.iterdir() if not item.name.startswith(".")
    )


def list_root(root: Root) -> Iterator[Entry]:
    """Every model in a root, folders sorted by name; links that leave it are passed over unless it follows them."""
    if root.only:
        for name, (packaged_kind, _) in root.only.items():
            path = find_in_root(root, name, None)
            if path is not None:
                yield Entry(name, packaged_kind, path, root)
        return
    real_root = root.path.resolve()
    kinds = {folder: kind for kind, names in reversed(list(KIND_FOLDERS.items())) for folder in names}
    kinds |= {names[0]: kind for kind, names in KIND_FOLDERS.items()}
    seen: set[Path] = set()
    count = 0
    for folder, folders, files in os.walk(root.path, followlinks=root.follow_symlinks):
        here = Path(folder)
        real = here.resolve()
        if real in seen or (not root.follow_symlinks and not real.is_relative_to(real_root)):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(item for item in folders if not item.startswith("."))
        relative = here.relative_to(root.path).parts
        place = (root.folder, *relative) if root.folder else relative
        kind = kinds.get(place[0]) if place else None
        if relative and is_diffusers_folder(here):
            folders.clear()
            found = [""]
        else:
            found = sorted(_listed(files))
        for file in found:
            path = here / file if file else here
            if not root.follow_symlinks and not path.resolve().is_relative_to(real_root):
                continue
            parts = (*place, file) if file else place
            name = "/".join(parts[1:] if kind and len(parts) > 1 else parts)
            yield Entry(name, kind, path, root)
            count += 1
            if count >= _MAX_LISTED:
                return


def _listed(files: list[str]) -> Iterator[str]:
    for file in files:
        lower = file.lower()
        if not lower.startswith(".") and lower.endswith(EXTENSIONS) and not _SHARD.fullmatch(lower):
            yield file


def _inside(root: Root, candidate: Path, name: str) -> Path:
    real = candidate.resolve()
    if root.follow_symlinks or real.is_relative_to(root.path.resolve()):
        return real
    raise ModelNotFoundError(
        f"is a link that leads out of the model folder {str(root.path)!r}, to {str(real)!r}",
        where=repr(name),
        advice="set follow_symlinks = true for this folder in the settings, or add the other folder to 'models'",
    )

"""Networks that draw what a ControlNet reads: edges, lines, poses, depth. Their code is the package controlnet-aux.

Their weights are published as pickle files, which are never fetched here: they are looked for in the model folders and
in the Hub cache, and read as tensors only (torch's `weights_only`).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
import types
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from graphflow.errors import ModelFormatError, ModelNotFoundError
from graphflow.library.hub import cached_snapshot, parse_hub_id

if TYPE_CHECKING:
    from graphflow.library.library import Library

PreprocessorName = Literal[
    "canny",
    "hed",
    "hed_safe",
    "pidi",
    "pidi_safe",
    "scribble_hed",
    "scribble_pidi",
    "teed",
    "lineart",
    "lineart_coarse",
    "lineart_anime",
    "lineart_standard",
    "mlsd",
    "openpose",
    "openpose_full",
    "depth_midas",
    "depth_zoe",
    "depth_leres",
    "normal_midas",
    "normal_bae",
    "shuffle",
]
"""What `preprocess` can draw."""

PACKAGE = "controlnet_aux"
FOLDERS = ("annotators", "controlnet_aux", "annotators/{repository}", "controlnet_aux/{repository}")
"""Where in a model folder the weights are looked for."""

_UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_IMPORTING = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Annotator:
    """One method.

    Attributes:
        module: Module of the package.
        class_name: Class in it.
        files: Names of its weight files; empty where it computes without a network.
        repository: The Hub's repository that has them.
        loading: Arguments for loading.
        calling: Arguments for drawing.
        pick: Which of several results, where it returns several.
        random: Whether it draws random numbers.
    """

    module: str
    class_name: str
    files: tuple[str, ...] = ()
    repository: str = "lllyasviel/Annotators"
    loading: Mapping[str, Any] = field(default_factory=dict)
    calling: Mapping[str, Any] = field(default_factory=dict)
    pick: int | None = None
    random: bool = False


def _soft(module: str, class_name: str, file: str, **calling: bool) -> Annotator:
    return Annotator(module=module, class_name=class_name, files=(file,), calling=calling)


_LINE_FILES = ("sk_model.pth", "sk_model2.pth")
_POSE_FILES = ("body_pose_model.pth", "hand_pose_model.pth", "facenet.pth")
_MIDAS_FILES = ("dpt_hybrid-midas-501f0c75.pt",)
_LERES_FILES = ("res101.pth", "latest_net_G.pth")

ANNOTATORS: Mapping[PreprocessorName, Annotator] = {
    "canny": Annotator(module="canny", class_name="CannyDetector"),
    "hed": _soft("hed", "HEDdetector", "ControlNetHED.pth"),
    "hed_safe": _soft("hed", "HEDdetector", "ControlNetHED.pth", safe=True),
    "pidi": _soft("pidi", "PidiNetDetector", "table5_pidinet.pth"),
    "pidi_safe": _soft("pidi", "PidiNetDetector", "table5_pidinet.pth", safe=True),
    "scribble_hed": _soft("hed", "HEDdetector", "ControlNetHED.pth", scribble=True),
    "scribble_pidi": _soft("pidi", "PidiNetDetector", "table5_pidinet.pth", scribble=True),
    "teed": Annotator(
        module="teed",
        class_name="TEEDdetector",
        files=("5_model.pth",),
        repository="fal-ai/teed",
        loading={"filename": "5_model.pth"},
    ),
    "lineart": Annotator(module="lineart", class_name="LineartDetector", files=_LINE_FILES),
    "lineart_coarse": Annotator(
        module="lineart", class_name="LineartDetector", files=_LINE_FILES, calling={"coarse": True}
    ),
    "lineart_anime": Annotator(module="lineart_anime", class_name="LineartAnimeDetector", files=("netG.pth",)),
    "lineart_standard": Annotator(module="lineart_standard", class_name="LineartStandardDetector"),
    "mlsd": Annotator(module="mlsd", class_name="MLSDdetector", files=("mlsd_large_512_fp32.pth",)),
    "openpose": Annotator(module="open_pose", class_name="OpenposeDetector", files=_POSE_FILES),
    "openpose_full": Annotator(
        module="open_pose",
        class_name="OpenposeDetector",
        files=_POSE_FILES,
        calling={"include_hand": True, "include_face": True},
    ),
    "depth_midas": Annotator(module="midas", class_name="MidasDetector", files=_MIDAS_FILES),
    "depth_zoe": Annotator(module="zoe", class_name="ZoeDetector", files=("ZoeD_M12_N.pt",)),
    "depth_leres": Annotator(module="leres", class_name="LeresDetector", files=_LERES_FILES),
    "normal_midas": Annotator(
        module="midas",
        class_name="MidasDetector",
        files=_MIDAS_FILES,
        calling={"depth_and_normal": True},
        pick=1,
    ),
    "normal_bae": Annotator(module="normalbae", class_name="NormalBaeDetector", files=("scannet.pt",)),
    "shuffle": Annotator(module="shuffle", class_name="ContentShuffleDetector", random=True),
}


def load_annotator(name: PreprocessorName, library: Library, device: Any) -> Any:
    """The package's detector, with its weights, where it computes.

    Args:
        name: The method.
        library: Knows the model folders and the Hub cache.
        device: Where to compute.

    Raises:
        ModelNotFoundError: A weight file is missing, or the package is.
        ModelFormatError: A weight file is damaged or holds more than tensors.
    """
    method = ANNOTATORS[name]
    if not method.files:
        return getattr(_module(method.module), method.class_name)()
    folder = find_weights(method, library)
    cls = getattr(_module(method.module), method.class_name)
    if os.environ.get(_UNSAFE, "") not in ("", "0"):
        raise ModelFormatError(
            f"{_UNSAFE} has torch run what pickle files hold", where=str(folder), advice="unset this variable"
        )
    try:
        with quiet():
            detector = cls.from_pretrained(str(folder), **method.loading)
    except Exception as error:
        # torch, pickle and the package each have errors of their own for a file that is not what it should be.
        problem = str(error).partition("\n")[0][:200] or type(error).__name__
        raise ModelFormatError(
            f"the weights of {name} cannot be read: {problem}",
            where=", ".join(str(folder / file) for file in method.files),
            advice=f"download them again from {method.repository}",
        ) from error
    return detector.to(device)


def find_weights(method: Annotator, library: Library) -> Path:
    """The folder with all weight files of a method.

    Raises:
        ModelNotFoundError: There is none; names the files and the places.
    """
    places = [
        root.path / folder.format(repository=method.repository)
        for root in library.roots
        if not root.only
        for folder in FOLDERS
    ]
    hub_id = parse_hub_id(method.repository)
    snapshot = cached_snapshot(library.hub_cache, hub_id) if hub_id is not None else None
    candidates = [*places, *([snapshot[0]] if snapshot is not None else [])]
    for folder in candidates:
        if all((folder / file).is_file() for file in method.files):
            return folder
    files = " and ".join(method.files)
    looked = ", ".join(str(root.path / FOLDERS[0]) for root in library.roots if not root.only)
    raise ModelNotFoundError(
        f"needs the weights {files}, which are not in {looked or 'any model folder'} nor in the Hub cache"
        f" {library.hub_cache}",
        where=method.class_name,
        advice=f"put them into a model folder's 'annotators', or run: hf download {method.repository} "
        + " ".join(method.files),
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out the package's warnings about itself and its dependencies, which a user can do nothing about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _module(name: str) -> Any:
    """Import one module of the package without the others: together they take half a minute and warn a lot."""
    with _IMPORTING, quiet():
        full = f"{PACKAGE}.{name}"
        if full in sys.modules:
            return sys.modules[full]
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.submodule_search_locations is None:
            raise ModelNotFoundError("is not installed", where=PACKAGE, advice="pip install controlnet-aux")
        stand_in = PACKAGE not in sys.modules
        if stand_in:
            package = types.ModuleType(PACKAGE)
            package.__path__ = list(spec.submodule_search_locations)
            sys.modules[PACKAGE] = package
        try:
            return importlib.import_module(full)
        finally:
            if stand_in:
                del sys.modules[PACKAGE]

"""A graph whose values are all stored, and ways to spoil its store."""

from __future__ import annotations

import hashlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from graphflow import Workflow
from graphflow.nodes import save_image
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.decorator import node
from graphflow.spec.registry import Registry, installed
from graphflow.values import Conditioning, ConditioningEntry, Image, Latent
from tests.conftest import NoModels


@node("stored_picture", persist=True)
def picture(seed: int) -> Image:
    """Draw; large enough for an object of its own."""
    return Image(pixels=torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed)))


@node("stored_latent", persist=True)
def latent(image: Image) -> Latent:
    """Make latents; small enough to lie in the entry."""
    return Latent(samples=image.pixels[..., ::8, ::8])


@node("stored_words", persist=True)
def words(latent: Latent) -> Conditioning:
    """Make a conditioning."""
    return Conditioning(entries=(ConditioningEntry(embedding=latent.samples.flatten(2)),))


@node("stored_scales", persist=True)
def scales(words: Conditioning) -> list[float]:
    """Make numbers."""
    return [0.5, float(words.entries[0].embedding.mean())]


@node("stored_scaled", persist=True, map=True)
def scaled(image: Image, scale: float) -> Image:
    """Change a picture for each number."""
    return Image(pixels=image.pixels * scale)


@node("stored_each", persist=True)
def each(numbers: list[float]) -> Sequence[float]:
    """Go through numbers."""
    return tuple(numbers)


NODES = [each, latent, picture, scaled, scales, words]
REGISTRY: Registry = installed().with_nodes(NODES, pack="stored")


def graph() -> Workflow:
    g = Workflow("stored")
    for seed in (1, 2):
        image = g.add(picture, seed=seed)
        numbers = g.add(each, numbers=g.add(scales, words=g.add(words, latent=g.add(latent, image=image))))
        g.add(save_image, images=image, filename_prefix=f"plain{seed}")
        g.add(save_image, images=g.add(scaled, image=image, scale=numbers), filename_prefix=f"scaled{seed}")
    return g


def run(cache: Path, out: Path | None = None) -> dict[str, str]:
    """Run the graph as a new process would; returns the digests of the files, which do not stay where no folder is given."""
    if out is None:
        with tempfile.TemporaryDirectory() as folder:
            return run(cache, Path(folder))
    given = {"models": (), "cache_dir": cache, "device": "cpu", "offline": True}
    with Session(Settings.model_validate(given), known=REGISTRY, models=NoModels()) as session:
        result = session.run(graph(), out=out)
        return {path.name: digest(path) for path in result.paths}


def digest(path: Path) -> str:
    """Return the digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run_killed(cache: Path, out: Path, seconds: float) -> bool:
    """Run the graph in a process that is killed after some time; tells whether it had ended before."""
    child = os.fork()
    if not child:
        try:
            run(cache, out)
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.WIFEXITED(os.waitpid(child, 0)[1])


def files_of(cache: Path, *, objects: bool) -> list[Path]:
    found = sorted(path for path in (cache / "store" / "v1").rglob("*") if path.suffix in (".safetensors", ".bin"))
    return [path for path in found if ("objects" in path.parts) == objects]


def _swap(path: Path, other: Path) -> None:
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)


def _instead(make: Callable[[Path], Any]) -> Callable[[Path, Path], None]:
    def replace(path: Path, other: Path) -> None:
        path.unlink()
        make(path)

    return replace


FAULTS: dict[str, Callable[[Path, Path], Any]] = {
    "swapped": _swap,
    "copied over": lambda path, other: path.write_bytes(other.read_bytes()),
    "cut": lambda path, other: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path, other: path.write_bytes(bytes(path.stat().st_size)),
    "removed": lambda path, other: path.unlink(),
    "a pipe": _instead(os.mkfifo),
    "a device": _instead(lambda path: path.symlink_to("/dev/zero")),
    "a folder": _instead(Path.mkdir),
}


def spoil(cache: Path, faults: Sequence[tuple[str, bool, int, int]]) -> None:
    """Spoil files of a store: each fault has its name, whether it meets an object, and two places in the list of files."""
    known = {objects: files_of(cache, objects=objects) for objects in (False, True)}
    for kind, objects, one, other in faults:
        files = [path for path in known[objects] if path.is_file() and not path.is_symlink()]
        if files:
            FAULTS[kind](files[one % len(files)], files[other % len(files)])

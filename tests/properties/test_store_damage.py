"""Files of the store are exchanged, cut, altered, removed or something else: the run makes what it made before."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from graphflow import Workflow
from graphflow.nodes import save_image
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.decorator import node
from graphflow.spec.registry import Registry, installed
from graphflow.store import DiskTier
from graphflow.values import Conditioning, ConditioningEntry, Image, Latent
from tests.conftest import NoModels

SOAK = bool(os.environ.get("GRAPHFLOW_TEST_SOAK"))


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


def run(cache: Path) -> dict[str, str]:
    """Run the graph as a new process would; returns the digests of the files."""
    given = {"models": (), "cache_dir": cache, "device": "cpu", "offline": True}
    with (
        tempfile.TemporaryDirectory() as out,
        Session(Settings.model_validate(given), known=REGISTRY, models=NoModels()) as session,
    ):
        result = session.run(graph(), out=out)
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in result.paths}


def files_of(cache: Path, *, objects: bool) -> list[Path]:
    found = sorted(path for path in (cache / "store" / "v1").rglob("*") if path.suffix in (".safetensors", ".bin"))
    return [path for path in found if ("objects" in path.parts) == objects]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A cache after a run, and the files of the run."""
    cache = tmp_path_factory.mktemp("whole")
    files = run(cache)
    assert len(set(files.values())) == 6
    return cache, files


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
places = st.integers(0, 99)


@settings(max_examples=500 if SOAK else 25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    faults=st.lists(st.tuples(st.sampled_from(sorted(FAULTS)), st.booleans(), places, places), min_size=1, max_size=6)
)
@example(faults=[("a pipe", False, place, 0) for place in range(40)])
@example(faults=[("a device", True, place, 0) for place in range(20)])
@example(faults=[("copied over", False, place, place + 1) for place in range(40)])
def test_what_stands_in_a_wrong_place_is_computed_again(
    whole: tuple[Path, dict[str, str]], faults: list[tuple[str, bool, int, int]]
) -> None:
    cache, expected = whole
    with tempfile.TemporaryDirectory() as folder:
        mine = Path(shutil.copytree(cache, Path(folder) / "cache"))
        known = {objects: files_of(mine, objects=objects) for objects in (False, True)}
        for kind, objects, one, other in faults:
            files = [path for path in known[objects] if path.is_file() and not path.is_symlink()]
            if files:
                FAULTS[kind](files[one % len(files)], files[other % len(files)])
        assert run(mine) == expected
        assert run(mine) == expected


def test_verifying_names_an_entry_in_the_place_of_another(whole: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    mine = Path(shutil.copytree(whole[0], tmp_path / "cache"))
    one, other, *_ = files_of(mine, objects=False)
    shutil.copy(other, one)
    report = DiskTier(mine / "store", 2**30).verify()
    assert (report.exchanged, report.damaged) == ((one.name,), ())
    assert not one.exists() and other.exists()

"""A cache folder of 0.1.0: its entries are read, and a run on it is right."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from graphflow import Session
from graphflow.settings import Settings
from graphflow.values.types import decode, type_name
from tests.frozen.conftest import Command
from tests.frozen.fixtures import FROZEN, PACK, STORE, assert_same_pictures

CONTENTS: dict[str, Any] = json.loads((STORE / "contents.json").read_text("utf-8"))
VALUES: dict[str, dict[str, Any]] = CONTENTS["values"]


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(STORE / "contents.safetensors")
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the cache folder: reading marks files as used."""
    return Path(shutil.copytree(STORE / "cache", tmp_path / "cache"))


@pytest.fixture
def session(folder: Path) -> Session:
    return Session(Settings(device="cpu", dtype="float32", cache_dir=folder, offline=True, models=()), nodes=[PACK])


def check(found: Any, expected: Any, tensors: Mapping[str, torch.Tensor], path: str) -> None:
    """Check that a value is what was recorded; fields that it has since got are not looked at."""
    if isinstance(expected, list):
        assert isinstance(found, tuple | list) and len(found) == len(expected), path
        for index, part in enumerate(expected):
            check(found[index], part, tensors, f"{path}[{index}]")
    elif not isinstance(expected, dict):
        assert type(found) is type(expected) and found == expected, path
    elif "$tensor" in expected:
        wanted = tensors[expected["$tensor"]]
        assert found.dtype == wanted.dtype and torch.equal(found, wanted), path
    elif "$float" in expected:
        wanted_number = float(expected["$float"])
        assert found == wanted_number or (math.isnan(found) and math.isnan(wanted_number)), path
    elif "$bytes" in expected:
        assert found == bytes.fromhex(expected["$bytes"]), path
    elif "$map" in expected:
        assert set(found) == set(expected["$map"]), path
        for name, part in expected["$map"].items():
            check(found[name], part, tensors, f"{path}.{name}")
    else:
        assert type_name(type(found)) == expected["$type"], path
        for name, part in expected.items():
            if name != "$type":
                check(getattr(found, name), part, tensors, f"{path}.{name}")


def test_the_store_opens_without_damage(folder: Path, graphflow: Command) -> None:
    info = json.loads(graphflow("cache", "info", "--json", "--cache-dir", folder, packs=False))
    assert (info["entries"], info["objects"]) == (CONTENTS["entries"], CONTENTS["objects"])
    report = json.loads(graphflow("cache", "verify", "--json", "--cache-dir", folder, packs=False))
    assert report["damaged"] == [] and report["incomplete"] == []
    assert report["files"] == CONTENTS["entries"] + CONTENTS["objects"]


@pytest.mark.parametrize("name", VALUES)
def test_an_entry_is_the_value_that_was_stored(
    name: str, session: Session, tensors: Mapping[str, torch.Tensor]
) -> None:
    missing = object()
    found = session.store.get(VALUES[name]["key"], lambda entry: decode(entry.data, entry.tensors), missing)
    assert found is not missing
    check(found, VALUES[name]["value"], tensors, name)


@pytest.mark.parametrize("key", CONTENTS["files"])
def test_a_stored_file_is_copied_out(key: str, session: Session, tmp_path: Path) -> None:
    expected = CONTENTS["files"][key]
    assert session.store.copy_file(key, tmp_path / "file")
    data = (tmp_path / "file").read_bytes()
    assert len(data) == expected["bytes"]
    assert hashlib.sha256(data).hexdigest() == expected["sha256"]


def test_a_run_on_it_draws_the_same_pictures(folder: Path, graphflow: Command, tmp_path: Path) -> None:
    arguments = [STORE / "workflow.json", "--cache-dir", folder]
    before = json.loads(graphflow("plan", *arguments, "--json"))
    types = json.loads(graphflow("nodes", "--json"))
    versions = {entry["type"]: entry["version"] for entry in types}
    same = before["numerics"] == CONTENTS["numerics"]
    if same and all(versions.get(kind) == version for kind, version in CONTENTS["versions"].items()):
        assert before["counts"]["run"] == 0
    graphflow("run", *arguments, "--out", tmp_path / "out")
    assert_same_pictures(tmp_path / "out", STORE / "out")
    after = json.loads(graphflow("plan", *arguments, "--json"))
    assert after["counts"]["run"] == 0


def test_the_index_of_digests_is_read(folder: Path, session: Session, tmp_path: Path) -> None:
    """The index holds a file that is not here; another one is added to it."""
    file = FROZEN / "settings" / "models" / "embeddings" / "first.safetensors"
    assert (folder / "digests.sqlite").is_file()
    assert session.library.sha256(file) == hashlib.sha256(file.read_bytes()).hexdigest()
    assert session.library.sha256(file) == hashlib.sha256(file.read_bytes()).hexdigest()


def test_doctor_reads_the_probe_beside_it(folder: Path, graphflow: Command) -> None:
    assert json.loads((folder / "probe.json").read_text("utf-8"))["device"] == "cpu"
    facts = json.loads(graphflow("doctor", "--json", "--cache-dir", folder))
    assert facts["problems"] == []

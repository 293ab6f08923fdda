"""Changed folders of the store: whatever is read from one is what was put in, or nothing."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from graphflow.store import DiskTier
from graphflow.store.encoded import Encoded
from tests.comfyui.fuzz import cut, flip

KEYS = [sha256(bytes([number])).hexdigest() for number in range(5)]
FILE = sha256(b"file").hexdigest()
PICTURE = b"a picture" * 99


def _value(number: int) -> Encoded:
    tensors = {name: torch.full((edge, 5), float(number)) for name, edge in (("small", 4), ("large", 1_000))}
    return Encoded("latent", {"number": number, "text": "a" * 900 * number}, tensors)


def inputs(folder: Path) -> Callable[[random.Random], tuple[str, Callable[[], Any]]]:
    """Return what makes inputs: the name of a change, and what reads the changed folder."""
    whole, mine = folder / "whole", folder / "mine"
    tier = DiskTier(whole, 2**30)
    for number, key in enumerate(KEYS):
        assert tier.put(key, _value(number))
    (folder / "picture").write_bytes(PICTURE)
    assert tier.put_file(FILE, folder / "picture", suffix=".png")

    def make(dice: random.Random) -> tuple[str, Callable[[], Any]]:
        shutil.rmtree(mine, ignore_errors=True)
        shutil.copytree(whole, mine)
        files = sorted(path for path in mine.rglob("*") if path.suffix in (".safetensors", ".bin"))
        names = dice.choices(list(CHANGES), k=dice.choice((1, 1, 3)))
        for name in names:
            path, other = dice.sample([file for file in files if _plain(file)], 2)
            CHANGES[name](path, other, dice)
        first = dice.random() < 0.3
        return names[0] if len(names) == 1 else "several", lambda: _read(mine, folder / "out", verify_first=first)

    return make


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and 0 < path.stat().st_size < 2**19


def _read(folder: Path, target: Path, *, verify_first: bool) -> None:
    """Read everything twice, and put it in again."""
    tier = DiskTier(folder, 2**30, on_problem=lambda told: told.encode())
    if verify_first:
        tier.verify()
    for _ in range(2):
        for number, key in enumerate(KEYS):
            tier.contains(key)
            found = tier.get(key)
            if found is None:
                tier.put(key, _value(number))
                continue
            wanted = _value(number)
            assert (found.kind, found.data) == (wanted.kind, wanted.data), "a wrong value"
            assert all(torch.equal(found.tensors[name], tensor) for name, tensor in wanted.tensors.items()), (
                "a wrong tensor"
            )
        if tier.copy_file(FILE, target):
            assert target.read_bytes() == PICTURE, "a wrong file"
    tier.prune()
    tier.stats()


def _header(path: Path, _other: Path, dice: random.Random) -> None:
    """Change the header and let its digest be right no more, or its length be wrong."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length]
    try:
        text = json.loads(header)
    except ValueError:
        text = {}
    part = text.get("__metadata__", {}) if isinstance(text, dict) else {}
    if part and dice.random() < 0.5:
        part[dice.choice(list(part))] = dice.choice(("", "1", "[" * 5_000, "../../etc/passwd:3", "9" * 5_000))
        header = json.dumps(text).encode()
    length = dice.choice((len(header), len(header) * 2, 0, 2**31, 2**63))
    path.write_bytes(struct.pack("<Q", length) + header + data[8 + len(header) :])


def _sparse(path: Path, _other: Path, dice: random.Random) -> None:
    with path.open("r+b") as file:
        if dice.random() < 0.5:
            file.write(struct.pack("<Q", dice.choice((2**33, 2**40))))
        file.truncate(dice.choice((2**20, 2**34, 2**41)))


def _instead(make: Callable[[Path], Any]) -> Callable[[Path, Path, random.Random], None]:
    def change(path: Path, _other: Path, _dice: random.Random) -> None:
        path.unlink()
        make(path)

    return change


def _swap(path: Path, other: Path, _dice: random.Random) -> None:
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)


CHANGES: dict[str, Callable[[Path, Path, random.Random], Any]] = {
    "flip bytes": lambda path, other, dice: path.write_bytes(flip(path.read_bytes(), dice)),
    "cut": lambda path, other, dice: path.write_bytes(cut(path.read_bytes(), dice)),
    "longer": lambda path, other, dice: path.write_bytes(path.read_bytes() + dice.randbytes(9)),
    "empty": lambda path, other, dice: path.write_bytes(b""),
    "header": _header,
    "huge": _sparse,
    "exchanged": _swap,
    "copied over": lambda path, other, dice: path.write_bytes(other.read_bytes()),
    "removed": _instead(lambda path: None),
    "a pipe": _instead(os.mkfifo),
    "a device": _instead(lambda path: path.symlink_to("/dev/zero")),
    "a folder": _instead(Path.mkdir),
    "a link to itself": _instead(lambda path: path.symlink_to(path.name)),
}

"""Tapes: how far a computation that takes long has come, on disk while it runs, so that an interrupted one goes on."""

# Paths are plain strings here: pathlib would double the cost of a look-up.
# ruff: noqa: PTH103, PTH120, PTH123
from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from graphflow.errors import StaleTapeError
from graphflow.store.folder import remove
from graphflow.store.layout import DamagedError
from graphflow.store.tensors import tensor_from, to_part

if TYPE_CHECKING:
    from torch import Tensor

FLUSH_SECONDS = 10.0
"""What a killed process loses at most; a computation that is over sooner writes no tape."""

_HEAD = struct.Struct("<4sIQI")
_MARK = b"gft1"
_PENDING_BYTES = 64 << 20
_MOST_TEXT = 1 << 10
"""Bytes of a record beside its tensors, at most."""


class Tape:
    """Answers to questions that a computation asks, in their order.

    The file only grows at its end, and each record has a checksum: one that was not written whole is left out,
    with all behind it.

    Args:
        path: The file, which need not be there.
        max_bytes: Its size at most; what would make it larger is not kept.
        before_writing: Called before the file is written for the first time.
    """

    def __init__(self, path: str, max_bytes: int, before_writing: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._before_writing = before_writing
        self._starts, self._end = _scan(path)
        self._pending: list[tuple[bytes, Mapping[str, Tensor]]] = []
        self._pending_bytes = 0
        self._position = 0
        self._flushed = time.monotonic()
        self._keeps = True

    def rewind(self) -> None:
        """Begin with the first question again."""
        self._flush()
        self._position = 0

    def recall(self, question: bytes) -> Mapping[str, Tensor] | None:
        """Return the answer that was kept for the next question; None where there is none.

        Raises:
            StaleTapeError: Another question was asked here. The tape is empty now, and everything must be asked again.
        """
        if self._position >= len(self._starts):
            return None
        try:
            asked, answer = _read(self._path, self._starts[self._position])
        except (OSError, DamagedError):
            self._cut(self._position)
            return None
        if asked == question:
            self._position += 1
            return answer
        self._cut(0)
        if self._position:
            raise StaleTapeError("what an interrupted run has left does not fit this one")
        return None

    def keep(self, question: bytes, answer: Mapping[str, Tensor]) -> None:
        """Keep the answer to the next question, which nobody had asked before; its tensors must not change any more."""
        if not self._keeps:
            return
        self._pending_bytes += _MOST_TEXT + sum(tensor.nbytes for tensor in answer.values())
        if self._end + self._pending_bytes > self._max_bytes:
            self._keeps = False
            return
        self._pending.append((question, answer))
        self._position += 1
        if time.monotonic() - self._flushed >= FLUSH_SECONDS or self._pending_bytes > _PENDING_BYTES:
            self._flush()

    def finish(self) -> None:
        """Check that every answer was asked for.

        Raises:
            StaleTapeError: One was not. The tape is empty now, and everything must be asked again.
        """
        if self._position < len(self._starts):
            self._cut(0)
            raise StaleTapeError("what an interrupted run has left does not fit this one")

    def close(self) -> None:
        """Write what is not written yet."""
        self._flush()

    def remove(self) -> None:
        """Forget everything, and keep nothing any more."""
        self._keeps = False
        self._cut(0)

    def _cut(self, position: int) -> None:
        """Forget the answers from a position on."""
        if not position:
            self._starts, self._pending = [], []
            self._end = self._pending_bytes = 0
            remove(self._path)
            return
        self._flush()
        if position < len(self._starts):
            self._end = self._starts[position]
            del self._starts[position:]

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        if not self._pending:
            return
        records = [_record(question, answer) for question, answer in self._pending]
        self._pending, self._pending_bytes = [], 0
        try:
            if not self._end:
                os.makedirs(os.path.dirname(self._path), exist_ok=True)
                self._before_writing()
            with open(self._path, "r+b" if self._end else "wb") as file:
                file.seek(self._end)
                for record in records:
                    file.writelines(record)
                file.truncate()
                file.flush()
                with suppress(OSError):
                    os.fsync(file.fileno())
            for record in records:
                self._starts.append(self._end)
                self._end += sum(map(len, record))
        except OSError:  # a full disk; the computation goes on without
            self._keeps = False
            self._starts, self._end = _scan(self._path)


def _record(question: bytes, answer: Mapping[str, Tensor]) -> list[bytes | memoryview]:
    parts = [to_part(name, tensor) for name, tensor in answer.items()]
    told = [[name, part.dtype, part.shape, part.data.nbytes] for name, part in zip(answer, parts, strict=True)]
    text = json.dumps([question.hex(), told]).encode()
    body: list[bytes | memoryview] = [text]
    body += [part.data for part in parts]
    checksum = 0
    for data in body:
        checksum = zlib.crc32(data, checksum)
    return [_HEAD.pack(_MARK, len(text), sum(map(len, body)), checksum), *body]


def _read(path: str, start: int) -> tuple[bytes, dict[str, Tensor]]:
    """Return the question and the answer of the record that starts there.

    Raises:
        DamagedError: It is not whole.
        OSError: There is no such file.
    """
    with open(path, "rb") as file:
        file.seek(start)
        head = file.read(_HEAD.size)
        mark, text_length, length, checksum = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0, 0, 0)
        body = file.read(length)
    if mark != _MARK or len(body) != length or zlib.crc32(body) != checksum:
        raise DamagedError("a record of a tape is not whole")
    question, told = json.loads(body[:text_length])
    answer: dict[str, Any] = {}
    place = text_length
    for name, dtype, shape, nbytes in told:
        fill = partial(_fill, source=memoryview(body)[place : place + nbytes])
        answer[name] = tensor_from(dtype, tuple(shape), nbytes, fill)
        place += nbytes
    return bytes.fromhex(question), answer


def _fill(target: memoryview, source: memoryview) -> None:
    target[:] = source


def _scan(path: str) -> tuple[list[int], int]:
    """Return where the records of a file start, and where the last whole one ends, by their lengths."""
    starts: list[int] = []
    end = 0
    with suppress(OSError), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            mark, _, length, _ = _HEAD.unpack(head)
            after = end + _HEAD.size + length
            if mark != _MARK or after > size:
                break
            starts.append(end)
            end = after
            file.seek(end)
    return starts, end

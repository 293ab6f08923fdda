from __future__ import annotations

import json
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.formats import read_header
from graphflow.modelfiles.header import read_index
from graphflow.modelfiles.shards import read_weights
from tests.models.weight_shapes import write_header


def write(path: Path, header: object, data: bytes = b"") -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return path


def tensor(start: int, end: int, shape: list[int] | None = None, dtype: str = "U8") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape if shape is not None else [end - start], "data_offsets": [start, end]}


def test_names_shapes_and_metadata_are_read(tmp_path: Path) -> None:
    header = {"__metadata__": {"a": "b"}, "x": tensor(0, 12, [2, 3], "F16"), "y": tensor(12, 16, [], "F32")}
    found = read_header(write(tmp_path / "a.safetensors", header, bytes(16)))
    assert found.metadata == {"a": "b"}
    assert {name: (item.dtype, item.shape, item.size) for name, item in found.tensors.items()} == {
        "x": ("F16", (2, 3), 12),
        "y": ("F32", (), 4),
    }
    assert found.tensors["y"].start == found.data_start + 12


def test_the_safetensors_library_agrees(tmp_path: Path) -> None:
    import safetensors

    path = write_header(tmp_path / "a.safetensors", {"x": (3, 4), "y": (5,)}, metadata={"k": "v"})
    with safetensors.safe_open(path, framework="np") as file:
        assert {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()} == {"x": (3, 4), "y": (5,)}  # noqa: SIM118
    assert {name: item.shape for name, item in read_header(path).tensors.items()} == {"x": (3, 4), "y": (5,)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"abc", "too short"),
        (pickle.dumps({"a": 1}, protocol=2) + bytes(40), "pickle.*graphflow models convert"),
        (pickle.dumps({"a": 1}, protocol=4) + bytes(40), "pickle"),
        (b"PK\x03\x04" + bytes(60), "zip archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
        (b"\n <html><body>404</body></html>          ", "web page"),
        (b"GGUF" + bytes(40), "GGUF file"),
        (struct.pack("<Q", 200_000_000) + b"{}", "header of 200000000 bytes"),
        (struct.pack("<Q", 500) + b"{}", "ends inside its header"),
        (struct.pack("<Q", 4) + b"[12]", "no JSON object"),
        (struct.pack("<Q", 6) + b'{"a":}', "not valid JSON"),
        (struct.pack("<Q", 3) + b'{"\xff', "not valid JSON"),
    ],
)
def test_other_content_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match=message) as caught:
        read_header(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ({"x": tensor(0, 8), "y": tensor(4, 12)}, 12, "overlaps"),
        ({"x": tensor(0, 8), "y": tensor(12, 16)}, 16, "hole"),
        ({"x": tensor(0, 800)}, 8, "incomplete: .* bytes of"),
        ({"x": tensor(0, 8)}, 9, "1 bytes after the last tensor"),
        ({"x": tensor(0, 8, [3, 3])}, 8, "does not fit"),
        ({"x": tensor(8, 0, [])}, 8, "does not fit"),
        ({"x": tensor(0, 8, dtype="X9")}, 8, "unknown dtype"),
        ({"x": {"dtype": "U8", "shape": [-1], "data_offsets": [0, 8]}}, 8, "malformed shape"),
        ({"x": {"dtype": "U8", "shape": [True], "data_offsets": [0, 1]}}, 1, "malformed shape"),
        ({"x": {"dtype": "U8", "shape": [2**40, 2**40], "data_offsets": [0, 8]}}, 8, "does not fit"),
        ({"x": {"dtype": "U8", "shape": [8], "data_offsets": [0]}}, 8, "data_offsets"),
        ({"x": {"dtype": "U8", "shape": [8], "data_offsets": [0.0, 8]}}, 8, "data_offsets"),
        ({"x": 3}, 0, "not described by an object"),
        ({"__metadata__": {"a": 1}}, 0, "__metadata__"),
        ({"__metadata__": []}, 0, "__metadata__"),
        (b'{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":{}}', 0, "stands twice"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 0, "not valid JSON"),
    ],
)
def test_malformed_headers_are_refused(tmp_path: Path, header: object, data: int, message: str) -> None:
    with pytest.raises(ModelFormatError, match=message):
        read_header(write(tmp_path / "a.safetensors", header, bytes(data)))


def test_a_hostile_header_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    raw = b'{"x":[' + b"{}," * 8_000_000 + b"{}]}"
    path.write_bytes(struct.pack("<Q", len(raw)) + raw)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFormatError, match="too many values"):
            read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()


def gguf_text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf(
    tensors: list[tuple[str, tuple[int, ...], int, int]], fields: bytes = b"", count: int = 0, data: int = 0
) -> bytes:
    raw = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), count) + fields
    for name, shape, kind, start in tensors:
        raw += gguf_text(name) + struct.pack("<I", len(shape))
        raw += b"".join(struct.pack("<Q", size) for size in reversed(shape)) + struct.pack("<IQ", kind, start)
    return raw + bytes(-len(raw) % 32) + bytes(data)


def test_gguf_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    fields = gguf_text("general.architecture") + struct.pack("<I", 8) + gguf_text("sd1")
    path.write_bytes(gguf([("a", (4, 32), 2, 0), ("b", (8,), 0, 96)], fields, 1, 128))
    found = read_header(path)
    assert found.metadata == {"general.architecture": "sd1"}
    assert {name: (item.dtype, item.shape, item.size) for name, item in found.tensors.items()} == {
        "a": ("Q4_0", (4, 32), 72),
        "b": ("F32", (8,), 32),
    }


def test_gguf_library_agrees(tmp_path: Path) -> None:
    import gguf
    import numpy

    path = tmp_path / "a.gguf"
    writer = gguf.GGUFWriter(path, "sd1")
    writer.add_array("tokens", ["a", "b"])
    writer.add_custom_alignment(64)
    writer.add_tensor("x", numpy.zeros((3, 5), numpy.float16))
    writer.add_tensor("y", numpy.zeros((7,), numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    theirs = {
        item.name: (tuple(int(size) for size in reversed(item.shape)), item.data_offset)
        for item in gguf.GGUFReader(path).tensors
    }
    assert {name: (item.shape, item.start) for name, item in read_header(path).tensors.items()} == theirs


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends inside"),
        (b"GGU", "ends inside"),
        (b"PK\x03\x04" + bytes(60), "zip archive"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "claims"),
        (gguf([("a", (4, 33), 2, 0)], data=100), "malformed shape"),
        (gguf([("a", (8,), 99, 0)], data=100), "unknown type 99"),
        (gguf([("a", (8,), 0, 0), ("b", (8,), 0, 16)], data=100), "overlaps"),
        (gguf([("a", (8,), 0, 0), ("a", (8,), 0, 32)], data=100), "stands twice"),
        (gguf([("a", (800,), 0, 0)], data=100), "incomplete"),
        (gguf([], gguf_text("x") + struct.pack("<IIQ", 9, 0, 2**61), 1), "ends inside"),
        (gguf([], gguf_text("x") + struct.pack("<IIQ", 9, 8, 2**61), 1), "array of"),
    ],
)
def test_malformed_gguf_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match=message):
        read_header(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F16", "F4", "F6_E2M3", "nope"]) | JSON,
        "shape": st.lists(st.integers(-1, 2**65) | st.integers(0, 4), max_size=5) | JSON,
        "data_offsets": st.lists(st.integers(-1, 2**65) | st.integers(0, 64), min_size=2, max_size=2) | JSON,
    },
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raw=st.binary(max_size=200),
    prefix=st.sampled_from([b"", b"GGUF\x03\0\0\0", b"{", b"PK\x03\x04"]),
    gguf=st.booleans(),
)
def test_random_bytes_only_raise_format_errors(tmp_path: Path, raw: bytes, prefix: bytes, gguf: bool) -> None:
    path = tmp_path / ("a.gguf" if gguf else "a.safetensors")
    path.write_bytes(prefix + raw)
    try:
        read_header(path)
    except ModelFormatError:
        return


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.dictionaries(st.text(max_size=6) | st.just("__metadata__"), ENTRY | JSON, max_size=4),
    data=st.integers(0, 64),
)
def test_random_headers_only_raise_format_errors(tmp_path: Path, header: dict[str, Any], data: int) -> None:
    path = write(tmp_path / "a.safetensors", header, bytes(data))
    try:
        found = read_header(path)
    except ModelFormatError:
        return
    assert sum(item.size for item in found.tensors.values()) == data


def test_shards_are_read_together(tmp_path: Path) -> None:
    write_header(tmp_path / "m-00001-of-00002.safetensors", {"a": (2,)})
    write_header(tmp_path / "m-00002-of-00002.safetensors", {"b": (3,)})
    index = tmp_path / "m.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {"a": "m-00001-of-00002.safetensors", "b": "m-00002-of-00002.safetensors"}}), "utf-8"
    )
    found = read_weights(index)
    assert set(found.tensors) == {"a", "b"}
    assert len(found.files) == 2
    (tmp_path / "m-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelFormatError, match="m-00002-of-00002"):
        read_weights(index)


@pytest.mark.parametrize(
    "file", ["../a.safetensors", "/etc/a.safetensors", "sub/a.safetensors", "a.bin", "..\\a.safetensors", 3]
)
def test_an_index_names_only_files_beside_it(tmp_path: Path, file: object) -> None:
    index = tmp_path / "m.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": file}}), "utf-8")
    with pytest.raises(ModelFormatError, match="not in a file beside it"):
        read_index(index)


@pytest.mark.parametrize("low", [0x02, 0x03, 0x04, 0x05])
def test_a_length_that_looks_like_a_pickle_is_a_length(tmp_path: Path, low: int) -> None:
    length = 0x80 + (low << 8)
    text = b'{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'
    path = tmp_path / "x.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + text.ljust(length) + b"ab")
    assert list(read_header(path).tensors) == ["x"]
    path.write_bytes(bytes([0x80, low]) + b"}q\x00." + b"{" * 3000)
    with pytest.raises(ModelFormatError, match="Python pickle"):
        read_header(path)

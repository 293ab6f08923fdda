"""What tests of the service ask."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image
from starlette.testclient import TestClient

CHAIN: dict[str, Any] = {
    "graphflow": 2,
    "name": "chain",
    "inputs": {"seed": {"to": ["sample.seed"]}},
    "nodes": {
        "model": {"type": "toy_load"},
        "sample": {"type": "toy_sample", "params": {"seed": 7}, "links": {"model": "model"}},
        "save": {"type": "toy_write", "links": {"x": "sample"}},
    },
    "outputs": {"number": "sample"},
}


def ask(**more: Any) -> dict[str, Any]:
    return {"workflow": CHAIN, **more}


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (3, 2), "red").save(file, "PNG")
    return file.getvalue()


def run(client: TestClient, **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/run", json=ask(**more))
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]

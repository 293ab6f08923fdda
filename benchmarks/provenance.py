"""How long it takes to index a folder of many pictures, and to answer from the index."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from graphflow.reproduce.index import Index, Wanted

FILES = 100_000
_COLOURS = ("red", "green", "blue", "yellow")


def _make(folder: Path, number: int) -> None:
    """Write pictures as a run writes them, each with another seed and prompt."""
    picture = Image.new("RGB", (8, 8))
    models = {"shapes": {"kind": "checkpoint", "files": {f"part{n}": {"sha256": f"{n:064}"} for n in range(15)}}}
    record = json.dumps({"node": "save", "models": models, "device": "cpu", "versions": {"torch": "2.15.0"}})
    for index in range(number):
        nodes = {
            "positive": {"type": "encode_prompt", "params": {"text": f"a {_COLOURS[index % 4]} circle number {index}"}},
            "sample": {"type": "sample", "params": {"seed": index, "steps": 20}},
        }
        info = PngInfo()
        info.add_itxt("graphflow", json.dumps({"graphflow": 2, "name": "txt2img", "nodes": nodes}))
        info.add_itxt("graphflow.record", record)
        place = folder / f"{index // 1000:03}"
        place.mkdir(parents=True, exist_ok=True)
        picture.save(place / f"{index}.png", pnginfo=info, compress_level=0)


def main(number: int = FILES) -> None:
    """Print the table."""
    queries = {
        "the newest": Wanted(),
        "--prompt": Wanted(prompt="blue circle number 777"),
        "--seed": Wanted(seed=number // 2),
        "--model": Wanted(model="shapes"),
        "--model and --prompt that all have": Wanted(model="shapes", prompt="circle"),
        "--from a model that all have": Wanted(source=f"{3:064}"),
        "--lora, which none has": Wanted(lora="style"),
    }
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "pictures"
        _make(folder, number)
        index = Index(folder)
        started = time.perf_counter()
        index.update()
        print(f"| what | {number:,} files |\n|---|---|")
        print(f"| index all, s | {time.perf_counter() - started:.1f} |")
        started = time.perf_counter()
        index.update()
        print(f"| look for changes, ms | {1000 * (time.perf_counter() - started):.1f} |")
        for name, wanted in queries.items():
            times = []
            for _ in range(5):
                started = time.perf_counter()
                index.find(wanted)
                times.append(time.perf_counter() - started)
            print(f"| {name}, ms | {1000 * sorted(times)[2]:.1f} |")


if __name__ == "__main__":
    main()

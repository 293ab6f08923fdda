"""Runs the smallest workflow of every rule of ComfyUI's nodes, as `tests/comfyui/smallest.py` makes it.

Parts: `core/TYPE`, and `PACK/TYPE` of custom packs. A part is good where it runs, where its nodes wait for a family, and where
it needs weights for which nothing stands in. Ten minutes on two cores.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from graphflow import Session
from graphflow.converters.comfyui.rules import RULES
from tests.comfyui.smallest import LACKS, NOTHING, run_smallest, try_session, write_inputs
from tests.runners.parts import Given, Results, Runner, main

_ELSEWHERE = {
    "LoadLatent": "tests/nodes/test_latent_files.py",
    "SVD_img2vid_Conditioning": "tests/families/test_svd.py",
    "ZImageFunControlnet": "tests/families/test_flow_controls.py",
    "ApplyFluxControlNet": "tests/families/test_flow_controls.py",
    "ApplyAdvancedFluxControlNet": "tests/families/test_flow_controls.py",
}
"""Types that want files of a kind for which nothing stands in, with the tests that run what they become."""


def by_part() -> dict[str, str]:
    """Return the ComfyUI type of each part."""
    named = ((f"{rule.pack or 'core'}/{comfy}".replace(" ", "_"), comfy) for comfy, rule in RULES.items())
    return dict(sorted((part, comfy) for part, comfy in named if comfy not in {*NOTHING, *_ELSEWHERE}))


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Run each workflow with one session."""
    types = by_part()
    with TemporaryDirectory() as made:
        folder = Path(made)
        write_inputs(folder)
        with try_session(folder) as session:
            for part in parts:
                yield part, {"said": _tried(types[part], session, folder)}


def _tried(comfy: str, session: Session, folder: Path) -> str:
    try:
        return run_smallest(comfy, session, folder)
    except Exception as error:  # it is the result of this part
        return f"{type(error).__name__}: {error}"


def _kind(result: Any) -> str:
    said = result["said"]
    return said if said in ("runs", "waits") else "lacks weights" if LACKS.search(said) else "fails"


def _write(results: Results, given: Given) -> None:
    print(", ".join(f"{kind} {number}" for kind, number in Counter(map(_kind, results.values())).most_common()))


RUNNER = Runner(
    name="rules",
    about=__doc__,
    parts=tuple(by_part()),
    run=run,
    ok=lambda result: _kind(result) != "fails",
    line=lambda result: re.sub(r"\s+", " ", result["said"])[:200],
    report=_write,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))

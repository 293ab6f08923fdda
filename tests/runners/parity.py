"""Compares everything with the numbers recorded from ComfyUI, and writes docs/parity.md; half an hour.

Parts: `samplers/SAMPLER-SCHEDULE` on a small U-Net, and `features/WORKFLOW` at full size.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from graphflow.sampling import denoise
from graphflow.sampling.noise import initial_noise
from tests.parity.features import CASES
from tests.parity.features import run as run_feature
from tests.parity.harness import (
    AMPLIFIED,
    BOUND,
    ILL_CONDITIONED,
    PERTURBATION,
    Measured,
    TinyModel,
    error,
    measure,
    recorded,
)
from tests.parity.weights import write_models
from tests.runners.parity_report import report
from tests.runners.parts import ROOT, Given, Results, Runner, main
from tests.scratch import process_folder

MODELS = ROOT / "build" / "parity" / "models"
REPORT = ROOT / "docs" / "parity.md"


def with_models(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where the recordings' weights are."""
    help = "folder of the recordings' weights, which are written where they are missing (3.1 GB)"
    parser.add_argument("--models", type=Path, default=MODELS, metavar="DIR", help=help)


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Compare cases, each kind with one model or session."""
    torch.set_num_threads(1)
    makers: dict[str, Callable[[], Callable[[str], Measured]]] = {
        "samplers": _samplers,
        "features": lambda: _features(given.models),
    }
    for kind, make in makers.items():
        own = [part for part in parts if part.startswith(f"{kind}/")]
        compare = make() if own else None
        for part in own:
            assert compare is not None
            yield part, asdict(compare(part.removeprefix(f"{kind}/")))


def _samplers() -> Callable[[str], Measured]:
    model, arrays = TinyModel(), recorded("samplers")
    return lambda case: measure(model, case, arrays[f"{case}/latent"])


def _features(models: Path) -> Callable[[str], Measured]:
    from graphflow.session import Session
    from graphflow.settings import Settings

    write_models(models)
    arrays = recorded("features")
    settings = {
        "models": (models,),
        "cache_dir": process_folder("parity"),
        "cache_bytes": 0,
        "device": "cpu",
        "dtype": "float32",
        "offline": True,
        "safety": "off",
    }
    session = Session(Settings.model_validate(settings))

    def compare(case: str) -> Measured:
        got = run_feature(session, case)
        found = max(error(value, arrays[f"{case}/{name}"]) for name, value in got.items())
        if found <= BOUND:
            return Measured(found, BOUND)
        with mock.patch.object(denoise, "initial_noise", _perturbed):
            # in a session of its own, where nothing is stored yet
            moved = run_feature(Session(session.settings), case)
        movement = max(error(value, got[name]) for name, value in moved.items())
        bound = max(BOUND, AMPLIFIED * movement) if movement > ILL_CONDITIONED else BOUND
        return Measured(found, bound, movement)

    return compare


def _perturbed(shape: Sequence[int], seed: int, *rest: Any) -> Tensor:
    """The noise that a run begins with, moved by a millionth."""
    return initial_noise(shape, seed, *rest) + PERTURBATION * initial_noise(shape, seed + 1, *rest)


def _line(result: Any) -> str:
    return f"{result['error']:.1e} {'ok' if Measured(**result).passed else 'OUT OF BOUNDS'}"


def _write(results: Results, given: Given) -> None:
    REPORT.write_text(report({part: Measured(**result) for part, result in results.items()}), "utf-8")
    print(f"wrote {REPORT.relative_to(ROOT)}")


RUNNER = Runner(
    name="parity",
    about=__doc__,
    parts=(
        *(f"samplers/{key.removesuffix('/latent')}" for key in recorded("samplers")),
        *(f"features/{name}" for name in CASES),
    ),
    run=run,
    ok=lambda result: Measured(**result).passed,
    line=_line,
    report=_write,
    options=with_models,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))

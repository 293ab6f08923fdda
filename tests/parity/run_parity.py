"""Compares everything with the recorded numbers and writes docs/parity.md.

    python -m tests.parity.run_parity [--only SUBSTRING] [--models DIR] [--results FILE] [--out FILE]

Every case that has been compared is kept in the results file at once, so a run that was stopped goes on where it was;
the report is written when all are there. Exit code 1 where a case is out of bounds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from tests.parity.harness import BOUND, Measured, TinyModel, error, measure, recorded
from tests.parity.report import report
from tests.scratch import process_folder

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "docs" / "parity.md"
BUILD = ROOT / "build" / "parity"

Results = dict[str, Measured]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="compare the cases whose name contains this, again if need be")
    parser.add_argument("--models", type=Path, default=BUILD / "models", help="folder of the full-size weights")
    parser.add_argument("--results", type=Path, default=BUILD / "results.json", help="what has been compared")
    parser.add_argument("--out", type=Path, default=REPORT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    results = _read(given.results)
    wanted = [*_sampler_cases(), *_feature_cases()]
    todo = [case for case in wanted if given.only in case and (given.only or case not in results)]
    for case, result, seconds in _compare(todo, given.models):
        results[case] = result
        _write(given.results, results)
        verdict = "ok" if result.passed else "OUT OF BOUNDS"
        print(f"{case:60} {result.error:.1e} {verdict} ({seconds:.1f} s)", flush=True)
    compared = {case: results[case] for case in wanted if case in results}
    failed = [case for case, result in compared.items() if not result.passed]
    print(f"{len(compared) - len(failed)} of {len(compared)} cases within bounds, {len(wanted)} in all")
    if len(compared) == len(wanted):
        given.out.write_text(report(compared), "utf-8")
        print(f"wrote {given.out}")
    return 1 if failed else 0


def _sampler_cases() -> list[str]:
    return [f"samplers/{key.removesuffix('/latent')}" for key in recorded("samplers")]


def _feature_cases() -> list[str]:
    from tests.parity.features import CASES

    return [f"features/{name}" for name in CASES]


def _compare(cases: list[str], models: Path) -> Iterator[tuple[str, Measured, float]]:
    makers: dict[str, Callable[[], Callable[[str], Measured]]] = {
        "samplers": _samplers,
        "features": lambda: _features(models),
    }
    for kind, make in makers.items():
        own = [case for case in cases if case.startswith(f"{kind}/")]
        compare = make() if own else None
        for case in own:
            start = time.monotonic()
            assert compare is not None
            yield case, compare(case.removeprefix(f"{kind}/")), time.monotonic() - start


def _samplers() -> Callable[[str], Measured]:
    model, arrays = TinyModel(), recorded("samplers")
    return lambda case: measure(model, case, arrays[f"{case}/latent"])


def _features(models: Path) -> Callable[[str], Measured]:
    from graphflow.session import Session
    from graphflow.settings import Settings
    from tests.parity.features import run
    from tests.parity.weights import write_models

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
        got = run(session, case)
        return Measured(max(error(value, arrays[f"{case}/{name}"]) for name, value in got.items()), BOUND)

    return compare


def _read(path: Path) -> Results:
    if not path.exists():
        return {}
    return {case: Measured(**fields) for case, fields in json.loads(path.read_text("utf-8")).items()}


def _write(path: Path, results: Results) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({case: asdict(results[case]) for case in sorted(results)}, indent=1), "utf-8")


if __name__ == "__main__":
    sys.exit(main())

"""Runs code in a process that has torch and Diffusers but cannot import graphflow.

Importing torch and Diffusers takes ten seconds, so a server process imports them once and forks a child for each call.
The child starts from nothing else: no graphflow, no state of the tests.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import runpy
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

PRELOADED = [
    "torch",
    "PIL.Image",
    "scipy.special",
    "transformers.models.clip.modeling_clip",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img",
    "diffusers.pipelines.stable_diffusion.safety_checker",
    "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl",
    "diffusers.schedulers.scheduling_dpmsolver_multistep",
]
TIMEOUT = 600


@dataclass(frozen=True)
class Completed:
    """What a script did: its exit code, and what it wrote on both streams."""

    code: int
    output: str


class _NoGraphflow:
    """Refuses to import graphflow."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "graphflow" or name.startswith("graphflow."):
            raise ImportError(f"{name}: graphflow is out of reach here")


def run_script(script: Path, arguments: Sequence[str] = (), *, threads: int = 1) -> Completed:
    """Run a Python file as ``python script arguments`` would, without graphflow."""
    return _forked(_run, str(script), list(arguments), threads)


def _forked(target: Any, *arguments: Any) -> Completed:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=target, args=(there, *arguments))
    with _nameless_main():
        child.start()
    there.close()
    try:
        if not here.poll(TIMEOUT):
            raise TimeoutError(f"the child did not answer within {TIMEOUT} s")
        result: Completed = here.recv()
    except EOFError:
        child.join()
        return Completed(child.exitcode or 1, "the child died")
    finally:
        here.close()
        if child.is_alive():
            child.join(5)
        if child.is_alive():
            child.kill()
    child.join()
    return result


@contextlib.contextmanager
def _nameless_main() -> Iterator[None]:
    """Hide the main module: a child would import it again, and graphflow with it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _run(answer: Connection, script: str, arguments: list[str], threads: int) -> None:
    import torch

    assert not any(name == "graphflow" or name.startswith("graphflow.") for name in sys.modules)
    sys.meta_path.insert(0, _NoGraphflow())  # type: ignore[arg-type]
    torch.set_num_threads(threads)
    warnings.simplefilter("default")
    sys.argv = [script, *arguments]
    stream = io.StringIO()
    code = 0
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        except BaseException:
            traceback.print_exc()
            code = 1
    answer.send(Completed(code, stream.getvalue()))
    answer.close()

"""The server of :mod:`tests.fresh`: one JSON task a line in, one exit code a line out. Knows nothing of graphflow."""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any


def preload() -> None:
    """Import what programs need most; what a program imports beyond it, it imports itself."""
    import diffusers
    import torch
    import transformers

    torch.set_num_threads(1)
    for name in ("StableDiffusionPipeline", "ControlNetModel", "DPMSolverMultistepScheduler", "EulerDiscreteScheduler"):
        getattr(diffusers, name)
    for name in ("CLIPTextModel", "CLIPTextModelWithProjection", "CLIPTokenizer"):
        getattr(transformers, name)


def carry_out(task: dict[str, Any]) -> int:
    """Run the program of a task in this process, which then is of no further use."""
    for number, path in ((1, task["out"]), (2, task["err"])):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.environ.clear()
    os.environ.update(task["env"])
    os.chdir(task["cwd"])
    sys.argv = list(task["argv"])
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent) if sys.argv[0] != "-c" else ""
    for name in task["blocked"]:
        sys.modules[name] = None  # type: ignore[assignment]  # importing it raises ImportError
    space = {"__name__": "__main__", "__file__": sys.argv[0], "__builtins__": __builtins__}
    try:
        exec(compile(task["code"], sys.argv[0], "exec"), space)
        status = 0
    except SystemExit as leaving:
        if leaving.code is not None and not isinstance(leaving.code, int):
            print(leaving.code, file=sys.stderr)
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    return status


def wait(child: int, timeout: float) -> int:
    """Wait for a child, which is killed after the timeout; returns its exit code."""
    end = time.monotonic() + timeout
    pause = 0.005
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def serve() -> None:
    """Answer tasks until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the libraries print is no answer
    preload()
    if sys.argv[1:]:
        runpy.run_path(sys.argv[1])["prepare"](*sys.argv[2:])
    for line in iter(sys.stdin.readline, ""):
        task = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(carry_out(task) & 0xFF)
        answers.write(f"{wait(child, task['timeout'])}\n")
        answers.flush()


if __name__ == "__main__":
    if sys.argv[1:] == ["once"]:
        sys.exit(carry_out(json.load(sys.stdin)))
    serve()

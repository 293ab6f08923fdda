"""What reading a stranger's bytes costs, and what comes of it: a result or an error of the project's own, soon and small."""

from __future__ import annotations

import gc
import json
import re
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphflow.errors import CancelledError, GraphflowError

SECONDS = 2.0
MEBIBYTES = 256.0
YARDSTICK = 0.25
"""Seconds for what `_slowness` does on an idle processor of 2024, in a process that holds a session and no more."""

CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@dataclass(frozen=True)
class Outcome:
    """What one input gave.

    Attributes:
        verdict: ``read``, ``refused`` (an error of the project's own), ``crash`` (any other exception) or
            ``unprintable`` (an error that UTF-8 cannot hold).
        seconds: Processor time of the process: what else the machine does is left out.
        mebibytes: How far the process's resident memory rose above what it held before, at its peak.
        detail: The error.
    """

    verdict: str
    seconds: float
    mebibytes: float
    detail: str = ""

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with it."""
        found = [self.verdict] if self.verdict in ("crash", "unprintable") else []
        found += ["slow"] * (self.seconds > SECONDS and self.seconds > SECONDS * _slowness())
        return (*found, *["large"] * (self.mebibytes > MEBIBYTES))


def watched(call: Callable[[], Any]) -> Outcome:
    """Call a function and judge it; the memory is that of Linux, 0 elsewhere."""
    before = _reset_peak()
    started = time.process_time()
    detail, verdict = "", "read"
    try:
        call()
    except GraphflowError as error:
        verdict, detail = ("crash", repr(error)) if isinstance(error, CancelledError) else ("refused", str(error))
        try:
            detail.encode()
        except UnicodeEncodeError:
            verdict, detail = "unprintable", ascii(detail)
    except Exception:
        verdict, detail = "crash", traceback.format_exc()
    seconds = time.process_time() - started
    return Outcome(verdict, seconds, max(0.0, _status("VmHWM") - before), detail)


def _slowness() -> float:
    """How much slower things are here and now: neighbours, and a heap of tests, slow down processor time as well."""
    document = json.dumps([{"id": number, "inputs": {"text": str(number)}} for number in range(20_000)])
    started = time.process_time()
    for _ in range(8):
        json.loads(document)
    return max(1.0, (time.process_time() - started) / YARDSTICK)


def _reset_peak() -> float:
    """Let the kernel forget the peak of resident memory; returns what is resident, in MiB."""
    if not CLEAR.exists():
        return 0.0
    gc.collect(0)
    CLEAR.write_text("5")
    return _status("VmRSS")


def _status(name: str) -> float:
    if not _STATUS.exists():
        return 0.0
    found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0

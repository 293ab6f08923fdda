"""Leaving the process without taking the interpreter apart, which takes more than a second once torch is loaded."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End the process with an exit code.

    Threads are waited for and what was registered with :mod:`atexit` runs, as in an ordinary end; modules and their
    objects are left to the operating system. What is printed from now on belongs to no command's answer and goes to
    standard error. Where the output cannot be written to its end, 0 becomes 1.
    """
    answered, sys.stdout = sys.stdout, sys.stderr
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing ends its children
        atexit._run_exitfuncs()
        for stream in (answered, sys.stderr):
            stream.flush()
    except KeyboardInterrupt:
        code = 130
    except (OSError, ValueError):
        code = code or 1
    finally:
        os._exit(code)

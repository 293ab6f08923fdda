"""A helper of exported scripts, run alone."""

from __future__ import annotations

import sys
import types
from functools import cache
from typing import Any

from graphflow.converters.diffusers_script.carried import carry
from graphflow.converters.diffusers_script.render import _imports


@cache
def piece(name: str) -> Any:
    """A helper, run as a script has it: its source with what it needs, and nothing else."""
    pieces = carry([name])
    used = {found for item in pieces for found in item.imports}
    module = types.ModuleType("script")
    # dataclasses look their module up
    sys.modules["script"] = module
    exec("\n".join(_imports(used)) + "\n" + "\n\n".join(item.source for item in pieces), module.__dict__)
    return getattr(module, name)

"""Memory that is freed and asked for again."""

from __future__ import annotations

import os

import pytest

from tests.fresh import Fresh

FAULTS = """
import resource
from graphflow.basics.allocator import keep_freed_memory
assert keep_freed_memory() and keep_freed_memory()
import torch
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use():
    torch.empty(64 << 20, dtype=torch.uint8).fill_(1)
for _ in range(24):  # alignment has the first ones leave gaps
    use()
before = faults()
for _ in range(4):
    use()
print(faults() - before)
"""


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}), reason="it is told to glibc only")
def test_what_is_freed_is_used_again_without_a_page_fault(fresh: Fresh) -> None:
    told = fresh.execute(FAULTS, blocked=())
    assert told.code == 0, told.err
    assert int(told.out) < (64 << 20) // os.sysconf("SC_PAGE_SIZE")  # those of one use alone

"""Texts and values that are hard to write as code."""

from __future__ import annotations

from hypothesis import strategies as st

NASTY = [
    '"""',
    "'''\nimport os; os.system('x')\n'''",
    '"); import os  # ',
    "{args.out} {0} %s %(prog)s \\",
    "\\N{BULLET} \\x41 \\",
    "\0\x1b[31m\u2028\u2029\ud7ff\U0001f600",
    "é ü 漢字 \u202e abc",
]
TEXTS = st.one_of(st.sampled_from(NASTY), st.text(max_size=60))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)

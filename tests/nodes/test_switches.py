"""Switches."""

from __future__ import annotations

import pytest

from graphflow.errors import InvalidInputError
from graphflow.nodes import switch, switch_index
from graphflow.spec.decorator import spec_of


def test_a_switch_passes_one_side_on() -> None:
    assert switch(True, "a", "b") == "a"
    assert switch(False, "a", "b") == "b"


def test_a_literal_selector_names_the_input() -> None:
    chooser = spec_of(switch).chooser
    assert chooser is not None
    assert chooser({"select": True}) == ("on_true", None)
    assert chooser({"select": False}) == ("on_false", None)
    index_chooser = spec_of(switch_index).chooser
    assert index_chooser is not None
    assert index_chooser({"index": 2}) == ("inputs", 2)


def test_an_index_beyond_the_inputs_is_an_error() -> None:
    assert switch_index(1, ["a", "b"]) == "b"
    with pytest.raises(InvalidInputError, match="no input 2"):
        switch_index(2, ["a", "b"])

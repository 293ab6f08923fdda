"""What is promised of the official templates, and the tables in the docs."""

from __future__ import annotations

import re

import pytest

from .fuzz import templates
from .survey import DOCS, SHARE, STABLE_DIFFUSION, Survey, core_table, rule_table, survey, with_tables


@pytest.fixture(scope="module")
def found() -> Survey:
    return survey(templates())


def test_every_template_parses(found: Survey) -> None:
    assert found.count["failed"] == 0
    assert len(found.templates) == len(templates()) == 309


def test_stable_diffusion_imports_whole(found: Survey) -> None:
    for name in STABLE_DIFFUSION:
        assert [template.lacks for template in found.families()[name].values()].count(()) == len(found.families()[name])


def test_the_promised_share_of_other_families_imports_whole(found: Survey) -> None:
    whole, files = found.share()
    assert files >= 104
    assert whole >= SHARE * files


def test_the_docs_list_the_rules_that_there_are() -> None:
    text = DOCS.read_text("utf-8")
    assert with_tables(text, {"core": core_table(), "rules": rule_table()}) == text
    assert re.search(r"<!-- families -->\n\| family", text)


def test_every_core_type_has_a_verdict() -> None:
    counted = re.findall(r"^\| (?:said|not supported).* \| (\d+) \|$", core_table(), re.MULTILINE)
    assert len(counted) == 5
    assert sum(map(int, counted)) == 382

"""Texts: changed, compared, searched."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow import nodes
from graphflow.errors import InvalidInputError, LimitError

texts = st.text(max_size=30)


@given(texts)
def test_trimming(text: str) -> None:
    padded = f" \n{text}\t "
    assert nodes.text_trim(padded) == text.strip()
    assert nodes.text_trim(padded, "left") == padded.lstrip()
    assert nodes.text_trim(padded, "right") == padded.rstrip()


def test_case() -> None:
    assert nodes.text_case("a Red fox", "upper") == "A RED FOX"
    assert nodes.text_case("a Red fox") == "a red fox"
    assert nodes.text_case("a Red fox", "capitalize") == "A red fox"
    assert nodes.text_case("a Red fox", "title") == "A Red Fox"


@given(texts, st.integers(-40, 40), st.one_of(st.none(), st.integers(-40, 40)))
def test_a_substring_is_pythons(text: str, start: int, end: int | None) -> None:
    assert nodes.text_substring(text, start, end) == text[start:end]
    assert nodes.text_length(text) == len(text)


def test_comparing() -> None:
    assert nodes.text_contains("a Red fox", "Red")
    assert not nodes.text_contains("a Red fox", "red")
    assert nodes.text_contains("a Red fox", "RED", case_sensitive=False)
    assert nodes.text_compare("abc", "abc")
    assert nodes.text_compare("abc", "ab", "starts_with")
    assert not nodes.text_compare("abc", "AB", "starts_with")
    assert nodes.text_compare("abc", "BC", "ends_with", case_sensitive=False)


def test_templates() -> None:
    assert nodes.text_format("{a} of {b:.2f} {{c}} {d:03d}", "one", 2.0, d=7) == "one of 2.00 {c} 007"
    assert nodes.text_format("nothing") == "nothing"


@pytest.mark.parametrize(
    "template", ["{e}", "{a.__class__}", "{a[0]}", "{0}", "{}", "{a!r}", "{", "{a:d}", "{a:9999999999}", "{a:{b}}"]
)
def test_a_wrong_template_is_refused(template: str) -> None:
    with pytest.raises(InvalidInputError):
        nodes.text_format(template, "x")


def test_texts_stay_bounded() -> None:
    long = "x" * 50_000
    for grow in (
        lambda: nodes.text_format("{a}" * 1000, long),
        lambda: nodes.text_replace(long, "x", "y" * 10_000),
        lambda: nodes.regex_replace(long, "x", "yyyyyyyyyy"),
        lambda: nodes.regex_replace(long, ".+", r"\g<0>\g<0>\g<0>"),
        lambda: nodes.regex_extract("x" * 90_000, "x", "all_matches"),
    ):
        with pytest.raises(LimitError):
            grow()


def test_a_line_is_chosen_by_seed() -> None:
    text = "red\n\n# a comment\ngreen \nblue"
    chosen = [nodes.random_line(text, seed) for seed in range(40)]
    assert set(chosen) == {"red", "green", "blue"}
    assert chosen == [nodes.random_line(text, seed) for seed in range(40)]
    with pytest.raises(InvalidInputError, match="no lines"):
        nodes.random_line("\n# nothing")


@given(st.text("ab1 \n", max_size=20), st.sampled_from(["a+", "(a)(b)?", "^b", ".", r"\d*", "(?=b)"]))
def test_expressions_find_what_python_finds(text: str, pattern: str) -> None:
    wanted = re.compile(pattern)
    assert nodes.regex_match(text, pattern) is bool(wanted.search(text))
    assert nodes.regex_replace(text, pattern, "-") == wanted.sub("-", text)
    assert nodes.regex_replace(text, pattern, "-", count=1) == wanted.sub("-", text, count=1)
    found = [match.group(0) for match in wanted.finditer(text)]
    assert nodes.regex_extract(text, pattern) == (found[0] if found else "")
    assert nodes.regex_extract(text, pattern, "all_matches") == "\n".join(found)


def test_groups_and_flags() -> None:
    text = "Width: 512\nwidth: 768"
    assert nodes.regex_extract(text, r"width: (\d+)", "first_group") == "768"
    assert nodes.regex_extract(text, r"width: (\d+)", "first_group", ignore_case=True) == "512"
    assert nodes.regex_extract(text, r"width: (\d+)", "all_groups", ignore_case=True) == "512\n768"
    assert nodes.regex_extract(text, r"width", "first_group") == ""
    assert nodes.regex_extract(text, r"height", "first_group") == ""
    assert nodes.regex_match(text, "^width") is False
    assert nodes.regex_match(text, "^width", multiline=True) is True
    assert nodes.regex_match(text, "512.width", dotall=True) is True
    assert nodes.regex_replace(text, r"(\w+): (\d+)", r"\2 \1") == "512 Width\n768 width"


@pytest.mark.parametrize("pattern", ["(", "[", "*", "(?P<a", "a{2,1}"])
def test_a_wrong_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidInputError, match="pattern"):
        nodes.regex_match("text", pattern)


def test_a_wrong_replacement_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="replacement"):
        nodes.regex_replace("aaa", "a", r"\9")


def test_a_pattern_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphflow.nodes.plain.regex.TIMEOUT", 0.1)
    with pytest.raises(LimitError, match="takes longer"):
        nodes.regex_match("a" * 60 + "!", r"(a|aa)+$")


@given(st.dictionaries(texts, texts | st.integers() | st.booleans() | st.none() | st.lists(texts), min_size=1))
def test_values_of_json_objects(values: dict[str, Any]) -> None:
    text = json.dumps(values)
    for key, value in values.items():
        found = nodes.json_value(text, key)
        assert (found if isinstance(value, str) else json.loads(found)) == value


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [("{", "a", "no JSON"), ("[1]", "a", "no object"), ('{"colour": 1}', "color", "did you mean 'colour'")],
)
def test_what_is_no_object_with_the_key_is_refused(text: str, key: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        nodes.json_value(text, key)
    with pytest.raises(InvalidInputError, match="no JSON"):
        nodes.json_value("[" * 100_000, key)

"""What the front end does to texts: comments, choices, file names."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow.converters.comfyui import Choices
from graphflow.converters.comfyui.prompt_text import expand, strip_comments
from graphflow.errors import ConversionError
from graphflow.execution.filenames import format_date

from .ui import codes, flat, inputs_of, node, slot, text_to_image, ui

FIRST = Choices().chooser("")


def prompt(text: str) -> dict:
    return ui([node(1, "CLIPTextEncode", out="CONDITIONING", widgets=[text])], [])


def encoded(text: str, choices: Choices | None = None) -> str:
    return inputs_of(prompt(text), "1", choices=choices)["text"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a // b\nc", "a \nc"),
        ("a /* b\n c */ d", "a  d"),
        ("a /* b", "a /* b"),
        ("a // /* b\nc */ d", "a \nc */ d"),
        ("/*/ a */b", "b"),
        ("{cat|dog}", "cat"),
        ("{a|{b|c}} d", "a d"),
        ("{{x|y}|b} d", "x d"),
        ("{single}", "single"),
        ("{}", ""),
        (r"\{cat\|dog\}", "{cat|dog}"),
        ("a|b", "a|b"),
        ("open {a|b", "open a"),
        ("{a|{b|c} d", "a"),
        (r"\\{a|b}", r"\\a"),
        (r"{a\|b|c} \(x\)", r"a|b \(x\)"),
        ("\\", "\\"),
        ("close } a", "close } a"),
        (r"back\slash", r"back\slash"),
    ],
)
def test_comments_and_choices(text: str, wanted: str) -> None:
    assert encoded(text) == wanted


def test_a_choice_is_recorded() -> None:
    result = flat(prompt("a {red|green} {cat|dog}"))
    assert result.choices == {"1.text": ("red", "cat")}
    assert "choice" in codes(result)


def test_a_seed_decides_alike_every_time_and_differently_elsewhere() -> None:
    text = " ".join(["{0|1|2|3|4|5|6|7|8|9}"] * 12)
    assert encoded(text, Choices(seed=1)) == encoded(text, Choices(seed=1))
    assert encoded(text, Choices(seed=1)) != encoded(text, Choices(seed=2))
    assert Choices(seed=1).chooser("1.text")(10**9) != Choices(seed=1).chooser("2.text")(10**9)


def test_picks_come_before_the_seed() -> None:
    assert encoded("{a|b} {c|d}", Choices(picks={"1.text": (1, 1)})) == "b d"
    with pytest.raises(ConversionError, match="does not exist"):
        encoded("{a|b}", Choices(picks={"1.text": (2,)}))


def test_other_nodes_keep_their_texts() -> None:
    document = ui([node(1, "PrimitiveStringMultiline", out="STRING", widgets=['{"a|b": 1} // c'])], [])
    assert inputs_of(document, "1")["value"] == '{"a|b": 1} // c'


def test_a_prompt_that_was_sent_is_not_processed_again() -> None:
    sent = {"1": {"class_type": "CLIPTextEncode", "inputs": {"text": "{a|b} // c"}}}
    assert inputs_of(sent, "1")["text"] == "{a|b} // c"


@given(st.text(alphabet="ab{}|\\/* \n", max_size=60))
def test_no_text_breaks_it_and_plain_text_stays(text: str) -> None:
    result, taken = expand(text, FIRST)
    assert len(result) <= len(text)
    assert bool(taken) <= ("{" in text and "|" in text)
    if not set(text) & set("{}\\/"):
        assert result == text


@given(st.text(alphabet="ab/*\n", max_size=60))
def test_comments_vanish(text: str) -> None:
    assert "//" not in strip_comments(text) or "/*" in text


def saved(prefix: str, **options: object) -> str:
    document = text_to_image()
    document["nodes"][-1]["widgets_values"] = [prefix]
    document["nodes"][1]["properties"] = {"Node name for S&R": "Size"}
    return inputs_of(document, "9", **options)["filename_prefix"]


def test_file_names_take_widget_values_by_name_or_title() -> None:
    assert saved("%Size.width%x%Size.height%") == "512x768"
    assert saved("%KSampler.seed%") == "156680208700286"
    assert saved("%KSampler.sampler_name%_%KSampler.cfg%") == "euler_8"


def test_file_names_take_values_of_primitives_and_muted_nodes() -> None:
    document = text_to_image()
    document["nodes"] += [
        node(20, "PrimitiveNode", out="INT", widgets=[33, "fixed"], title="Number"),
        node(21, "EmptyLatentImage", out="LATENT", widgets=[64, 96, 1], title="Off", mode=2),
    ]
    document["nodes"][6]["widgets_values"] = ["%Number.value%-%Off.height%"]
    assert inputs_of(document, "9")["filename_prefix"] == "33-96"


def test_file_names_take_the_widget_of_a_linked_input() -> None:
    document = text_to_image()
    document["nodes"].append(node(20, "CR Seed", out="INT", widgets=[7, "fixed"]))
    document["nodes"][4]["inputs"].append(slot("seed", "INT", 30, widget=True))
    document["links"].append([30, 20, 0, 3, 4, "INT"])
    document["nodes"][6]["widgets_values"] = ["%KSampler.seed%"]
    assert inputs_of(document, "9")["filename_prefix"] == "156680208700286"


def test_what_is_no_file_name_is_replaced() -> None:
    document = text_to_image()
    document["nodes"][2]["widgets_values"] = ["a/b:c"]
    document["nodes"][-1]["widgets_values"] = ["%CLIPTextEncode.text%"]
    assert inputs_of(document, "9")["filename_prefix"] == "a_b_c"


def test_dates_need_a_time() -> None:
    now = datetime(2024, 3, 7, 9, 5, 2)
    assert saved("out/%date:yyyy-MM-dd%_%date:hh.mm.ss%", now=now) == "out/2024-03-07_09.05.02"
    assert saved("out/%date:yyyy%") == "out/%date:yyyy%"
    assert saved("%date%", now=now) == "%date%"


def test_what_is_left_in_a_file_name_is_told() -> None:
    document = text_to_image()
    document["nodes"][-1]["widgets_values"] = ["%Nobody.knows%_%width%"]
    result = flat(document)
    assert result.prompt["9"]["inputs"]["filename_prefix"] == "%Nobody.knows%_%width%"
    assert [note.message for note in result.notes if note.code == "token"] == [
        "“%Nobody.knows%” stays in the file name"
    ]


@pytest.mark.parametrize(
    ("pattern", "wanted"), [("yyyyMMdd", "20240307"), ("yy-M-d", "24-3-7"), ("h:m:s", "9:5:2"), ("", "20240307090502")]
)
def test_date_patterns(pattern: str, wanted: str) -> None:
    assert format_date(pattern, datetime(2024, 3, 7, 9, 5, 2)) == wanted


def test_a_linked_prompt_is_a_link() -> None:
    document = ui(
        [
            node(1, "CLIPTextEncode", slot("text", "STRING", 1, widget=True), out="CONDITIONING", widgets=["{a|b}"]),
            node(2, "PrimitiveString", out="STRING", widgets=["{a|b}"]),
        ],
        [[1, 2, 0, 1, 0, "STRING"]],
    )
    assert inputs_of(document, "1")["text"] == ["2", 0]

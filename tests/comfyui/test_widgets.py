"""Widget values to names: the three ways that files carry them."""

from __future__ import annotations

import pytest

from .ui import codes, flat, inputs_of, node, slot, text_to_image, ui


def alone(type: str, widgets: object, *inputs: dict, **more: object) -> dict:
    return ui([node(1, type, *inputs, widgets=widgets, **more)], [])


def values(*arguments: object, **more: object) -> dict:
    return inputs_of(alone(*arguments, **more), "1")


def test_the_usual_workflow_becomes_the_prompt_that_the_front_end_sends() -> None:
    result = flat(text_to_image())
    assert result.prompt["3"] == {
        "class_type": "KSampler",
        "inputs": {
            "seed": 156680208700286,
            "steps": 20,
            "cfg": 8,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
        "_meta": {"title": "KSampler"},
    }
    assert result.prompt["9"] == {
        "class_type": "SaveImage",
        "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]},
        "_meta": {"title": "Result"},
    }
    assert list(result.prompt["3"]["inputs"])[:2] == ["seed", "steps"]
    assert (result.format, result.container, result.outputs) == ("ui 0.4", "data", ("9",))
    assert result.controls == {"3.seed": "randomize"}
    assert not result.problems and not result.dead


def test_a_mapping_gives_the_names_itself() -> None:
    found = values("VHS_VideoCombine", {"frame_rate": 8, "format": "video/h264-mp4", "videopreview": {"hidden": False}})
    assert found == {"frame_rate": 8, "format": "video/h264-mp4"}


def test_a_mapping_may_hold_the_control_of_a_seed() -> None:
    result = flat(alone("Custom", {"seed": 3, "control_after_generate": "fixed", "text": "x"}))
    assert result.prompt["1"]["inputs"] == {"seed": 3, "text": "x"}
    assert result.controls == {"1.seed": "fixed"}


def test_recorded_names_take_their_values_from_the_list() -> None:
    named = {"image": "stale.png", "upload": "image"}
    assert values("LoadImage", ["fresh.png", "image"], widgets_values_named=named) == {"image": "fresh.png"}


@pytest.mark.parametrize("control", ["control_after_generate", "control_after_generate#1", "randomize"])
def test_the_recorded_control_is_no_input(control: str) -> None:
    named = {"prompt": "p", "seed": 5, control: "randomize", "strength": 1}
    assert values("NotKnown", ["p", 5, "randomize", 1], widgets_values_named=named) == {
        "prompt": "p",
        "seed": 5,
        "strength": 1,
    }


def test_the_control_may_be_recorded_under_the_name_fixed() -> None:
    assert values("PrimitiveInt", [5, "fixed"], widgets_values_named={"value": 5, "fixed": "fixed"}) == {"value": 5}


def test_names_that_stood_twice_were_recorded_once() -> None:
    named = {"model": "P2", "seed": 7, "control_after_generate": "randomize", "scale": 42, "uv": True}
    found = values("NotKnown", ["P2", 7, "randomize", 42, "randomize", False], widgets_values_named=named)
    assert found == {"model": "P2", "seed": 7, "scale": 42, "uv": False}


def test_a_second_widget_of_one_name_is_left_out() -> None:
    assert values("RecordAudio", ["a", "b"], widgets_values_named={"audio": "a", "audio#1": "b"}) == {"audio": "a"}


@pytest.mark.parametrize("control", ["fixed", "increment", "decrement", "randomize", "increment-wrap", True, False])
def test_one_value_after_a_seed_is_skipped(control: object) -> None:
    found = values("KSampler", [1, control, 20, 8.0, "euler", "normal", 1.0])
    assert found == {"seed": 1, "steps": 20, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}


def test_packs_with_a_button_beside_the_seed_leave_nothing_there() -> None:
    found = values("KSampler (Efficient)", [-1, None, 20, 7, "euler", "normal", 1, "auto", "true"])
    assert (found["seed"], found["steps"], found["vae_decode"]) == (-1, 20, "true")


def test_what_a_display_holds_is_no_value() -> None:
    result = flat(alone("Image Comparer (rgthree)", [[{"name": "A", "selected": True, "url": "/view"}]]))
    assert result.prompt["1"]["inputs"] == {}
    assert not result.problems


def test_nothing_is_skipped_where_the_control_is_missing() -> None:
    assert values("KSampler", [1, 20, 8.0, "euler", "normal", 1.0])["steps"] == 20


def test_noise_seeds_and_declared_controls_count_as_seeds() -> None:
    advanced = ["enable", 7, "fixed", 20, 8.0, "euler", "normal", 0, 10000, "disable"]
    found = values("KSamplerAdvanced", advanced)
    assert (found["noise_seed"], found["steps"], found["return_with_leftover_noise"]) == (7, 20, "disable")
    assert values("PrimitiveInt", [5, "increment"]) == {"value": 5}


def test_a_linked_widget_still_occupies_its_place() -> None:
    document = ui(
        [
            node(1, "EmptyLatentImage", slot("height", "INT", 1, widget=True), out="LATENT", widgets=[512, 999, 2]),
            node(2, "PrimitiveInt", out="INT", widgets=[640, "fixed"]),
        ],
        [[1, 2, 0, 1, 0, "INT"]],
    )
    assert inputs_of(document, "1") == {"width": 512, "height": ["2", 0], "batch_size": 2}


def test_an_input_that_is_forced_is_no_widget() -> None:
    found = values("CreateHookKeyframesFromFloats", [0.0, 1.0, False])
    assert found == {"start_percent": 0.0, "end_percent": 1.0, "print_keyframes": False}


@pytest.mark.parametrize(
    ("type", "widgets", "wanted"),
    [
        ("LoadImage", ["a.png", "image"], {"image": "a.png"}),
        ("SaveImage", ["ComfyUI", ""], {"filename_prefix": "ComfyUI"}),
        ("PreviewAny", [None, "cached text", False], {}),
    ],
)
def test_trailing_extras_are_ignored(type: str, widgets: list, wanted: dict) -> None:
    assert values(type, widgets).items() >= wanted.items()
    assert "upload" not in values(type, widgets)


@pytest.mark.parametrize(
    ("type", "widgets", "wanted"),
    [
        ("CLIPLoader", ["t5", "sd3"], {"clip_name": "t5", "type": "sd3"}),
        ("CLIPLoader", ["t5", "sd3", "cpu"], {"clip_name": "t5", "type": "sd3", "device": "cpu"}),
        ("DualCLIPLoader", ["a", "b", "flux"], {"clip_name1": "a", "clip_name2": "b", "type": "flux"}),
        (
            "DualCLIPLoader",
            ["a", "b", "flux", "cpu"],
            {"clip_name1": "a", "clip_name2": "b", "type": "flux", "device": "cpu"},
        ),
        ("CreateVideo", [24], {"fps": 24}),
        ("CreateVideo", [24, "8"], {"fps": 24, "bit_depth": "8"}),
        ("CreateVideo", [24, "8", "sRGB"], {"fps": 24, "bit_depth": "8", "color_space": "sRGB"}),
        (
            "CreateVideo",
            [24, "8", "sRGB", "h264"],
            {"fps": 24, "bit_depth": "8", "color_space": "sRGB", "codec": "h264"},
        ),
        ("CFGNorm", [1.0], {"strength": 1.0}),
        ("CFGNorm", [1.0, True], {"strength": 1.0, "pre_cfg": True}),
        ("VAEDecodeTiled", [512], {"tile_size": 512}),
        ("VAEDecodeTiled", [512, 64], {"tile_size": 512, "overlap": 64}),
        (
            "VAEDecodeTiled",
            [512, 64, 16, 8],
            {"tile_size": 512, "overlap": 64, "temporal_size": 16, "temporal_overlap": 8},
        ),
        ("ModelSamplingAuraFlow", [3.1], {"shift": 3.1}),
        ("ModelSamplingAuraFlow", [3.1, "flow"], {"shift": 3.1, "sampling": "flow"}),
        ("ADE_StandardStaticContextOptions", [16, 4], {"context_length": 16, "context_overlap": 4}),
        (
            "ADE_StandardStaticContextOptions",
            [16, 4, "pyramid", False],
            {"context_length": 16, "context_overlap": 4, "fuse_method": "pyramid", "use_on_equal_length": False},
        ),
        ("easy forLoopStart", [3], {"total": 3}),
    ],
)
def test_one_type_occurs_with_several_lengths(type: str, widgets: list, wanted: dict) -> None:
    assert values(type, widgets) == wanted


def test_input_entries_name_the_widgets_of_an_unknown_type() -> None:
    entries = (slot("image", "IMAGE"), slot("amount", "INT", widget=True), slot("how", "COMBO", widget=True))
    assert values("NobodyKnows", [3, "soft"], *entries) == {"amount": 3, "how": "soft"}


def test_a_combo_box_with_a_control_has_a_filter_too() -> None:
    entries = (slot("model", "COMBO", widget=True), slot("amount", "INT", widget=True))
    assert values("NobodyKnows", ["a.pt", "randomize", "", 3], *entries) == {"model": "a.pt", "amount": 3}


def test_a_number_may_have_a_control_under_any_name() -> None:
    entries = (slot("start_number", "INT", widget=True), slot("steps", "INT", widget=True))
    result = flat(alone("NobodyKnows", [5, "randomize", 20], *entries))
    assert result.prompt["1"]["inputs"] == {"start_number": 5, "steps": 20}
    assert result.controls == {"1.start_number": "randomize"}


def test_a_choice_that_reads_like_a_control_is_a_value() -> None:
    entries = (slot("model", "COMBO", widget=True), slot("mode", "COMBO", widget=True))
    assert values("NobodyKnows", ["a.pt", "fixed"], *entries) == {"model": "a.pt", "mode": "fixed"}


def test_values_without_names_are_a_problem_not_a_guess() -> None:
    result = flat(alone("NobodyKnows", [3, "soft"]))
    assert result.prompt["1"]["inputs"] == {}
    assert [problem.code for problem in result.problems] == ["unnamed-values"]


def test_values_that_cannot_fit_are_a_problem() -> None:
    assert "misfit" in codes(flat(alone("EmptyLatentImage", ["a", "b", "c"])))


def test_children_of_a_dynamic_choice_stand_after_their_parent() -> None:
    longer = values("ResizeImageMaskNode", ["scale longer dimension", 2048, "lanczos"])
    assert longer == {
        "resize_type": "scale longer dimension",
        "resize_type.longer_size": 2048,
        "scale_method": "lanczos",
    }
    exact = values("ResizeImageMaskNode", ["scale dimensions", 512, 640, "center", "area"])
    assert list(exact) == ["resize_type", "resize_type.width", "resize_type.height", "resize_type.crop", "scale_method"]


@pytest.mark.parametrize(
    "held", [["scale dimensions", 640, "center", "area"], ["scale dimensions", 640, 5, "center", "area"]]
)
def test_a_linked_child_of_a_dynamic_choice_may_be_left_out(held: list[object]) -> None:
    linked = (slot("resize_type.height", "INT", 7, widget=True),)
    found = values("ResizeImageMaskNode", held, *linked)
    assert [found[name] for name in ("resize_type.width", "resize_type.crop", "scale_method")] == [
        640,
        "center",
        "area",
    ]


def test_a_node_that_lists_its_widgets_may_make_a_choice_that_is_not_known() -> None:
    names = ("resize_type", "resize_type.fit", "resize_type.pad", "scale_method")
    found = values(
        "ResizeImageMaskNode", ["fit inside", 640, True, "area"], *(slot(name, "*", widget=True) for name in names)
    )
    assert found == dict(zip(names, ["fit inside", 640, True, "area"], strict=True))


def test_a_custom_combo_lists_its_options() -> None:
    found = values("CustomCombo", ["b", 1, "a", "b", ""])
    assert found == {"choice": "b", "index": 1, "option1": "a", "option2": "b", "option3": ""}


def test_power_loras_are_numbered() -> None:
    lora = {"on": True, "lora": "x.safetensors", "strength": 1}
    assert values("Power Lora Loader (rgthree)", [{}, {"type": "Header"}, lora, {}, ""]) == {"lora_1": lora}


def test_a_list_as_a_value_is_marked() -> None:
    assert values("Custom", {"boxes": ["4", 0]}) == {"boxes": {"__value__": ["4", 0]}}


def test_a_name_with_a_trailing_space_is_found() -> None:
    assert values("ConditioningAverage ", [0.7]) == {"conditioning_to_strength": 0.7}

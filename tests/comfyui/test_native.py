"""From a flat prompt to native nodes: what fuses, what is refused, and what is said of it."""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any

import pytest

from graphflow.converters.comfyui import to_native, to_prompt
from graphflow.converters.comfyui.report import Verdict
from graphflow.errors import ConversionError
from tests.comfyui.prompts import imported, node, prompt, sound
from tests.comfyui.ui import SUB, slot, subgraph, text_to_image, ui, with_subgraphs
from tests.comfyui.ui import node as drawn


def test_text_to_image() -> None:
    result = sound(prompt())
    nodes = result.document.nodes
    assert nodes["3"].type == "sample"
    assert nodes["3"].params["guidance_scale"] == 8.0
    assert nodes["3"].params["noise_layout"] == "batch"
    assert nodes["3"].params["step_noise"] == "seed + 1"
    assert nodes["3"].links == {"model": "4", "positive": "6", "negative": "7", "latent": "5"}
    assert nodes["9"].params == {"rounding": "truncate", "filename_prefix": "fox"}
    assert all(entry.verdict is Verdict.EXACT for entry in result.report.entries)
    assert nodes["3"].meta == {"comfyui": {"ids": ["3"], "type": "KSampler"}}


def test_what_people_turn_is_exposed() -> None:
    inputs = sound(prompt()).document.inputs
    assert {name: value.to for name, value in inputs.items()} == {
        "prompt": ["6.text"],
        "negative_prompt": ["7.text"],
        "seed": ["3.seed"],
        "width": ["5.width"],
        "height": ["5.height"],
        "model": ["4.model"],
        "steps": ["3.steps"],
        "guidance_scale": ["3.guidance_scale"],
        "sampler": ["3.sampler"],
        "schedule": ["3.schedule"],
    }


def test_a_second_value_is_turned_apart() -> None:
    source = prompt(n20=copy.deepcopy(prompt()["3"]), n21=node("VAEDecode", samples=["20", 0], vae=["4", 2]))
    source["20"]["inputs"] |= {"steps": 7, "latent_image": ["3", 0]}
    source["9"]["inputs"]["images"] = ["21", 0]
    inputs = sound(source).document.inputs
    assert (inputs["steps"].to, inputs["steps_2"].to) == (["3.steps"], ["20.steps"])
    assert set(inputs["sampler"].to) == {"3.sampler", "20.sampler"}


def test_what_samplers_of_several_parts_are_set_to_is_exposed() -> None:
    source = prompt(
        n20=node("KSamplerSelect", sampler_name="heun"),
        n21=node("BasicScheduler", model=["4", 0], scheduler="simple", steps=9, denoise=1.0),
        n22=node("CFGGuider", model=["4", 0], positive=["6", 0], negative=["7", 0], cfg=3.5),
        n23=node("RandomNoise", noise_seed=4),
        n3=node("SamplerCustomAdvanced", noise=["23", 0], guider=["22", 0], sampler=["20", 0], sigmas=["21", 0], latent_image=["5", 0]),
    )  # fmt: skip
    told = {name: value.to for name, value in sound(source).document.inputs.items()}
    assert told["sampler"] == ["20.sampler"] and told["schedule"] == ["21.schedule"] and told["steps"] == ["21.steps"]
    assert told["guidance_scale"] == ["22.guidance_scale"] and told["seed"] == ["23.seed"]


def test_a_text_behind_other_conditioning_is_found() -> None:
    source = prompt(n20=node("ConditioningSetArea", conditioning=["6", 0], width=64, height=64, x=0, y=0, strength=1.0))
    source["3"]["inputs"]["positive"] = ["20", 0]
    assert sound(source).document.inputs["prompt"].to == ["6.text"]


def test_what_old_files_lack_is_as_in_comfyui() -> None:
    source = prompt(n9=node("SaveImage", images=["8", 0]))
    del source["3"]["inputs"]["denoise"]
    nodes = sound(source).document.nodes
    assert nodes["9"].params["filename_prefix"] == "ComfyUI"
    assert "strength" not in nodes["3"].params  # both have 1.0


def test_texts_for_numbers_are_read_as_comfyui_reads_them() -> None:
    source = prompt()
    source["3"]["inputs"] |= {"steps": "12", "cfg": "6.5", "seed": 7.0}
    params = sound(source).document.nodes["3"].params
    assert (params["steps"], params["guidance_scale"], params["seed"]) == (12, 6.5, 7)


@pytest.mark.parametrize("linked", [False, True])
def test_sizes_that_are_no_multiples_are_said_to_be_rounded_down(linked: bool) -> None:
    source = prompt(n20=node("PrimitiveInt", value=100))
    source["5"]["inputs"] |= {"width": ["20", 0] if linked else 100, "height": 132}
    result = sound(source)
    (entry,) = [entry for entry in result.report.entries if entry.id == "5"]
    assert entry.verdict is Verdict.EXACT
    assert entry.remarks == ("rounded down as ComfyUI does: width 100 to 96, height 132 to 128",)
    assert result.report.remarks == (f"5 EmptyLatentImage: {entry.remarks[0]}",)


def test_linked_numbers_may_lie_outside_what_a_widget_takes() -> None:
    source = prompt(n20=node("PrimitiveInt", value=-1), n21=node("PrimitiveFloat", value=150.0))
    source["3"]["inputs"] |= {"seed": ["20", 0], "cfg": ["21", 0]}
    entry = sound(source).document.nodes["3"]
    assert entry.params["seed"] == 2**64 - 1
    assert entry.links["guidance_scale"] == "21"


def test_a_seed_may_be_a_number_with_a_point() -> None:
    source = prompt(n20=node("Seed (rgthree)", seed=-1.0), n21=node("RandomNoise", noise_seed=12345678901234567.0))
    source["3"]["inputs"]["seed"] = ["20", 0]
    source["22"] = node("AddNoise", model=["4", 0], noise=["21", 0], sigmas=["23", 0], latent_image=["3", 0])
    source["23"] = node("BasicScheduler", model=["4", 0], scheduler="normal", steps=2.0, denoise=1)
    source["8"]["inputs"]["samples"] = ["22", 0]
    nodes = imported(source).document.nodes
    assert (nodes["20"].params["seed"], nodes["21"].params["seed"], nodes["23"].params["steps"]) == (
        "random",
        12345678901234568,
        2,
    )


def test_all_frames_of_a_picture_are_loaded() -> None:
    source = {"1": node("LoadImage", image="a.gif"), "2": node("SaveImage", images=["1", 0], filename_prefix="x")}
    assert sound(source).document.nodes["1"].params == {"file": "a.gif", "frames": "all"}


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize(
    ("way", "given", "made"),
    [
        ("scale shorter dimension", {"shorter_size": 300}, {}),
        ("match size", {"crop": "disabled", "match": ["2", 0]}, {"crop": "none"}),
        (
            "scale dimensions",
            {"width": 64, "height": 48, "crop": "center"},
            {"width": 64, "height": 48, "crop": "center"},
        ),
    ],
)
def test_pictures_and_masks_are_resized_in_any_way(
    slot: int, way: str, given: dict[str, Any], made: dict[str, Any]
) -> None:
    inputs = {"input": ["1", slot], "resize_type": way, "scale_method": "area"}
    inputs |= {f"resize_type.{name}": value for name, value in given.items()}
    resized = node("ResizeImageMaskNode", **inputs)
    shown = node("MaskPreview", mask=["3", 0]) if slot else node("PreviewImage", images=["3", 0])
    source = {"1": node("LoadImage", image="a.png"), "2": node("LoadImage", image="b.png"), "3": resized, "4": shown}
    nodes = sound(source).document.nodes
    (entry,) = [entry for entry in nodes.values() if entry.type == "resize"]
    assert entry.params == {"method": "area", "antialias": False, **made}
    assert nodes["3"].type == ("mask_from_image" if slot else "resize")


def test_what_is_wrong_with_an_instance_is_reported() -> None:
    definition = subgraph(
        [
            drawn(
                7,
                "SaveImage",
                slot("images", "IMAGE", 1),
                slot("filename_prefix", "STRING", 2, widget=True),
                widgets=["x"],
            )
        ],
        [(1, -10, 0, 7, 0, "IMAGE"), (2, -10, 1, 7, 1, "STRING")],
        inputs=[("images", "IMAGE"), ("filename_prefix", "STRING")],
        outputs=[],
    )
    host = drawn(5, SUB, slot("images", "IMAGE", 9), widgets=["a", "b", "c"])
    document = ui(
        [drawn(1, "LoadImage", out="IMAGE MASK", widgets=["a.png", "image"]), host], [[9, 1, 0, 5, 0, "IMAGE"]]
    )
    report = to_native(to_prompt(with_subgraphs(document, definition))).report
    assert [problem.code for problem in report.problems] == ["host-values"]
    assert report.remarks == ("node 5: the subgraph holds 3 values for the 1 it shows: those inside are used",)


def test_ids_and_titles_survive() -> None:
    source = prompt()
    source["a b.c"] = {**source.pop("9"), "_meta": {"title": "My picture"}}
    result = sound(source)
    entry = result.document.nodes["a_b_c"]
    assert entry.title == "My picture"
    assert entry.meta == {"comfyui": {"ids": ["a b.c"], "type": "SaveImage"}}


def test_custom_sampling_becomes_its_parts() -> None:
    source = prompt(
        n10=node("KSamplerSelect", sampler_name="dpmpp_2m"),
        n11=node("BasicScheduler", model=["4", 0], scheduler="karras", steps=9, denoise=0.8),
        n3=node(
            "SamplerCustom", model=["4", 0], add_noise=True, noise_seed=3, cfg=7.5, positive=["6", 0], negative=["7", 0],
            sampler=["10", 0], sigmas=["11", 0], latent_image=["5", 0],
        ),
    )  # fmt: skip
    nodes = sound(source).document.nodes
    assert nodes["3"].type == "sample_custom"
    assert nodes["3"].links["guider"] == "3~guider"
    assert nodes["3~guider"].params == {"guidance_scale": 7.5}
    assert nodes["3~noise"].params == {"seed": 3, "layout": "batch", "step_noise": "seed + 1"}
    assert nodes["3~noise"].meta == {"comfyui": {"ids": ["3"], "type": "SamplerCustom"}}


def test_an_operation_on_latents_becomes_part_of_what_applies_it() -> None:
    source = prompt(
        n12=node("LatentOperationSharpen", sharpen_radius=5, sigma=1.5, alpha=0.2),
        n13=node("LatentApplyOperation", samples=["3", 0], operation=["12", 0]),
        n8=node("VAEDecode", samples=["13", 0], vae=["4", 2]),
    )
    entry = sound(source).document.nodes["13"]
    assert (entry.type, entry.params) == ("sharpen_latent", {"radius": 5, "sigma": 1.5, "strength": 0.2})
    assert entry.meta == {"comfyui": {"ids": ["13", "12"], "type": "LatentApplyOperation"}}


def test_a_lora_stack_becomes_one_node_for_each_that_is_on() -> None:
    source = prompt(
        n2={
            "class_type": "Power Lora Loader (rgthree)",
            "inputs": {
                "PowerLoraLoaderHeaderWidget": {"type": "PowerLoraLoaderHeaderWidget"},
                "lora_1": {"on": True, "lora": "a.safetensors", "strength": 0.5},
                "lora_2": {"on": False, "lora": "b.safetensors", "strength": 1},
                "lora_3": {"on": True, "lora": "c.safetensors", "strength": 1, "strengthTwo": 0.25},
                "model": ["4", 0],
                "clip": ["4", 1],
            },
        }
    )
    source["3"]["inputs"]["model"] = ["2", 0]
    source["6"]["inputs"]["clip"] = ["2", 1]
    nodes = sound(source).document.nodes
    loras = [entry.params for entry in nodes.values() if entry.type == "apply_lora"]
    assert [(p["lora"], p["strength"], p["text_encoder_strength"]) for p in loras] == [
        ("a.safetensors", 0.5, 0.5),
        ("c.safetensors", 1.0, 0.25),
    ]
    assert nodes["3"].links["model"] == "2~lora_3"
    assert nodes["6"].links["text_encoder"] == "2~lora_3.text_encoder"


def test_a_value_of_a_primitive_is_folded_where_it_has_another_name() -> None:
    source = prompt(
        n30=node("PrimitiveString", value="nearest-exact"),
        n31=node("LatentUpscaleBy", samples=["3", 0], upscale_method=["30", 0], scale_by=2.0),
        n8=node("VAEDecode", samples=["31", 0], vae=["4", 2]),
    )
    assert sound(source).document.nodes["31"].params["method"] == "nearest"


def test_a_number_is_converted_on_a_link() -> None:
    source = prompt(n30={"class_type": "ComfyMathExpression", "inputs": {"expression": "a / 2", "values.a": 1024}})
    source["5"]["inputs"]["width"] = ["30", 0]
    assert sound(source).document.nodes["5"].links["width"] == "5~width-int"


def test_what_is_not_supported_is_listed_whole() -> None:
    source = prompt(
        n3=node("FancySampler|pysssss", model=["4", 0], cfg=7, positive=["6", 0]), n50=node("Nowhere+", x=1)
    )
    source["5"]["class_type"] = "EmptyLatentHunyuan3Dv2"
    source["3"]["inputs"]["latent"] = ["5", 0]
    result = imported(source)
    assert [entry.id for entry in result.report.unsupported] == ["5", "3"]
    fancy = result.report.unsupported[1]
    assert fancy.pack == "ComfyUI-Custom-Scripts"
    assert fancy.provides == "takes model, cfg = 7, positive, latent; gives output 0 to 8.samples"
    dead = [entry.id for entry in result.report.of(Verdict.UNSUPPORTED, live=False)]
    assert dead == ["50"]
    with pytest.raises(ConversionError) as raised:
        result.require()
    assert "2 nodes" in str(raised.value)
    assert "FancySampler|pysssss" in str(raised.value)
    assert "EmptyLatentHunyuan3Dv2" in str(raised.value)


def test_nothing_unknown_is_passed_over() -> None:
    linked = prompt()
    linked["3"]["inputs"]["mystery"] = ["6", 0]
    assert "mystery" in imported(linked).report.unsupported[0].remarks[0]
    literal = prompt()
    literal["3"]["inputs"]["mystery"] = 3
    entry = next(entry for entry in sound(literal).report.entries if entry.id == "3")
    assert entry.verdict is Verdict.APPROXIMATE
    assert entry.remarks == ("mystery = 3 has no effect here",)


def test_a_value_that_the_node_does_not_take_is_refused() -> None:
    source = prompt()
    source["3"]["inputs"]["sampler_name"] = "my_solver"
    (entry,) = imported(source).report.unsupported
    assert "my_solver" in entry.remarks[0]


def test_a_missing_link_is_told() -> None:
    source = prompt()
    del source["3"]["inputs"]["model"]
    assert imported(source).report.unsupported[0].remarks == ("its input for model is missing",)


def test_a_circle_is_an_error() -> None:
    source = prompt()
    source["5"]["inputs"]["width"] = ["8", 0]
    with pytest.raises(ConversionError, match="circle"):
        imported(source)


def test_a_workflow_that_saves_nothing_is_an_error() -> None:
    with pytest.raises(ConversionError, match="saves or shows"):
        imported({"4": node("CheckpointLoaderSimple", ckpt_name="a")})


def test_a_workflow_of_flux_imports_whole_and_runs() -> None:
    source = {
        "1": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="fp8_e4m3fn"),
        "2": node("DualCLIPLoader", clip_name1="clip_l.safetensors", clip_name2="t5xxl.safetensors", type="flux"),
        "3": node("VAELoader", vae_name="ae.safetensors"),
        "4": node("CLIPTextEncode", clip=["2", 0], text="a fox"),
        "5": node("FluxGuidance", conditioning=["4", 0], guidance=3.5),
        "6": node("ModelSamplingFlux", model=["1", 0], max_shift=1.15, base_shift=0.5, width=1024, height=1024),
        "7": node("BasicGuider", model=["6", 0], conditioning=["5", 0]),
        "8": node("RandomNoise", noise_seed=1),
        "9": node("KSamplerSelect", sampler_name="euler"),
        "10": node("BasicScheduler", model=["6", 0], scheduler="simple", steps=20, denoise=1.0),
        "11": node("EmptySD3LatentImage", width=1024, height=1024, batch_size=1),
        "12": node("SamplerCustomAdvanced", noise=["8", 0], guider=["7", 0], sampler=["9", 0], sigmas=["10", 0], latent_image=["11", 0]),
        "13": node("VAEDecode", samples=["12", 0], vae=["3", 0]),
        "14": node("SaveImage", images=["13", 0], filename_prefix="flux"),
    }  # fmt: skip
    result = sound(source)
    encoder = next(entry for entry in result.report.entries if entry.id == "2")
    assert (encoder.verdict, encoder.native) == (Verdict.EXACT, ("load_text_encoder",))
    assert result.report.waiting == {}
    assert result.document.inputs["prompt"].to == ["4.text"]
    assert result.document.inputs["seed"].to == ["8.seed"]


def with_control() -> dict[str, Any]:
    return prompt(
        n20=node("ControlNetLoader", control_net_name="edges"),
        n21=node("LoadImage", image="edges.png"),
        n22=node("ControlNetApply", conditioning=["6", 0], control_net=["20", 0], image=["21", 0], strength=0.5),
        n3=node(
            "KSampler", seed=5, steps=20, cfg=8, sampler_name="euler", scheduler="normal", denoise=1.0,
            model=["4", 0], positive=["22", 0], negative=["7", 0], latent_image=["5", 0],
        ),
    )  # fmt: skip


def test_the_old_control_acts_on_both_sides() -> None:
    nodes = sound(with_control()).document.nodes
    assert nodes["3"].links["positive"] == "22"
    assert nodes["3"].links["negative"] == "22~negative"
    assert nodes["22~negative"].links == {**nodes["22"].links, "positive": "7"}
    assert nodes["22~negative"].params["strength"] == 0.5


def test_a_negative_with_a_control_of_its_own_keeps_it() -> None:
    source = with_control()
    source["23"] = node("ControlNetApply", conditioning=["7", 0], control_net=["20", 0], image=["21", 0], strength=1.0)
    source["3"]["inputs"]["negative"] = ["23", 0]
    result = sound(source)
    assert result.document.nodes["3"].links["negative"] == "23"


def test_a_branched_way_is_told() -> None:
    source = with_control()
    source["24"] = node("ConditioningCombine", conditioning_1=["22", 0], conditioning_2=["6", 0])
    source["3"]["inputs"]["positive"] = ["24", 0]
    entry = next(entry for entry in sound(source).report.entries if entry.id == "22")
    assert entry.verdict is Verdict.APPROXIMATE


def test_an_output_without_a_native_one_is_refused() -> None:
    source = prompt(
        n20=node("LoadImage", image="a.png"),
        n21=node("OpenposePreprocessor", image=["20", 0], resolution=512),
        n22=node("PreviewAny", source=["21", 1]),
    )
    (entry,) = imported(source).report.unsupported
    assert entry.id == "22"
    assert "output 1 of OpenposePreprocessor" in entry.remarks[0]


def test_properties_of_a_conditioning_become_one_node_each() -> None:
    source = prompt(
        n30=node("ConditioningTimestepsRange", start_percent=0.25, end_percent=0.75),
        n31=node("SolidMask", value=1.0, width=64, height=64),
        n32=node("CLIPTextEncode", text="a hat", clip=["4", 1]),
        n33=node(
            "ConditioningSetPropertiesAndCombine", cond=["6", 0], cond_NEW=["32", 0], strength=0.5, mask=["31", 0],
            set_cond_area="mask bounds", timesteps=["30", 2],
        ),
    )  # fmt: skip
    source["3"]["inputs"]["positive"] = ["33", 0]
    nodes = sound(source).document.nodes
    assert nodes["33"].links == {"conditioning": ["6", "33~range"]}
    assert nodes["33~range"].params == {"start": 0.75, "end": 1.0}
    assert nodes["33~mask"].params == {"strength": 0.5, "bounds": True}
    assert nodes["33~mask"].links["conditioning"] == "32"


def test_model_names_in_objects_are_read() -> None:
    source = prompt(
        n4=node("CheckpointLoader|pysssss", ckpt_name={"content": "a.safetensors", "image": None}, prompt="x")
    )
    assert sound(source).document.nodes["4"].params["model"] == "a.safetensors"


def test_a_link_of_another_type_is_refused() -> None:
    result = imported(prompt(n8=node("VAEDecode", samples=["4", 0], vae=["4", 2])))
    (entry,) = result.report.unsupported
    assert (entry.id, entry.remarks) == ("8", ("its input for latent is linked to model, where it takes latent",))
    listed = imported(
        {
            "1": node("EmptyLatentImage"),
            "2": node("ImageBatch", image1=["1", 0], image2=["1", 0]),
            "3": node("PreviewImage", images=["2", 0]),
        }
    )
    assert [entry.id for entry in listed.report.unsupported] == ["2"]


def test_what_a_file_lacks_is_comfyuis_default() -> None:
    latent = node("EmptyLatentImage")
    assert sound(prompt(n5=latent)).document.nodes["5"].params.get("width", 512) == 512


def test_a_choice_of_many_names_the_nearest_alone() -> None:
    sampler = prompt()["3"]["inputs"] | {"sampler_name": "res_multistep_x"}
    (entry,) = imported(prompt(n3=node("KSampler", **sampler))).report.unsupported
    (remark,) = entry.remarks
    assert "“res_multistep_x”" in remark and "res_multistep" in remark.partition("nearest")[2]
    assert "dpmpp_2m" not in remark


def test_a_file_name_that_is_cut_is_told() -> None:
    result = sound(prompt(n9=node("SaveImage", images=["8", 0], filename_prefix="x" * 250 + "end")))
    assert str(result.document.nodes["9"].params["filename_prefix"]).endswith("end")
    (entry,) = result.report.of(Verdict.APPROXIMATE)
    assert "cut" in entry.remarks[0]


def test_file_names_follow_the_widgets_that_they_name() -> None:
    document = text_to_image()
    document["nodes"][-1]["widgets_values"] = [
        "%date:yyyy%/%KSampler.seed%_%KSampler.scheduler%_%Nobody.x%_%Empty Latent Image.width%"
    ]
    document["nodes"][1]["title"] = "Empty Latent Image"
    flattened = to_prompt(document)
    made = to_native(flattened).document
    assert made.nodes["9"].params["filename_prefix"] == "%date:yyyy%/%3.seed%_%3.schedule%_%Nobody.x%_%5.width%"
    assert flattened.prompt["9"]["inputs"]["filename_prefix"].startswith("%date:yyyy%/156680208700286_normal_")
    at = to_native(to_prompt(document, now=datetime(2024, 3, 7))).document
    assert at.nodes["9"].params["filename_prefix"] == "2024/156680208700286_normal_%Nobody.x%_512"


def test_where_nothing_saves_the_unknown_nodes_are_named() -> None:
    with pytest.raises(ConversionError, match="saves or shows anything") as caught:
        imported({"1": node("Ünknown Thing"), "2": node("EmptyLatentImage", width=64, height=64, batch_size=1)})
    assert "Ünknown Thing" in (caught.value.advice or "") and "EmptyLatentImage" not in (caught.value.advice or "")

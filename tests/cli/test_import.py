"""ComfyUI files on the command line: ``graphflow import``, and files that run, plan and validate take as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from PIL.PngImagePlugin import PngInfo

from graphflow.document.embedded import png_texts
from tests.cli.commands import Command
from tests.comfyui.ui import node as drawn
from tests.comfyui.ui import slot, ui

PROMPT: dict[str, Any] = {
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "shapes"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red circle", "clip": ["4", 1]}},
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 5, "steps": 1, "cfg": 1, "sampler_name": "euler", "scheduler": "normal", "denoise": 1,
            "model": ["4", 0], "positive": ["6", 0], "negative": ["6", 0], "latent_image": ["5", 0],
        },
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "theirs"}},
}  # fmt: skip


@pytest.fixture
def theirs() -> Path:
    path = Path("theirs.json")
    path.write_text(json.dumps(PROMPT), "utf-8")
    return path


@pytest.fixture
def unknown() -> Path:
    path = Path("unknown.json")
    changed = json.loads(json.dumps(PROMPT))
    changed["8"]["class_type"] = "StrangeDecode|pysssss"
    changed["3"]["class_type"] = "StrangeSampler"
    path.write_text(json.dumps(changed), "utf-8")
    return path


def test_import_writes_a_native_workflow(graphflow: Command, theirs: Path) -> None:
    ran = graphflow("import", theirs, "-o", "mine.json")
    assert ran.code == 0
    assert "6 nodes exactly" in ran.err
    document = json.loads(Path("mine.json").read_text("utf-8"))
    assert document["graphflow"] == 2
    assert document["name"] == "theirs"
    assert document["nodes"]["3"]["type"] == "sample"
    assert graphflow("validate", "mine.json").code == 0


def test_import_prints_where_no_file_is_named(graphflow: Command, theirs: Path) -> None:
    assert json.loads(graphflow("import", theirs).out)["nodes"]["9"]["type"] == "save_image"
    assert "wrote" not in graphflow("import", theirs, "-o", "-").err


def test_import_overwrites_nothing(graphflow: Command, theirs: Path) -> None:
    Path("mine.json").write_text("mine", "utf-8")
    ran = graphflow("import", theirs, "-o", "mine.json")
    assert (ran.code, Path("mine.json").read_text("utf-8")) == (2, "mine")
    assert "--force" in ran.err
    assert graphflow("import", theirs, "-o", "mine.json", "--force").code == 0


def test_import_to_the_flat_prompt(graphflow: Command, theirs: Path) -> None:
    flat = json.loads(graphflow("import", theirs, "--to", "api").out)
    assert flat["9"]["inputs"] == PROMPT["9"]["inputs"]


def test_the_report_names_nodes_and_models(graphflow: Command, theirs: Path, home: Path) -> None:
    (home / "models" / "checkpoints").mkdir()
    (home / "models" / "checkpoints" / "shaped.safetensors").write_bytes(b"")
    source = json.loads(theirs.read_text("utf-8"))
    source["4"]["inputs"]["ckpt_name"] = "SDXL\\shaped-2.safetensors"
    theirs.write_text(json.dumps(source), "utf-8")
    ran = graphflow("import", theirs, "--report")
    assert ran.code == 0
    assert "load_checkpoint" in ran.out
    assert str(home / "models") in ran.out
    assert "nearest: shaped.safetensors" in " ".join(ran.out.split())


def test_what_is_not_supported_is_an_error_that_lists_all(graphflow: Command, unknown: Path) -> None:
    for command in (("import", unknown), ("run", unknown), ("plan", unknown), ("validate", unknown)):
        ran = graphflow(*command)
        assert ran.code == 2
        assert "StrangeSampler" in ran.err
        assert "StrangeDecode|pysssss" in ran.err
        assert "ComfyUI-Custom-Scripts" in ran.err


def test_the_report_in_json_says_what_each_would_have_to_do(graphflow: Command, unknown: Path) -> None:
    ran = graphflow("import", unknown, "--json")
    report = json.loads(ran.out)
    assert (ran.code, report["complete"]) == (2, False)
    (decode,) = [node for node in report["nodes"] if node["id"] == "8"]
    assert decode["verdict"] == "not supported"
    assert decode["provides"] == "takes samples, vae; gives output 0 to 9.images"


def test_nodes_that_wait_are_counted_apart(graphflow: Command) -> None:
    prompt = json.loads(json.dumps(PROMPT))
    prompt["7"] = {"class_type": "UNetTemporalAttentionMultiply", "inputs": {"model": ["4", 0], "self_temporal": 1.5}}
    prompt["3"]["inputs"]["model"] = ["7", 0]
    Path("waiting.json").write_text(json.dumps(prompt))
    ran = graphflow("import", "waiting.json", "-o", "mine.json")
    assert ran.code == 0
    assert "6 nodes exactly, 0 approximately, 1 that cannot run yet" in ran.err
    assert "cannot run yet, a family that makes videos is not built: UNetTemporalAttentionMultiply" in ran.err
    refused = graphflow("run", "mine.json")
    assert refused.code == 2
    assert "nodes.7.type: scale_temporal_attention waits for a family that makes videos" in refused.err
    report = json.loads(graphflow("import", "waiting.json", "--report", "--json").out)
    assert (report["complete"], report["ready"], report["waits"]) == (True, False, ["a family that makes videos"])
    assert report["decision"]["verdict"] == "cannot run"
    assert "2 files, 1 read, 1 import whole, 0 run, 0 are exported" in graphflow("import", "--coverage", ".").out


def test_coverage_counts_a_folder(graphflow: Command, theirs: Path, unknown: Path) -> None:
    Path("notes.json").write_text("[]", "utf-8")
    ran = graphflow("import", "--coverage", ".")
    assert ran.code == 0
    assert "3 files, 2 read, 1 import whole, 1 run, 1 are exported" in ran.out
    data = json.loads(graphflow("import", "--coverage", ".", "--json").out)
    assert (data["read"], data["whole"], data["missing"]["StrangeSampler"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.json", b"", "the file is empty"),
        ("cut.json", json.dumps(PROMPT).encode()[:100], "this is no JSON"),
        ("other.json", b'{"a": 1}', "this is no ComfyUI workflow"),
        ("video.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "carries no ComfyUI workflow"),
    ],
)
def test_what_is_no_workflow_is_a_clear_error(graphflow: Command, name: str, content: bytes, said: str) -> None:
    Path(name).write_bytes(content)
    ran = graphflow("import", name)
    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_a_folder_is_no_file(graphflow: Command) -> None:
    Path("folder").mkdir()
    ran = graphflow("import", "folder")
    assert ran.code == 2
    assert "--coverage" in ran.err


def test_choices_in_prompts_are_drawn_from_a_seed(graphflow: Command) -> None:
    text = {"id": 1, "type": "CLIPTextEncode", "mode": 0, "widgets_values": ["{red|blue|green|white|black} fox"], "inputs": [],
            "outputs": [{"name": "CONDITIONING", "type": "CONDITIONING", "links": [1]}]}  # fmt: skip
    shown = {
        "id": 2,
        "type": "PreviewAny",
        "mode": 0,
        "inputs": [{"name": "source", "type": "*", "link": 1}],
        "outputs": [],
    }
    drawn = {"version": 0.4, "nodes": [text, shown], "links": [[1, 1, 0, 2, 0, "CONDITIONING"]]}
    Path("drawn.json").write_text(json.dumps(drawn), "utf-8")

    def taken(*options: str) -> str:
        flat = json.loads(graphflow("import", "drawn.json", "--to", "api", *options).out)
        return str(flat["1"]["inputs"]["text"])

    assert taken() == "red fox"
    seeded = [taken("--choices-seed", str(seed)) for seed in range(6)]
    assert len(set(seeded)) > 1
    assert taken("--choices-seed", "5") == seeded[5]


def test_an_unsupported_node_that_no_output_needs_is_a_warning(graphflow: Command) -> None:
    dead = {"20": {"class_type": "ReActorFaceSwap", "inputs": {"image": ["8", 0]}}}
    saved = {"9": PROMPT["9"], "20": dead["20"]}
    Path("dead.json").write_text(json.dumps({**PROMPT, **saved}), "utf-8")
    ran = graphflow("import", "dead.json", "-o", "native.json")
    assert ran.code == 0
    assert "left out, no output needs it: 20 ReActorFaceSwap" in " ".join(ran.err.split())


def test_models_that_are_missing_are_named(graphflow: Command, theirs: Path, home: Path) -> None:
    folder = Path("elsewhere")
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "shapes.safetensors").write_bytes(b"")
    Path("extra_model_paths.yaml").write_text("theirs:\n  base_path: elsewhere\n  checkpoints: weights\n", "utf-8")
    Path("named.json").write_text(theirs.read_text("utf-8").replace('"shapes"', '"shapes.safetensors"'), "utf-8")
    assert "missing checkpoint: shapes.safetensors" in graphflow("import", "named.json", "-o", "a.json").err
    found = graphflow("import", "named.json", "-o", "b.json", "--models", "extra_model_paths.yaml")
    assert found.code == 0
    assert "missing" not in found.err


def test_import_needs_a_file(graphflow: Command) -> None:
    assert graphflow("import").code == 2
    assert graphflow("import", "nowhere.json").code == 2


def test_a_picture_of_comfyui_plans_and_says_where_it_came_from(graphflow: Command) -> None:
    info = PngInfo()
    info.add_text("prompt", json.dumps(PROMPT))
    PIL.Image.new("RGB", (8, 8)).save("theirs.png", pnginfo=info)
    ran = graphflow("plan", "theirs.png", "-i", "seed=3")
    assert ran.code == 0
    assert "ComfyUI workflow (api)" in ran.err


def test_run_takes_the_file_as_it_is_and_the_picture_carries_both(graphflow: Command, theirs: Path) -> None:
    ran = graphflow("run", theirs, "-i", "seed=11", "--out", "out", "--safety", "off")
    assert ran.code == 0, ran.err
    texts = dict(png_texts(Path("out/theirs_00001.png").read_bytes()))
    assert json.loads(texts["graphflow"])["nodes"]["3"]["params"]["seed"] == 11
    prompt = json.loads(texts["prompt"])
    assert prompt["3"]["inputs"]["seed"] == 11
    assert prompt["6"]["inputs"]["text"] == "a red circle"
    assert graphflow("run", "out/theirs_00001.png", "--out", "out", "--safety", "off").code == 0
    assert graphflow("export", theirs, "--to", "comfyui").code == 0


def test_remarks_are_told_in_one_line_and_all_of_them_on_demand(graphflow: Command) -> None:
    odd = {"class_type": "EmptyLatentImage", "inputs": {"width": 100, "height": 132, "batch_size": 1}}
    Path("odd.json").write_text(json.dumps({**PROMPT, "5": odd}), "utf-8")
    (line,) = graphflow("plan", "odd.json").err.splitlines()
    assert line.startswith(
        "ComfyUI workflow (api): 6 nodes exactly, 0 approximately; 1 remark (import --report tells all): 5 "
    )
    assert line.endswith("width 100 to 96, height 132 to 128")
    told = graphflow("plan", "odd.json", "--report")
    assert "save_image" in told.err
    assert line.rpartition(": ")[2] in told.err
    assert graphflow("plan", "odd.json").out == told.out
    assert "--report" in graphflow("run", "--help").out


WORDS = """(a [red] circle:1.1), style-word <lora:shapes-outline:0.7>
on [[blue]]
Negative prompt: blurry
Steps: 21, Sampler: DPM++ 2M SDE Karras, CFG scale: 5.5, Seed: 4294967295, Size: 128x96, Model hash: 6ce0161689, Model: shapes, \
Clip skip: 2, TI hashes: "style-word: 12ab", Denoising strength: 0.5, Hires upscale: 1.5, Hires upscaler: Latent, \
Hires steps: 10, Eta: 0.3, Version: v1.9.0"""


def with_words(words: str) -> None:
    info = PngInfo()
    info.add_text("parameters", words)
    PIL.Image.new("RGB", (8, 8)).save("words.png", pnginfo=info)


def test_settings_in_words_become_a_workflow(graphflow: Command) -> None:
    with_words(WORDS)
    ran = graphflow("import", "words.png", "-o", "mine.json")
    assert ran.code == 0 and "left out: Eta: 0.3" in ran.err
    nodes = json.loads(Path("mine.json").read_text("utf-8"))["nodes"]
    assert nodes["positive"]["params"]["text"] == "(a (red:0.909) circle:1.1), embedding:style-word \non [(blue:0.909)]"
    assert nodes["positive"]["params"]["clip_skip"] == 2 and nodes["negative"]["params"]["text"] == "blurry"
    assert nodes["lora_1"]["params"] == {"lora": "shapes-outline", "strength": 0.7, "text_encoder_strength": 0.7}
    sampled = {"seed": 2**32 - 1, "steps": 21, "guidance_scale": 5.5, "sampler": "dpmpp_2m_sde", "schedule": "karras"}
    assert nodes["sample"]["params"] == {**sampled, "noise_device": "cuda", "step_noise_device": "cuda"}
    assert nodes["detail"]["params"] == {**nodes["sample"]["params"], "steps": 10, "start_step": 4}
    assert nodes["latent"]["params"] == {"width": 128, "height": 96} and nodes["enlarge"]["params"]["scale"] == 1.5
    Path("words.txt").write_text(WORDS, "utf-8")
    assert json.loads(graphflow("import", "words.txt").out)["nodes"] == nodes
    assert graphflow("validate", "mine.json").code == 0


def test_a_picture_with_settings_in_words_opens_as_a_workflow(graphflow: Command) -> None:
    with_words("a red circle\nSteps: 2, Sampler: Euler a, CFG scale: 3, Seed: 1, Size: 64x64, Model: shapes")
    ran = graphflow("plan", "words.png", "-i", "seed=2")
    assert ran.code == 0 and "note: noise of steps" in ran.out


@pytest.mark.parametrize(
    "words",
    ["x\nSteps: many, Seed: -1, Size: 3, CFG scale: inf", "Steps: 1", "a\nSteps: 2, Sampler: New, Schedule type: Odd"],
)
def test_odd_settings_in_words_are_told(graphflow: Command, words: str) -> None:
    with_words(words)
    ran = graphflow("import", "words.png", "-o", "odd.json")
    assert ran.code == 0 and ran.err.count("note: ") >= 2
    assert graphflow("validate", "odd.json", "-i", "model=shapes").code == 0


def test_a_report_says_each_thing_once_and_how_to_get_on(graphflow: Command, unknown: Path) -> None:
    unknown.write_text(unknown.read_text("utf-8").replace('"shapes"', '"absent"'), "utf-8")
    ran = graphflow("import", unknown, "--report")
    assert ran.code == 2
    assert (ran.out + ran.err).count(
        "no native node does this"
    ) == 5  # once in the first line, twice in the table and in the error
    assert "not there: put" in ran.out
    assert "bypass" in ran.err


def test_pictures_carry_the_workflow_of_comfyui_while_it_says_what_was_done(graphflow: Command) -> None:
    grey = drawn(1, "EmptyImage", out="IMAGE", widgets=[16, 8, 1, 255])
    grey["outputs"][0]["links"] = [1]
    graph = ui([grey, drawn(2, "SaveImage", slot("images", "IMAGE", 1), widgets=["grey"])], [[1, 1, 0, 2, 0, "IMAGE"]])
    Path("grey.json").write_text(json.dumps(graph), "utf-8")
    for options, is_drawn in (([], True), (["--set", "1.width=32"], False)):
        ran = graphflow("run", "grey.json", *options, "--quiet")
        with PIL.Image.open(ran.out.strip()) as picture:
            texts = picture.text  # type: ignore[attr-defined]
        assert json.loads(texts["prompt"])["1"]["inputs"]["width"] == (16 if is_drawn else 32)
        assert (json.loads(texts["workflow"]) == graph) if is_drawn else "workflow" not in texts
    assert graphflow("run", "out/grey_00001.png").code == 0


def first_line(graphflow: Command, file: Path | str, *options: str) -> str:
    return graphflow("import", file, "--report", *options).out.splitlines()[0]


def test_the_first_line_of_a_report_decides(graphflow: Command, theirs: Path, unknown: Path) -> None:
    assert first_line(graphflow, theirs) == "runs: all that it needs is here"
    absent = json.loads(theirs.read_text("utf-8").replace('"shapes"', '"absent.safetensors"'))
    absent["1"] = {"class_type": "LoadImage", "inputs": {"image": "gone.png"}}
    absent["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    Path("absent.json").write_text(json.dumps(absent), "utf-8")
    line = first_line(graphflow, "absent.json")
    assert line.startswith("runs with these files: ")
    assert "checkpoint absent.safetensors (of a family that runs here)" in line and "image gone.png" in line
    nowhere = {"class_type": "KSampler", "inputs": {**PROMPT["3"]["inputs"], "model": ["4", 2]}}
    Path("wrong.json").write_text(json.dumps({**PROMPT, "3": nowhere}), "utf-8")
    assert first_line(graphflow, "wrong.json").startswith("cannot run, because its input for model is linked to vae")
    assert "no native node does this: StrangeSampler, StrangeDecode|pysssss" in first_line(graphflow, unknown)
    decision = json.loads(graphflow("import", "absent.json", "--json").out)["decision"]
    assert decision["verdict"] == "runs with these files" and len(decision["files"]) == 2


def test_the_report_tells_what_comfyui_recorded_from_what_descriptions_say(graphflow: Command) -> None:
    doubled = {"class_type": "JWInteger", "inputs": {"value": 64}}
    latent = {"class_type": "EmptyLatentImage", "inputs": {"width": ["7", 0], "height": 64, "batch_size": 1}}
    Path("told.json").write_text(json.dumps({**PROMPT, "7": doubled, "5": latent}), "utf-8")
    nodes = json.loads(graphflow("import", "told.json", "--json").out)["nodes"]
    assert {node["id"]: node["how"] for node in nodes if node["id"] in "37"} == {
        "3": "exactly", "7": "exactly, by description",
    }  # fmt: skip


def test_a_type_is_left_out_where_something_stands_for_it(graphflow: Command, theirs: Path) -> None:
    strange = {"class_type": "StrangeFilter", "inputs": {"pixels": ["8", 0], "amount": 3}}
    loader = {"class_type": "StrangeLoader", "inputs": {"name": "a"}}
    prompt = json.loads(theirs.read_text("utf-8"))
    prompt |= {"20": strange, "21": loader}
    prompt["9"]["inputs"]["images"] = ["20", 0]
    theirs.write_text(json.dumps(prompt), "utf-8")
    assert "--without StrangeFilter passes pixels on" in graphflow("import", theirs, "--json").out
    ran = graphflow("import", theirs, "--without", "StrangeFilter", "-o", "mine.json")
    assert ran.code == 0 and "StrangeFilter is left out, as --without says; pixels passes" in ran.err
    assert json.loads(Path("mine.json").read_text("utf-8"))["nodes"]["9"]["links"] == {"images": "8"}
    prompt["6"]["inputs"]["clip"] = ["21", 0]
    theirs.write_text(json.dumps(prompt), "utf-8")
    assert "--without StrangeLoader" not in graphflow("import", theirs, "--json").out
    refused = graphflow("import", theirs, "--without", "StrangeLoader")
    assert refused.code == 2 and "takes nothing that could stand for its output 0" in refused.err
    misspelt = graphflow("import", theirs, "--without", "StrangeFiltr")
    assert misspelt.code == 2 and "did you mean 'StrangeFilter'?" in misspelt.err


NETWORKS = "a star <lora:one:0.5:0.7><lora:two:lots> <hypernet:three:0.4><odd:four:1>\n"


def test_networks_in_words_are_applied_or_told(graphflow: Command) -> None:
    with_words(f"{NETWORKS}Steps: 2, Sampler: Euler a, Seed: 1, Size: 64x64, Model: shapes")
    ran = graphflow("import", "words.png")
    nodes = json.loads(ran.out)["nodes"]
    assert nodes["positive"]["params"]["text"] == "a star"
    assert nodes["lora_1"]["params"] == {"lora": "one", "strength": 0.7, "text_encoder_strength": 0.5}
    assert nodes["hypernetwork_3"]["params"] == {"hypernetwork": "three", "strength": 0.4}
    assert nodes["sample"]["links"]["model"] == "hypernetwork_3"
    assert "the strength 'lots' of <lora:two:lots> is no number: 1 in its place" in ran.err
    assert "<odd:four:1> is left out" in ran.err
    told = graphflow("import", "words.png", "--report").out
    assert told.startswith("runs with these files: lora one, ") and "hypernetwork_3" in told and "<odd:four:1>" in told


def test_a_text_without_settings_is_told_as_that(graphflow: Command) -> None:
    Path("notes.txt").write_text("a list of things to do", "utf-8")
    ran = graphflow("import", "notes.txt")
    assert ran.code == 2
    assert "neither JSON nor settings in words" in ran.err

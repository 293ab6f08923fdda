"""ComfyUI's HTTP interface: recorded answers, and what clients do with it."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from graphflow.converters.comfyui.rules import RULES, Made
from graphflow.service.app import Service, make_app
from graphflow.service.comfyui.routes import comfyui_router
from graphflow.service.comfyui.system import FOLDERS
from graphflow.service.native import native_router
from graphflow.service.options import ServiceOptions
from graphflow.session import Session
from graphflow.settings import Settings
from tests.conftest import ROOT

RECORDED = ROOT / "tests" / "data" / "comfyui_api"
PROSE = {"tooltip", "round", "description", "display_name", "output_tooltips"}
"""What ComfyUI says of its nodes in words, which is its own, and the rounding of a widget."""
DRAWN = {"prompt_id", "timestamp", "number"}


def recorded(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text("utf-8"))


def without(data: Any, names: set[str]) -> Any:
    """Return data without the keys of some names, and with the packaged checkpoint in place of the recorded one."""
    if isinstance(data, dict):
        return {key: without(value, names) for key, value in data.items() if key not in names}
    if isinstance(data, list):
        return [without(value, names) for value in data]
    return "shapes" if data == "sd15_tinyunet_rand.safetensors" else data


def settings(folder: Path) -> Settings:
    told = {"models": (), "cache_dir": folder / "cache", "device": "cpu", "offline": True, "safety": "off"}
    return Settings.model_validate(told)


class Web:
    """A service that answers as ComfyUI does."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.session = Session(settings(folder))
        self.service = Service(self.session, folder / "service", ServiceOptions(), **options)
        app = make_app(self.service, [native_router(self.service), comfyui_router(self.service)])
        self.client = TestClient(app, base_url="http://127.0.0.1:8189", raise_server_exceptions=False)

    def __enter__(self) -> Web:
        self.client.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.__exit__()
        self.session.close()

    def get(self, path: str, /, **query: Any) -> Any:
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any) -> None:
        answer = self.client.post(path, json=body)
        assert answer.status_code == 200 and not answer.content, answer.text

    def submit(self, prompt: Any, **more: Any) -> str:
        answer = self.client.post("/prompt", json={"prompt": prompt, **more})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["prompt_id"])

    def past(self, id: str) -> dict[str, Any]:
        """Wait until a prompt is over; returns its history."""
        feed = self.service.jobs.feed(id)
        assert feed.wait(60)
        while not (told := self.get(f"/history/{id}")):
            time.sleep(0.01)
        return told[id]  # type: ignore[no-any-return]

    def run(self, prompt: Any, **more: Any) -> dict[str, Any]:
        return self.past(self.submit(prompt, **more))

    def upload(self, data: bytes, name: str = "up.png", **fields: str) -> Any:
        return self.client.post("/upload/image", files={"image": (name, data)}, data=fields)

    def picture(self, place: dict[str, str], **more: str) -> Image.Image:
        answer = self.client.get("/view", params={**place, **more})
        assert answer.status_code == 200, answer.headers
        return Image.open(io.BytesIO(answer.content))


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with Web(tmp_path_factory.mktemp("comfyui")) as web:
        yield web


@pytest.fixture
def still(tmp_path: Path) -> Iterator[Web]:
    """Start a service in which everything waits."""
    with Web(tmp_path, workers=0) as web:
        yield web


def png(color: Any, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (64, 48), color).save(file, "PNG")
    return file.getvalue()


def copied(image: str, prefix: str = "copy") -> dict[str, Any]:
    """Return a prompt that reads a picture and saves it."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
    }


def sampled(**changes: Any) -> dict[str, Any]:
    """Return the recorded prompt with other values for its sampler."""
    prompt = without(recorded("png_text_chunks")["prompt"], set())
    del prompt["8"]
    prompt["5"]["inputs"] |= changes
    return prompt  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------------------ recorded answers

PLAIN = {
    "get_prompt": {}, "get_root_api_prefix": {}, "get_queue_idle": {}, "get_history_unknown": {}, "get_models_unknown": {},
    "get_object_info_unknown": {}, "post_interrupt": {}, "post_history": {}, "post_free": {"no_body": 400},
}  # fmt: skip
"""Recordings that are compared as they are; where ComfyUI breaks, the status of what is refused here."""


@pytest.mark.parametrize(("name", "refused"), PLAIN.items())
def test_plain_answers_are_as_recorded(still: Web, name: str, refused: dict[str, int]) -> None:
    found = recorded(name)
    for case, told in {name: found}.items() if "request" in found else found.items():
        asked = told["request"]
        answer = still.client.request(asked["method"], asked["path"], json=asked.get("json"))
        assert answer.status_code == refused.get(case, told["status"]), case
        if case not in refused:
            assert (answer.json() if answer.content else "") == told["body"], case


@pytest.mark.parametrize("type", ["KSampler", "CheckpointLoaderSimple", "LoadImage", "SaveImage"])
def test_node_types_are_told_as_recorded(web: Web, type: str) -> None:
    told, mine = (
        without(data, PROSE)[type]
        for data in (recorded(f"get_object_info_{type}")["body"], web.get(f"/object_info/{type}"))
    )
    for data in (told, mine):
        for name in ("ckpt_name", "image"):  # which files there are
            if name in data["input"]["required"]:
                data["input"]["required"][name][0] = []
    assert mine == told


def test_refusals_are_as_recorded(web: Web) -> None:
    for case, told in recorded("post_prompt_errors").items():
        answer = web.client.post("/prompt", json=without(told["request"]["json"], set()))
        if case == "prompt_is_list":  # on which ComfyUI breaks
            assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_prompt"
            continue
        assert answer.status_code == told["status"], (case, answer.text)
        assert without(answer.json(), PROSE | DRAWN) == without(told["body"], PROSE | DRAWN), case
        if told["status"] == 200:
            past = web.past(answer.json()["prompt_id"])
            assert past["status"]["completed"] == (case == "coerced_and_extra_inputs_accepted"), past


def test_what_there_is_is_told_as_recorded(web: Web) -> None:
    def shape(data: Any) -> Any:
        if isinstance(data, dict):
            return {key: shape(value) for key, value in data.items()}
        return [shape(data[0])] if isinstance(data, list) and data else type(data).__name__

    mine, told = web.get("/features"), recorded("get_features")["body"]
    assert mine.keys() == told.keys() and mine["max_upload_size"] == web.service.options.upload_bytes
    mine, told = web.get("/system_stats"), recorded("get_system_stats")["body"]
    for name in ("required_frontend_version", "required_templates_version"):
        told["system"][name] = None  # nothing is asked for
    assert shape(mine) == shape(told)
    told = set(recorded("get_models")["body"]) - {"configs", "custom_nodes", "classifiers"}
    assert told <= set(web.get("/models")) == FOLDERS.keys()
    assert web.get("/models/checkpoints") == ["shapes"] and web.get("/embeddings") == ["shapes-valentine"]
    assert isinstance(recorded("get_models_checkpoints")["body"][0], str)


def test_uploads_are_named_as_recorded(web: Web) -> None:
    told = {case: (found["status"], found["body"]) for case, found in recorded("post_upload").items()}
    web.upload(png("yellow"), "original.png")
    original = json.dumps({"filename": "original.png", "subfolder": "", "type": "input"})
    mask = {"image": ("mask.png", png((0, 0, 0, 128), "RGBA"))}
    answers = {
        "first": web.upload(png("red")),
        "same_again": web.upload(png("red")),
        "different_content_same_name": web.upload(png("blue")),
        "overwrite_true": web.upload(png("green"), overwrite="true"),
        "subfolder_temp": web.upload(png("red"), subfolder="sub", type="temp"),
        "traversal": web.upload(png("red"), subfolder="../.."),
        "no_image": web.client.post("/upload/image", data={"type": "input"}),
        "upload_mask": web.client.post("/upload/mask", files=mask, data={"original_ref": original}),
    }
    assert answers.keys() == told.keys()
    for case, answer in answers.items():
        assert (answer.status_code, answer.json() if answer.content else "") == told[case], case
    assert web.client.get("/view", params={"filename": "a\0\1.png"}).status_code == 400
    masked = web.picture({"filename": "mask.png", "type": "input"})
    assert masked.convert("RGBA").getpixel((5, 5)) == (255, 255, 0, 128)
    assert web.picture({"filename": "mask.png", "type": "input"}, channel="rgb").mode == "RGB"
    assert web.picture({"filename": "mask.png", "type": "input"}, channel="a").getpixel((5, 5)) == (0, 0, 0, 128)
    assert web.picture({"filename": "up.png [input]"}, preview="webp;50").format == "WEBP"
    assert web.picture({"filename": "up.png", "type": "input"}).getpixel((0, 0)) == (0, 128, 0)


def test_a_prompt_becomes_pictures_and_a_history(web: Web) -> None:
    sent = without(recorded("png_text_chunks")["prompt"], set())  # of whose two outputs one lacks an input
    drawn = {"id": "drawn", "nodes": [], "links": []}
    secret = {"api_key_comfy_org": "comfyui-1", "auth_token_comfy_org": "a"}
    body = {"prompt": sent, "client_id": "me", "extra_data": {"extra_pnginfo": {"workflow": drawn}, **secret}}
    answer = web.client.post("/api/prompt", json=body).json()
    assert answer["node_errors"]["8"]["errors"][0]["type"] == "required_input_missing"
    past = web.past(answer["prompt_id"])
    number, id, prompt, extra, outputs = past["prompt"]
    assert (number, id, prompt, outputs) == (answer["number"], answer["prompt_id"], sent, ["7"])
    assert extra == {"client_id": "me", "extra_pnginfo": {"workflow": drawn}}
    (place,) = past["outputs"]["7"]["images"]
    assert place["type"] == "output" and place["filename"].startswith("api_0") and place["filename"].endswith("_.png")
    texts: Any = web.picture(place)
    assert json.loads(texts.text["prompt"]) == sent and json.loads(texts.text["workflow"]) == drawn
    names = [name for name, _ in past["status"]["messages"]]
    assert names == ["execution_start", "execution_cached", "execution_success"] and past["status"]["completed"]
    told = next(iter(recorded("get_history_max2")["body"].values()))
    assert past.keys() == told.keys() and past["status"].keys() == told["status"].keys()
    assert past["meta"]["7"] == {"node_id": "7", "display_node": "7", "parent_node": None, "real_node_id": "7"}
    again = web.run(sampled(seed=43) | {"9": {"class_type": "PreviewImage", "inputs": {"images": ["6", 0]}}})
    assert again["outputs"]["7"]["images"] != [place] and again["outputs"]["9"]["images"][0]["type"] == "temp"
    assert again["status"]["messages"][1][1]["nodes"] == ["1", "2", "3", "4"]
    seen = [web.picture(again["outputs"][node]["images"][0]).convert("RGB").tobytes() for node in ("7", "9")]
    assert seen[0] == seen[1] != texts.convert("RGB").tobytes()
    job = web.client.get(f"/v1/jobs/{id}").json()
    assert job["state"] == "done" and job["origin"] == "comfyui"


def test_a_batch_is_counted_on_and_names_are_read_again(web: Web) -> None:
    prompt = sampled(steps=1)
    prompt["4"]["inputs"]["batch_size"] = 2
    prompt["7"]["inputs"]["filename_prefix"] = "in/batch"
    places = web.run(prompt)["outputs"]["7"]["images"]
    assert [place["filename"] for place in places] == ["batch_00001_.png", "batch_00002_.png"]
    assert {place["subfolder"] for place in places} == {"in"}
    web.upload(png("purple"), "lies.png", subfolder="a/b")
    for name, wanted in (("in/batch_00002_.png [output]", web.picture(places[1])), ("a/b/lies.png", None)):
        (made,) = web.run(copied(name))["outputs"]["2"]["images"]
        pixels = web.picture(made).convert("RGB")
        assert (
            pixels.tobytes() == wanted.convert("RGB").tobytes() if wanted else pixels.getpixel((1, 1)) == (128, 0, 128)
        )
    read = copied("in/batch_00001_.png")
    read["1"]["class_type"] = "LoadImageOutput"
    assert web.run(read)["status"]["completed"]
    assert "a/b/lies.png" in web.get("/object_info/LoadImage")["LoadImage"]["input"]["required"]["image"][0]


def test_texts_are_outputs_and_targets_limit_what_runs(web: Web) -> None:
    shown = {id: {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}} for id in ("2", "3")}
    prompt = {"1": {"class_type": "PrimitiveInt", "inputs": {"value": 77}}, **shown}
    past = web.run(prompt, partial_execution_targets=["3"])
    told = next(iter(recorded("get_history_max2")["body"].values()))
    assert past["outputs"] == told["outputs"] and past["prompt"][4] == told["prompt"][4]


@pytest.mark.parametrize(
    ("node", "inputs", "kind", "details"),
    [
        ("1", {"ckpt_name": "gone.safetensors"}, "value_not_in_list", "ckpt_name: 'gone.safetensors' not in ['shapes']"),
        ("5", {"seed": "many"}, "invalid_input_type", "seed, many, invalid literal for int() with base 10: 'many'"),
        ("5", {"cfg": "nan"}, "invalid_input_type", "cfg, nan, it is not finite"),
        ("5", {"latent_image": ["1", 0]}, "return_type_mismatch", "latent_image, received_type(MODEL) mismatch input_type(LATENT)"),
        ("5", {"latent_image": ["4"]}, "bad_linked_input", "latent_image"),
        ("5", {"latent_image": ["99", 0]}, "bad_linked_input", "latent_image: there is no node 99"),
        ("5", {"latent_image": ["4", 3]}, "exception_during_inner_validation", "latent_image: node 4 has no output 3"),
        ("4", {"width": 16384, "height": 16384}, "custom_validation_failed", "pixels that this service makes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_node(web: Web, node: str, inputs: dict[str, Any], kind: str, details: str) -> None:
    prompt = sampled()
    prompt[node]["inputs"] |= inputs
    answer = web.client.post("/prompt", json={"prompt": prompt})
    assert answer.status_code == 400
    told = answer.json()["node_errors"]
    assert list(told) == [node] and told[node]["dependent_outputs"] == ["7"]
    (error,) = told[node]["errors"]
    assert (
        error["type"] == kind
        and details in error["details"]
        and error.keys() == {"type", "message", "details", "extra_info"}
    )


def test_prompts_that_cannot_be_are_refused(web: Web) -> None:
    circle = {
        id: {"class_type": "ImageInvert", "inputs": {"image": [other, 0]}} for id, other in (("1", "2"), ("2", "1"))
    } | {"3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}}}
    for body, kind in (
        ({"prompt": circle}, "prompt_outputs_failed_validation"),
        ({"prompt": copied("gone.png")}, "prompt_outputs_failed_validation"),
        ({"prompt": copied("../../../etc/passwd")}, "prompt_outputs_failed_validation"),
        ({"prompt": sampled(), "partial_execution_targets": ["6"]}, "prompt_no_outputs"),
        ({"prompt": sampled(), "prompt_id": "../x"}, "invalid_prompt"),
        ({"prompt": sampled(), "number": "first"}, "invalid_prompt"),
        ({"prompt": {"1": {"class_type": "SaveImage", "inputs": [1]}}}, "invalid_prompt"),
        ({"prompt": {"1": 5}}, "invalid_prompt"),
        ({"prompt": {"nodes": [], "links": []}}, "invalid_prompt"),
    ):
        answer = web.client.post("/prompt", json=body)
        assert answer.status_code == 400 and answer.json()["error"]["type"] == kind, (body, answer.text)
    many = {str(id): {"class_type": "ImageInvert", "inputs": {"image": [str(id - 1), 0]}} for id in range(1, 6_000)}
    saved = {
        f"s{id}": {"class_type": "SaveImage", "inputs": {"images": ["5999", 0], "filename_prefix": "a"}}
        for id in range(900)
    }
    large = web.client.post("/prompt", json={"prompt": {**many, **saved}})
    assert large.status_code == 400 and "nodes run" in large.json()["error"]["message"]
    lacking = sampled()
    del lacking["7"]["inputs"]["images"]
    told = web.client.post("/prompt", json={"prompt": lacking}).json()["error"]
    assert told["details"] == "Required input is missing: images"


# ---------------------------------------------------------------------------------------------- queue and history


def test_the_queue_is_ordered_and_changed(still: Web) -> None:
    image = still.upload(png("red")).json()["name"]
    ids = {name: still.submit(copied(image), prompt_id=name) for name in ("a", "b", "c", "d")}
    still.submit(copied(image), prompt_id="front", front=True)
    still.submit(copied(image), prompt_id="between", number=1.5)
    still.submit(copied(image), prompt_id="foremost", front=True)
    pending = still.get("/queue")["queue_pending"]
    assert [item[1] for item in pending] == ["foremost", "front", *list(ids)[:2], "between", *list(ids)[2:]]
    assert [item[0] for item in pending] == [-6, -4, 0, 1, 1.5, 2, 3]
    assert [type(part) for part in pending[0]] == [
        type(part) for part in recorded("get_queue_running")["body"]["queue_running"][0]
    ]
    assert still.get("/prompt") == {"exec_info": {"queue_remaining": 7}}
    still.post("/queue", {"delete": ["b", "none"]})
    still.post("/interrupt", {"prompt_id": "c"})  # which does not run
    assert [item[1] for item in still.get("/queue")["queue_pending"]][2:5] == ["a", "between", "c"]
    still.post("/api/queue", {"clear": True})
    assert still.get("/queue") == {"queue_running": [], "queue_pending": []} and still.get("/history") == {}


def test_a_running_prompt_is_interrupted(web: Web) -> None:
    id = web.submit(sampled(steps=10_000, seed=5))
    while [item[1] for item in web.get("/queue")["queue_running"]] != [id]:
        time.sleep(0.01)
    web.post("/interrupt", {"prompt_id": id})
    past = web.past(id)
    assert past["outputs"] == past["meta"] == {} and past["status"]["status_str"] == "error"
    name, data = past["status"]["messages"][-1]
    assert name == "execution_interrupted"
    assert data.keys() == {"prompt_id", "node_id", "node_type", "executed", "timestamp"}
    assert web.get(f"/api/jobs/{id}")["status"] == "cancelled"


def test_a_prompt_that_fails_says_at_which_node(web: Web) -> None:
    past = web.run(sampled(model="1"))
    name, data = past["status"]["messages"][-1]
    assert name == "execution_error" and (data["node_id"], data["node_type"]) == ("5", "KSampler")
    assert data.keys() == {
        "prompt_id", "node_id", "node_type", "executed", "exception_message", "exception_type", "traceback",
        "current_inputs", "current_outputs", "timestamp",
    }  # fmt: skip
    assert "model takes a link" in data["exception_message"]
    job = web.get(f"/api/jobs/{past['prompt'][1]}")
    assert job["status"] == "failed" and job["execution_error"] == data


def test_prompts_outlive_the_service(tmp_path: Path) -> None:
    with Web(tmp_path, workers=0) as web:
        web.upload(png("teal"))
        id = web.submit(copied("up.png"))
    with Web(tmp_path) as web:
        (place,) = web.past(id)["outputs"]["2"]["images"]
        other = web.run(copied("up.png"))
        assert other["prompt"][0] == 1 and other["outputs"]["2"]["images"][0]["filename"] == "copy_00002_.png"
        assert list(web.get("/history", max_items=1)) == [other["prompt"][1]]
        assert list(web.get("/history", max_items=1, offset=0)) == [id]
        listed = web.get("/api/jobs", status="completed", sort_order="asc", limit=1)
        assert listed["jobs"][0]["id"] == id and listed["jobs"][0]["preview_output"]["filename"] == place["filename"]
        assert listed["pagination"] == {"offset": 0, "limit": 1, "total": 2, "has_more": True}
        web.post("/history", {"delete": [id]})
        assert list(web.get("/history")) == [other["prompt"][1]]
        assert web.picture(place).getpixel((0, 0)) == (0, 128, 128)  # as in ComfyUI, files stay
        web.client.delete(f"/v1/jobs/{id}")  # and go with their jobs
        assert web.client.get("/view", params=place).status_code == 404
        gone = web.client.post("/prompt", json={"prompt": copied(f"{place['filename']} [output]")})
        assert gone.status_code == 400 and "kept no more" in gone.text
        web.post("/history", {"clear": True})
        assert web.get("/history") == {} and web.client.get("/api/jobs/none").status_code == 404


# --------------------------------------------------------------------------------------------------- the front end


NO_INPUTS = {
    "Any Switch (rgthree)", "BatchImagesNode", "Context Merge (rgthree)", "Context Merge Big (rgthree)",
    "Context Switch (rgthree)", "Context Switch Big (rgthree)", "Image Comparer (rgthree)",
}  # fmt: skip
"""Types that take as many links as a user draws: their own code in the front end adds an input for each."""
UNSEEN = {"EmptySegs", "BRIA_RMBG_ModelLoader_Zho"}
"""Types that have no inputs."""


def test_every_listed_type_is_whole(web: Web) -> None:
    told = web.get("/object_info")
    assert told.keys() == RULES.keys() and told["KSampler"] == web.get("/object_info/KSampler")["KSampler"]
    flip = told["ImageFlip+"]["input"]  # of a pack, whose rule has other names for its values
    assert flip == {"required": {"image": ["IMAGE", {}]}, "optional": {"axis": [["y", "x"], {"default": "y"}]}}
    made = told["FaceDetailer"]["input"][
        "optional"
    ]  # of a rule that is a function: what that asks for, in a file's order
    widgets = [
        name
        for name, (kind, _) in made.items()
        if isinstance(kind, list) or kind in ("INT", "FLOAT", "STRING", "BOOLEAN")
    ]
    assert widgets[:6] == ["guide_size", "guide_size_for", "max_size", "seed", "steps", "cfg"]
    assert (
        made["model"][0] == "MODEL" and made["seed"][1]["control_after_generate"] and "euler" in made["sampler_name"][0]
    )
    assert told["ImageResizeKJ"]["output"] == ["IMAGE", "INT", "INT", "MASK"]
    nothing = {type for type, info in told.items() if not any(info["input"].values()) and isinstance(RULES[type], Made)}
    assert nothing == NO_INPUTS | UNSEEN
    for type, info in told.items():
        assert info["name"] == type and len(info["output"]) == len(info["output_name"]) == len(info["output_is_list"])
        for section, inputs in info["input"].items():
            assert list(inputs) == info["input_order"][section]
            assert section == "hidden" or all(isinstance(config[0], str | list) for config in inputs.values()), type


def test_the_front_end_keeps_files_and_settings(still: Web) -> None:
    assert still.get("/users") == {"storage": "server", "migrated": True}
    still.post("/settings", {"Comfy.Locale": "en", "more": 1})
    still.post("/settings/more", [2])
    assert still.get("/settings") == {"Comfy.Locale": "en", "more": [2]} and still.get("/settings/more") == [2]
    client, path = still.client, "/userdata/workflows%2Fmine.json"
    assert client.get("/userdata", params={"dir": "workflows"}).status_code == 404
    told = client.post(f"{path}?overwrite=false&full_info=true", content=b'{"a": 1}').json()
    assert told["path"] == "workflows/mine.json" and told["size"] == 8
    assert client.post(f"{path}?overwrite=false", content=b"{}").status_code == 409
    assert still.get("/userdata", dir="workflows", recurse="true") == ["mine.json"]
    assert still.get("/userdata", dir="workflows", full_info="true")[0]["path"] == "mine.json"
    assert client.post(f"{path}/move/workflows%2Fyours.json").json() == "workflows/yours.json"
    assert still.get("/v2/userdata", path="workflows")[0]["type"] == "file" and client.get(path).status_code == 404
    assert client.get("/userdata/workflows%2Fyours.json").json() == {"a": 1}
    assert client.delete("/userdata/workflows%2Fyours.json").status_code == 204
    assert client.post("/userdata/..%2Fx", content=b"{}").status_code == 400

"""Jobs as ComfyUI's queue and history have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from graphflow.jobs.job import Job
from graphflow.service.app import SHOWN
from graphflow.service.comfyui.desk import Desk, Prompted, native_of
from graphflow.service.comfyui.messages import Before, literals
from graphflow.service.comfyui.names import Place

_RAISED = re.compile(r"(?P<type>[A-Za-z_.]*(?:Error|Exception)): (?P<text>.*)", re.DOTALL)
_KINDS = {"image": "images", "video": "images", "audio": "audio"}
_ANIMATED = frozenset({".mp4", ".webm", ".gif"})


def queue_item(job: Job) -> list[Any]:
    """Return a job as an item of the queue: number, id, prompt, what was sent beside it, and the output nodes."""
    told = Prompted.of(job)
    return [told.number, job.id, dict(told.prompt), dict(told.extra_data), list(told.outputs)]


def entry(desk: Desk, job: Job) -> dict[str, Any]:
    """Return a job that is over as the history has it."""
    outputs = outputs_of(desk, job)
    return {
        "prompt": queue_item(job),
        "outputs": outputs,
        "status": {
            "status_str": "success" if job.state == "done" else "error",
            "completed": job.state == "done",
            "messages": [[name, data] for name, data in messages(desk, job)],
        },
        "meta": {
            node: {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node} for node in outputs
        },
    }


def outputs_of(desk: Desk, job: Job) -> dict[str, dict[str, list[Any]]]:
    """Return what each node of a prompt gave to be seen, by node: files as places, texts as they are."""
    result = job.result or {}
    types = result.get("nodes", {})
    texts: dict[str, list[str]] = {}
    for notice in result.get("notices", ()):
        native, _, text = notice.partition(": ")
        texts.setdefault(native, []).append(text)
    return shown(Prompted.of(job), desk.files(job), texts, types)


def shown(
    told: Prompted,
    files: Iterable[tuple[str, Place]],
    texts: Mapping[str, Sequence[str]],
    types: Mapping[str, str],
) -> dict[str, dict[str, list[Any]]]:
    """Return what nodes of a prompt gave to be seen, by node.

    Args:
        told: The prompt.
        files: The native node that wrote each file, and what clients call it.
        texts: What native nodes gave notice of.
        types: The types of native nodes.
    """
    found: dict[str, dict[str, list[Any]]] = {}
    for native, place in files:
        node = told.node(native)
        if node is None:
            continue
        suffix = place.filename[place.filename.rfind(".") :].lower()
        kind = _KINDS.get(SHOWN.get(suffix, "").partition("/")[0], "latents" if suffix == ".latent" else "files")
        seen = found.setdefault(node, {})
        seen.setdefault(kind, []).append(place.to_json())
        if kind == "images" and (types.get(native) == "save_video" or suffix in _ANIMATED):
            seen["animated"] = [True]
    for native, given in texts.items():
        if types.get(native) == "show" and (node := told.node(native)) is not None:  # it tells what it shows as notices
            found.setdefault(node, {}).setdefault("text", []).extend(given)
    return {node: found[node] for node in told.outputs if node in found}


def cached(told: Prompted, job: Job) -> list[str]:
    """Return the nodes of a prompt of which nothing had to be computed."""
    result = job.result or {}
    if job.state != "done":
        return told.nodes_of(list(result.get("cached", {})))
    ran = set(told.nodes_of(list(result.get("seconds", {}))))
    before = Before(told.prompt)
    ran -= {node for node in told.outputs if not before.of([node]) - {node} & ran}  # it was written again
    live = dict.fromkeys(node for nodes in told.origins.values() for node in nodes)
    return [node for node in told.prompt if node in live and node not in ran]


def messages(desk: Desk, job: Job) -> list[tuple[str, dict[str, Any]]]:
    """Return what a client is told of a job as a whole: that it began, what was cached, how it ended."""
    told = Prompted.of(job)

    def at(seconds: float | None) -> dict[str, Any]:
        return {"prompt_id": job.id, "timestamp": round(1000 * (seconds or job.created))}

    made: list[tuple[str, dict[str, Any]]] = []
    if job.started is not None:
        made.append(("execution_start", at(job.started)))
        made.append(("execution_cached", {"nodes": cached(told, job), **at(job.started)}))
    if job.state == "done":
        made.append(("execution_success", at(job.finished)))
    elif job.final:
        native, done = desk.names.stopped(job.id)
        node, executed = told.node(native), told.nodes_of(done)
        if job.state == "failed":
            error = job.error or {}
            node = told.node(error.get("node") or native_of(_first_path(error))) or node or told.blamed
            made.append(
                (
                    "execution_error",
                    {
                        **_failure(told, node, desk.service.told(error)),
                        **_where(told, node, executed),
                        **at(job.finished),
                    },
                )
            )
        else:
            made.append(("execution_interrupted", {**_where(told, node, executed), **at(job.finished)}))
    return made


def _where(told: Prompted, node: str | None, executed: list[str]) -> dict[str, Any]:
    return {"node_id": node, "node_type": told.type(node), "executed": executed}


def _failure(told: Prompted, node: str | None, error: Mapping[str, Any]) -> dict[str, Any]:
    problems = [f"{problem['path']}: {problem['message']}" for problem in error.get("problems") or ()]
    text = "\n".join(part for part in (str(error.get("message") or ""), *problems, error.get("advice") or "") if part)
    raised = _RAISED.fullmatch(text)
    return {
        "exception_message": f"{raised['text'] if raised else text}\n",
        "exception_type": raised["type"] if raised else "GraphflowError",
        "traceback": [],
        "current_inputs": {} if node is None else literals(told.prompt, node),
        "current_outputs": list(told.prompt),
    }


def _first_path(error: Mapping[str, Any]) -> str:
    return next((str(problem["path"]) for problem in error.get("problems") or ()), "")

"""What the index knows of a file: prompts, seeds, models, the files that it was made from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphflow.basics.jsontools import as_table, read_table
from graphflow.basics.regular import open_regular
from graphflow.document import infotext
from graphflow.document.embedded import RECORD_KEYWORD, SIDECAR, WORKFLOW_KEYWORD, embedded_texts
from graphflow.limits import LIMITS

SUFFIXES = frozenset({".png", ".webp", ".jpg", ".jpeg", ".gif", ".wav", ".mp4", ".webm", ".latent"})
_MODEL_ENDINGS = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin")


@dataclass
class Facts:
    """What a file tells.

    Attributes:
        workflow: The workflow's name.
        prompts: The texts that models were given.
        seeds: The seeds.
        models: (name, kind) and the SHA-256 of the model's files.
        sources: (name, SHA-256) of the user's files that it was made from.
    """

    workflow: str = ""
    prompts: list[str] = field(default_factory=list)
    seeds: set[int] = field(default_factory=set)
    models: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


def facts_of(path: Path) -> Facts | None:
    """Return what a file tells; None where it cannot be read or tells nothing."""
    try:
        with open_regular(path) as stream:
            texts = embedded_texts(stream) or {}
        beside = path.with_name(path.name + SIDECAR)
        if WORKFLOW_KEYWORD not in texts and beside.is_file():
            with open_regular(beside) as stream:
                texts |= {key: json.dumps(part) for key, part in json.loads(stream.read(LIMITS.document_bytes)).items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    facts = Facts()
    if workflow := read_table(texts.get(WORKFLOW_KEYWORD)):
        facts.workflow = str(workflow.get("name") or "")
        for nodes in _graphs(workflow):
            for entry in nodes.values():
                _take(facts, as_table(as_table(entry).get("params")), foreign=False)
        _take_record(facts, read_table(texts.get(RECORD_KEYWORD)))
    elif prompt := read_table(texts.get("prompt")):
        for entry in prompt.values():
            _take(facts, as_table(as_table(entry).get("inputs")), foreign=True)
    elif (info := infotext.parse(infotext.in_texts(texts))) is not None:
        facts.prompts += [text for text in (info.prompt, info.negative) if text]
        with suppress(ValueError):
            facts.seeds.add(int(info.settings.get("Seed", "")))
        if name := info.settings.get("Model"):
            facts.models[name, "checkpoint"] = ()
        facts.models |= {(one.name, "lora"): () for one in info.networks() if one.kind in infotext.LORAS}
    else:
        return None
    return facts


def _graphs(workflow: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the nodes of a workflow and of its inner ones."""
    pending = [workflow]
    while pending:
        current = pending.pop()
        yield as_table(current.get("nodes"))
        pending += [inner for inner in as_table(current.get("workflows")).values() if isinstance(inner, Mapping)]


def _take(facts: Facts, params: Mapping[str, Any], *, foreign: bool) -> None:
    for name, value in params.items():
        if isinstance(value, str) and value and ("text" in name or "prompt" in name):
            facts.prompts.append(value)
        elif isinstance(value, int) and name.endswith("seed") and not isinstance(value, bool):
            facts.seeds.add(value)
        elif foreign and isinstance(value, str) and value.lower().endswith(_MODEL_ENDINGS):
            facts.models[value, "lora" if "lora" in name else name.removesuffix("_name")] = ()


def _take_record(facts: Facts, record: Mapping[str, Any]) -> None:
    for name, model in as_table(record.get("models")).items():
        files = as_table(as_table(model).get("files")).values()
        digests = tuple(str(as_table(file).get("sha256", "")) for file in files)
        facts.models[name, str(as_table(model).get("kind", ""))] = digests
    for name, digest in as_table(record.get("files")).items():
        if all(name != known for known, _ in facts.models):
            facts.sources[name] = str(digest)

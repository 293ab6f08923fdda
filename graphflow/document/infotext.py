"""Generation parameters as the web interface of AUTOMATIC1111 writes them into pictures, and its kin: "infotext".

Prompt, then ``Negative prompt: …``, then one line of ``Name: value`` pairs that begins with ``Steps:``; values with commas
are quoted as JSON (https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features#png-info).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

_NEGATIVE = "Negative prompt:"
_PAIR = re.compile(r'\s*([A-Za-z][\w \-/.]*?):\s*("(?:[^"\\]|\\.)*"|[^,]*)(?:,|$)')
LORAS = frozenset({"lora", "lyco"})
"""Kinds of networks that are LoRAs."""
_NETWORK = re.compile(r"<(\w+):([^<>]+)>")


@dataclass(frozen=True)
class Network:
    """A network that a prompt names, ``<lora:NAME:0.8>``.

    Attributes:
        kind: What it is, in lower case: ``lora``, ``lyco``, ``hypernet``, or something else.
        name: Its name.
        values: What stands behind the name, as it was typed: the strength, of LoRAs that of the text encoder and another
            of the model.
    """

    kind: str
    name: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"<{':'.join((self.kind, self.name, *self.values))}>"


@dataclass(frozen=True)
class Infotext:
    """What an infotext says.

    Attributes:
        prompt: The prompt, as it was typed.
        negative: The negative prompt.
        settings: The pairs of its last line, in order.
    """

    prompt: str
    negative: str
    settings: Mapping[str, str]

    def networks(self) -> list[Network]:
        """Return the networks that the prompt names, in order."""
        found = ((kind, *(part.strip() for part in rest.split(":"))) for kind, rest in _NETWORK.findall(self.prompt))
        return [Network(kind.lower(), name, tuple(values)) for kind, name, *values in found]

    def plain_prompt(self) -> str:
        """Return the prompt without the networks that it names."""
        return _NETWORK.sub("", self.prompt).strip()


def parse(text: str) -> Infotext | None:
    """Read an infotext; None where the text is none."""
    before, steps, rest = text.replace("\r\n", "\n").rpartition("Steps: ")
    if not steps or (before and not before.endswith("\n")):
        return None
    settings: dict[str, str] = {}
    for name, value in _PAIR.findall((steps + rest).replace("\n", " ")):
        if value.startswith('"'):
            with suppress(ValueError):
                value = str(json.loads(value))
        settings.setdefault(name.strip(), value.strip())
    prompt, found, negative = before.rpartition(f"\n{_NEGATIVE}") if f"\n{_NEGATIVE}" in before else ("", "", "")
    if not found and before.startswith(_NEGATIVE):
        prompt, negative = "", before.removeprefix(_NEGATIVE)
    elif not found:
        prompt = before
    return Infotext(prompt.strip(), negative.strip(), settings)


def in_texts(texts: Mapping[str, str]) -> str:
    """Return the infotext among the texts that a picture carries; empty where there is none."""
    text = texts.get("parameters") or texts.get("usercomment", "")
    return text if "Steps: " in text else ""

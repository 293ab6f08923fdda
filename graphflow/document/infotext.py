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
_LORA = re.compile(r"<(?:lora|lyco):([^:<>]+)(?::([-+.\d]+))?[^<>]*>")


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

    def loras(self) -> list[tuple[str, float]]:
        """Return names and strengths of the LoRAs that the prompt names."""
        return [(name.strip(), _number(strength, 1.0)) for name, strength in _LORA.findall(self.prompt)]

    def plain_prompt(self) -> str:
        """Return the prompt without the LoRAs that it names."""
        return _LORA.sub("", self.prompt).strip()


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


def _number(text: str, default: float) -> float:
    try:
        return float(text)
    except ValueError:
        return default

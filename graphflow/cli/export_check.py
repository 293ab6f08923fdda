"""Whether an exported script draws what the workflow draws: both run in processes of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graphflow.errors import GraphflowError, InvalidInputError

if TYPE_CHECKING:
    from graphflow.planning.expand import Expanded
    from graphflow.session import Session

_ON_THE_HUB = re.compile(
    r"LocalEntryNotFoundError|OfflineModeIsEnabled|couldn't connect to|Can't load \S*[tT]okenizer"
    r"|vocabulary of the tokenizer is not here"
)
"""What libraries say who cannot get a file of the Hub."""
BOUND = 1 / 255
"""Most that a channel of a pixel may differ, of 1: both sides round once."""


@dataclass(frozen=True)
class Compared:
    """What a comparison found.

    Attributes:
        pictures: How many pictures there are.
        identical: How many have the same pixels.
        worst: The largest difference of a channel of a pixel, of 1.
        judged: Whether the difference counts: not on a GPU, whose half precision differs more.
    """

    pictures: int
    identical: int
    worst: float
    judged: bool

    @property
    def ok(self) -> bool:
        """Whether the script passes."""
        return not self.judged or self.worst <= BOUND

    def say(self) -> str:
        """One sentence."""
        what = f"{self.identical} of {self.pictures} pictures identical"
        if self.identical < self.pictures:
            what += f"; the largest difference is {self.worst * 255:.0f} of 255"
        return what if self.judged else f"{what} (on a GPU: reported, not judged)"


def compare(
    code: str,
    expanded: Expanded,
    session: Session,
    safety: str | None,
    folder: Path | None,
    input_folder: Path | None,
) -> Compared:
    """Run both and compare their pictures.

    Raises:
        GraphflowError: One of them fails, or they make different numbers of pictures.
    """
    on_cpu = session.numerics.device == "cpu"
    with tempfile.TemporaryDirectory(prefix="graphflow-check-") as work:
        place = Path(work)
        (place / "script.py").write_text(code, "utf-8")
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if on_cpu else {}
        if session.settings.offline:
            hidden["HF_HUB_OFFLINE"] = "1"
        _run([sys.executable, str(place / "script.py"), "--out", str(place / "script")], "the script", hidden)
        ours = session.run(
            expanded,
            out=place / "engine",
            safety=safety,  # type: ignore[arg-type]
            folder=folder,
            input_folder=input_folder,
        ).paths
        theirs = sorted((place / "script").iterdir(), key=lambda path: (path.stat().st_mtime_ns, path.name))
        return _compared(ours, theirs, judged=on_cpu)


def _run(command: list[str], what: str, variables: Mapping[str, str]) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **variables},
        check=False,
    )
    if done.returncode and _ON_THE_HUB.search(done.stderr):
        raise InvalidInputError(
            f"{what} needs configs or tokenizers that Diffusers takes from the Hub, and they are neither in its cache nor"
            " can they be got now",
            advice="run it once with a connection, which leaves them in the cache; graphflow itself does without them",
        )
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-3:]
        raise GraphflowError(f"{what} fails: {' / '.join(last) or done.returncode}")


def _compared(ours: list[Path], theirs: list[Path], *, judged: bool) -> Compared:
    import numpy as np
    import PIL.Image

    if len(ours) != len(theirs):
        raise GraphflowError(f"the workflow makes {len(ours)} pictures, the script {len(theirs)}")
    if not ours:
        raise InvalidInputError("there is no picture to compare")
    identical, worst = 0, 0.0
    for one, other in zip(ours, theirs, strict=True):
        a, b = (np.asarray(PIL.Image.open(path).convert("RGBA"), dtype=np.int16) for path in (one, other))
        if a.shape != b.shape:
            raise GraphflowError(
                f"the workflow makes a picture of {json.dumps(a.shape)}, the script {json.dumps(b.shape)}"
            )
        difference = int(np.abs(a - b).max())
        identical += difference == 0
        worst = max(worst, difference / 255)
    return Compared(len(ours), identical, worst, judged)

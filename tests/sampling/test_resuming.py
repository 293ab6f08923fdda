"""A sampler that is stopped anywhere and goes on from its tape ends bit for bit where it would have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from graphflow.errors import StaleTapeError
from graphflow.sampling.guidance import AwayFromVariation, ClassifierFree, Modifier
from graphflow.sampling.loop import Sampled, sample
from graphflow.sampling.modifiers import AdaptiveProjected
from graphflow.sampling.names import SAMPLER_NAMES
from graphflow.sampling.noise import initial_noise
from graphflow.sampling.prediction import ModelSampling
from graphflow.sampling.resuming import Resuming
from graphflow.sampling.schedules import make_sigmas
from graphflow.store import tapes
from graphflow.store.tapes import Tape
from tests.sampling.toy import DISCRETE, FLOW, RecordingModel, conditioning, entry

SHAPE = (2, 4, 4, 4)


class StoppedError(Exception):
    """The process ends here."""


@dataclass
class Drawing(RecordingModel):
    """A network whose hook draws a number at every evaluation, and that can be stopped before one."""

    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))
    stop: int | None = None

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if len(self.calls) == self.stop:
            raise StoppedError
        drawn = torch.rand((), generator=self.generator)
        return super().__call__(x, *args, **kwargs).tanh() + 0.1 * drawn


def run(model: Drawing, name: str, sampling: ModelSampling, tape: Tape | None = None, seed: int = 7) -> Sampled:
    modifiers: list[Modifier] = [
        AdaptiveProjected(eta=0.5, norm_threshold=5.0, momentum=-0.5),
        AwayFromVariation(variation="weak", scale=0.5, end=0.6),
    ]
    if tape is not None:
        tape.rewind()
    result = sample(
        model,
        sampling,
        positive=conditioning(entry(0.3)),
        negative=conditioning(entry(-0.3)),
        guider=ClassifierFree(scale=3.0),
        modifiers=modifiers,
        sampler=name,
        sigmas=make_sigmas("normal", sampling, 4),
        latent=torch.zeros(SHAPE),
        noise=initial_noise(SHAPE, seed),
        seed=seed,
        resuming=None if tape is None else Resuming(tape, [model.generator], "cpu", lambda message: None),
    )
    if tape is not None:
        tape.finish()
    return result


@pytest.fixture
def open_tape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Tape]]:
    """Open a tape as the next process would; what was kept is written at once."""
    monkeypatch.setattr(tapes, "FLUSH_SECONDS", 0.0)
    return lambda: Tape(str(tmp_path / "tape"), 1 << 20)  # type: ignore[return-value]


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_every_sampler_goes_on_bit_for_bit(name: str, open_tape: Callable[[], Tape]) -> None:
    for sampling, share in [(DISCRETE, 0.8), (FLOW, 0.4)]:
        whole = Drawing()
        wanted = run(whole, name, sampling)
        total = len(whole.calls)
        stop = int(total * share)
        with pytest.raises(StoppedError):
            run(Drawing(stop=stop), name, sampling, open_tape())
        again, tape = Drawing(), open_tape()
        found = run(again, name, sampling, tape)
        assert torch.equal(found.latent, wanted.latent) and torch.equal(found.denoised, wanted.denoised)
        assert len(again.calls) == total - stop
        tape.remove()


def test_what_does_not_fit_is_never_used(open_tape: Callable[[], Tape], tmp_path: Path) -> None:
    wanted = run(Drawing(), "euler", DISCRETE)
    # Another computation from its first evaluation on: the tape begins anew.
    with pytest.raises(StoppedError):
        run(Drawing(stop=4), "euler", DISCRETE, open_tape(), seed=8)
    assert torch.equal(run(Drawing(), "euler", DISCRETE, open_tape()).latent, wanted.latent)
    # It parts on the way, or ends earlier: everything is asked again.
    with pytest.raises(StaleTapeError):
        run(Drawing(), "heun", DISCRETE, open_tape())
    assert not open_tape().recall(b"")
    run(Drawing(), "euler", DISCRETE, tape := open_tape())
    tape.keep(b"more", {})
    with pytest.raises(StaleTapeError):
        run(Drawing(), "euler", DISCRETE, open_tape())


@pytest.mark.parametrize("change", ["cut", "flip", "zeros", "nothing"])
def test_a_record_that_is_not_whole_is_left_out_with_what_follows(
    change: str, open_tape: Callable[[], Tape], tmp_path: Path
) -> None:
    wanted = run(Drawing(), "dpmpp_2m", DISCRETE, open_tape())
    file = tmp_path / "tape"
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    match change:
        case "cut":
            del data[middle:]
        case "flip":
            data[middle] ^= 1
        case "zeros":
            data[middle:] = bytes(len(data) - middle)
        case "nothing":
            data.clear()
    file.write_bytes(data)
    model = Drawing()
    found = run(model, "dpmpp_2m", DISCRETE, open_tape())
    assert torch.equal(found.latent, wanted.latent) and len(model.calls) > 1
    once_more = Drawing()
    run(once_more, "dpmpp_2m", DISCRETE, open_tape())
    assert not once_more.calls  # the file was mended


def test_what_would_be_too_large_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tapes, "FLUSH_SECONDS", 0.0)
    tape = Tape(str(tmp_path / "tape"), 20_000)
    run(Drawing(), "euler", DISCRETE, tape)
    size = (tmp_path / "tape").stat().st_size
    assert 0 < size <= 20_000
    model = Drawing()
    run(model, "euler", DISCRETE, Tape(str(tmp_path / "tape"), 20_000))
    assert len(model.calls) > 0 and (tmp_path / "tape").stat().st_size == size


def test_what_is_over_soon_writes_nothing(tmp_path: Path) -> None:
    tape = Tape(str(tmp_path / "tape"), 1 << 20)
    run(Drawing(), "euler", DISCRETE, tape)
    assert not list(tmp_path.iterdir())
    tape.close()
    assert list(tmp_path.iterdir())

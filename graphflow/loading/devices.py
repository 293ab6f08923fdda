"""Which device computes, in which dtype, and how much memory there is."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from graphflow.basics.device_names import ALL, kind_of
from graphflow.errors import SettingsError
from graphflow.modelfiles.families import installed
from graphflow.settings import Dtype, Settings

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and in what modules compute.

    Attributes:
        device: The compute device.
        dtype: What the user asked for; None: what suits device and family.
    """

    device: torch.device
    dtype: torch.dtype | None = None

    @property
    def offloads(self) -> bool:
        """Whether there is another memory to move weights to."""
        return str(self.device.type) != "cpu"

    def dtype_for(self, family: str | None) -> torch.dtype:
        """Dtype of a family's arithmetic: half precision on an accelerator, bfloat16 where float16 overflows."""
        if self.dtype is not None:
            return self.dtype
        if self.device.type == "cpu":
            return torch.float32
        known = installed().get(family or "")
        return torch.float16 if known is None else _DTYPES[known.half]


def place(device: str = "auto", dtype: Dtype = "auto") -> Placement:
    """Settle where to compute.

    Args:
        device: `auto`, `cpu`, `cuda`, `cuda:N`, `mps` or `xpu`.
        dtype: `auto`, or the dtype for everything.

    Raises:
        SettingsError: This machine has no such device.
    """
    found = torch.device(best_device() if device == "auto" else device)
    if device != "auto" and not _has(found):
        raise SettingsError(
            f"torch finds no device {device!r} on this machine, but {', '.join(map(repr, _there_are()))}",
            where="device",
            advice="use what there is, or install a torch build for this device",
        )
    return Placement(found, _DTYPES.get(dtype))


def place_parts(settings: Settings) -> dict[str, Placement]:
    """Settle where parts compute that do not stand where networks sample.

    Raises:
        SettingsError: This machine has no such device.
    """
    found: dict[str, Placement] = {}
    for part, device in settings.part_devices.items():
        try:
            found[part] = place(device, settings.dtype)
        except SettingsError as error:
            raise SettingsError(error.message, where=f"part_devices.{part}", advice=error.advice) from error
    return found


def find_devices(settings: Settings) -> Sequence[str]:
    """Return the devices that the settings have compute at the same time, by name."""
    if settings.device_names != (ALL,):
        return settings.device_names
    kind = kind_of(str(place(settings.device).device))
    return [name for name in _there_are() if kind_of(name) == kind]


def _there_are() -> list[str]:
    """Return the names of all devices."""
    counts = {"cuda": torch.cuda.device_count, "xpu": torch.xpu.device_count}
    several = (
        f"{kind}:{index}" for kind, count in counts.items() if _has(torch.device(kind)) for index in range(count())
    )
    return [*several, *(name for name in ("mps", "cpu") if _has(torch.device(name)))]


def best_device() -> str:
    """The accelerator that torch finds, else `cpu`."""
    for name in ("cuda", "xpu", "mps"):
        if _has(torch.device(name)):
            return name
    return "cpu"


def main_memory() -> int:
    """Bytes of the machine's memory; 8 GB where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 10**9


def device_memory(device: torch.device) -> int:
    """Bytes of a device's memory; the main memory's where it has none of its own."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if device.type == "xpu":
        return int(torch.xpu.get_device_properties(device).total_memory)
    return main_memory()


def free_memory(device: torch.device) -> int | None:
    """Bytes of a device's memory that are free now; None where the system does not tell."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # what torch holds in reserve without using it is free, too
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    if device.type != "cpu":
        return None
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith("MemAvailable:")), "")
    return int(found.split()[1]) * 1024 if found else None


def release_cached(device: torch.device) -> None:
    """Give memory that nobody uses back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "xpu":
        torch.xpu.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _has(device: torch.device) -> bool:
    match device.type:
        case "cpu":
            return True
        case "cuda":
            return bool(torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count())
        case "xpu":
            return bool(torch.xpu.is_available())
        case "mps":
            return bool(torch.backends.mps.is_available())
        case _:
            return False

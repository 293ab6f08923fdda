"""Options that several commands share, and the session that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from graphflow.basics.importing import collector_paused
from graphflow.cli import completing
from graphflow.errors import InvalidInputError

if TYPE_CHECKING:
    from graphflow.session import Session
    from graphflow.settings import Settings

WORKFLOW = "The workflow"
SETTINGS = "Settings"
SWEEP = "Many variants"

WorkflowName = Annotated[
    str,
    typer.Argument(
        metavar="WORKFLOW",
        show_default=False,
        autocompletion=completing.workflow_files,
        help="A JSON file, a picture that graphflow saved, a ComfyUI file (JSON, PNG, WebP, video), the name of a packaged workflow, or - for standard input.",
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input", "-i", metavar="NAME=VALUE", rich_help_panel=WORKFLOW, autocompletion=completing.input_assignments,
        help='Set an input that the workflow exposes, e.g. -i prompt="a red circle" -i seed=7. Repeat for more.',
    ),
]  # fmt: skip
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NODE.PARAM=VALUE", rich_help_panel=WORKFLOW, autocompletion=completing.parameter_assignments,
        help="Set one parameter of one node, e.g. --set sample.steps=30. Repeat for more.",
    ),
]  # fmt: skip
InputDir = Annotated[
    Path | None,
    typer.Option(
        "--input-dir", exists=True, file_okay=False, metavar="DIR", rich_help_panel=WORKFLOW,
        help="A folder in which the workflow's file names resolve, beside its own.",
    ),
]  # fmt: skip
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target", metavar="ADDRESS", rich_help_panel=WORKFLOW, autocompletion=completing.node_ids,
        help="Compute only this node or node.output, instead of everything that writes and every output that text can show. Repeat for more.",
    ),
]  # fmt: skip
Packs = Annotated[
    list[Path] | None,
    typer.Option(
        "--nodes", metavar="FILE", rich_help_panel=WORKFLOW,
        help="A Python file with more node types. It is run, so name only files that you trust. Repeat for more.",
    ),
]  # fmt: skip
SafetyOption = Annotated[
    Literal["auto", "require", "off"] | None,
    typer.Option(
        "--safety", rich_help_panel=SETTINGS, show_default=False,
        help="auto checks pictures where a safety checker is at hand, require refuses what nobody can check, off never checks.",
    ),
]  # fmt: skip
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", rich_help_panel=SETTINGS, help="auto, cpu, cuda, cuda:N, mps or xpu."),
]
Devices = Annotated[
    str | None,
    typer.Option(
        "--devices", metavar="NAMES", rich_help_panel=SETTINGS,
        help="Devices that compute at the same time: cuda:0,cuda:1, cpu*2, or all. A model is loaded on a second one where that pays.",
    ),
]  # fmt: skip
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster", metavar="<local|HOST:PORT>", rich_help_panel=SETTINGS,
        help="Run what is for a device on the workers of a Ray cluster; local starts one on this machine, local*2 with two workers.",
    ),
]  # fmt: skip
DtypeOption = Annotated[
    Literal["auto", "float32", "float16", "bfloat16"] | None,
    typer.Option(
        "--dtype", rich_help_panel=SETTINGS, show_default=False,
        help="What models compute in; auto is half precision on a GPU and float32 on the CPU.",
    ),
]  # fmt: skip
ModelDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--models", exists=True, metavar="DIR", rich_help_panel=SETTINGS,
        help="A folder with models, or ComfyUI's extra_model_paths.yaml; searched before those of the settings. Repeat for more.",
    ),
]  # fmt: skip
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir", file_okay=False, metavar="DIR", rich_help_panel=SETTINGS, help="Where results are kept."
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", metavar="", rich_help_panel=SETTINGS, help="Never touch the network.")
]
Download = Annotated[
    bool,
    typer.Option(
        "--download", metavar="", rich_help_panel=SETTINGS,
        help="Fetch models from the Hub that only the workflow names; those given with -i or --set are fetched anyway.",
    ),
]  # fmt: skip
StandIn = Annotated[
    bool,
    typer.Option(
        "--stand-in", metavar="", rich_help_panel=SETTINGS,
        help="Let tiny random weights stand in for model files that are not there, to try a workflow without them; what it makes shows nothing and is marked.",
    ),
]  # fmt: skip
NoCache = Annotated[
    bool,
    typer.Option(
        "--no-cache", metavar="", rich_help_panel=SETTINGS, help="Use no stored results and store none on disk."
    ),
]
Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic", metavar="", rich_help_panel=SETTINGS,
        help="Ask torch for kernels that give the same bits every time; it warns where it has none.",
    ),
]  # fmt: skip
ReportOption = Annotated[
    bool,
    typer.Option(
        "--report", metavar="", rich_help_panel=WORKFLOW,
        help="Of a ComfyUI workflow: say what became of every node, with all remarks; without it one line tells how many there are.",
    ),
]  # fmt: skip
Vary = Annotated[
    list[str] | None,
    typer.Option(
        "--vary", metavar="NAME=VALUES", rich_help_panel=SWEEP, autocompletion=completing.input_assignments,
        help='Run once for each value of an input or NODE.PARAM: seed=1..8, guidance_scale=3,5,7, prompt=@FILE (one a line), prompt=["a, b", "c"]. Several are combined, each with each.',
    ),
]  # fmt: skip
Zip = Annotated[
    bool,
    typer.Option(
        "--zip", metavar="", rich_help_panel=SWEEP,
        help="Take the values of all --vary and --rows side by side, the first of each with the first of the others.",
    ),
]  # fmt: skip
Rows = Annotated[
    Path | None,
    typer.Option(
        "--rows", exists=True, dir_okay=False, metavar="FILE", rich_help_panel=SWEEP,
        help="Run once for each line of a .csv file, whose first line names inputs or NODE.PARAM, or of a .jsonl file.",
    ),
]  # fmt: skip
BatchSize = Annotated[
    str | None,
    typer.Option(
        "--batch", metavar="<auto|N>", rich_help_panel=SWEEP,
        help="Sample up to N variants at once that differ in seed and prompt only; auto: as many as make it faster. Pictures may differ from single ones by rounding.",
    ),
]  # fmt: skip
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", metavar="", rich_help_panel=SWEEP,
        help="Run nothing: say how many variants, nodes, sampling steps and bytes of weights there would be, and what --batch samples at once.",
    ),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON for programs.")]


@dataclass(frozen=True)
class What:
    """Which workflow, with which values, and how much of it."""

    workflow: WorkflowName
    inputs: Inputs = None
    sets: Sets = None
    input_dir: InputDir = None
    targets: Targets = None
    safety: SafetyOption = None
    report: ReportOption = False


@dataclass(frozen=True)
class Varied:
    """What is varied, for a run of each variant."""

    vary: Vary = None
    zip: Zip = False
    rows: Rows = None
    batch: BatchSize = None
    dry_run: DryRun = False

    def __bool__(self) -> bool:
        return bool(self.vary or self.rows or self.zip or self.dry_run)

    @property
    def at_once(self) -> int | Literal["auto"]:
        """How many calls of a sampler may be one.

        Raises:
            InvalidInputError: It is no number.
        """
        match self.batch:
            case None:
                return 1
            case "auto":
                return "auto"
            case text if text.isdecimal() and int(text) > 0:
                return int(text)
            case text:
                raise InvalidInputError(
                    f"{text!r} is no number from 1 on", where="--batch", advice="write --batch auto or --batch 8"
                )


@dataclass(frozen=True)
class Where:
    """The session that it is planned and run in."""

    packs: Packs = None
    device: Device = None
    devices: Devices = None
    cluster: Cluster = None
    dtype: DtypeOption = None
    models: ModelDirs = None
    cache_dir: CacheDir = None
    offline: Offline = False
    download: Download = False
    stand_in: StandIn = False
    no_cache: NoCache = False
    deterministic: Deterministic = False

    def session(self, changes: Mapping[str, object] | None = None) -> Session:
        """Make the session.

        Args:
            changes: Further settings by name.

        Raises:
            SettingsError: A setting is wrong.
        """
        return make_session(**{field.name: getattr(self, field.name) for field in fields(self)}, changes=changes)


def make_session(
    *,
    packs: Sequence[Path] | None = None,
    device: str | None = None,
    devices: str | None = None,
    cluster: str | None = None,
    dtype: str | None = None,
    models: Sequence[Path] | None = None,
    cache_dir: Path | None = None,
    offline: bool = False,
    download: bool = False,
    stand_in: bool = False,
    no_cache: bool = False,
    deterministic: bool = False,
    changes: Mapping[str, object] | None = None,
) -> Session:
    """Make a session from the settings and what the command line says against them, ``changes`` by the settings' names.

    Raises:
        SettingsError: A setting is wrong.
    """
    with collector_paused():
        from graphflow.settings import change_settings, load_settings

    settings = load_settings()
    changes = dict(changes or {})
    if device is not None:
        changes |= {"device": device, "devices": ()}
    if devices is not None:
        if device is not None and devices != "all":
            raise InvalidInputError(
                "--device and --devices name devices, both", where="--devices", advice="give one of them"
            )
        changes["devices"] = devices
    if cluster is not None:
        changes["cluster"] = cluster
    if dtype is not None:
        changes["dtype"] = dtype
    if models:
        changes["models"] = (*({"path": path} for path in models), *(root.model_dump() for root in settings.models))
    if cache_dir is not None:
        changes["cache_dir"] = cache_dir
    if offline:
        changes["offline"] = True
    if download:
        changes["download"] = True
    if deterministic:
        changes["deterministic"] = True
    if stand_in:
        changes["stand_in"] = True
    if changes:
        settings = change_settings(settings, changes, {name: f"--{name.replace('_', '-')}" for name in changes})
    return _makers[0](settings, tuple(packs or ()), no_cache)


def new_session(settings: Settings, packs: Sequence[Path], no_cache: bool) -> Session:
    """Make a session; ``no_cache`` gives it a store that keeps nothing on disk."""
    with collector_paused():
        from graphflow.session import Session
        from graphflow.store import MemoryTier, Store

    store = Store(MemoryTier((settings.memory_bytes or 8 * 2**30) // 4)) if no_cache else None
    return Session(settings, nodes=packs, store=store)


_makers: list[Callable[[Settings, Sequence[Path], bool], Session]] = [new_session]


def make_sessions_by(maker: Callable[[Settings, Sequence[Path], bool], Session]) -> None:
    """Say what makes sessions, for a process that keeps them."""
    _makers[:] = [maker]

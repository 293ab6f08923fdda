"""What goes over the wire, as models: they check requests and describe the interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from graphflow.jobs.job import Job, JobFile, JobStatus

if TYPE_CHECKING:
    from graphflow.jobs.queue import Jobs

JobId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Priority = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WorkflowAsked(_Asked):
    """A workflow with values. What it names resolves among the uploads and in the model folders only."""

    workflow: Annotated[
        str | dict[str, JsonValue], Field(description="a document (native or ComfyUI's), or a packaged workflow's name")
    ]
    inputs: Annotated[dict[str, JsonValue], Field(description="values for inputs that it exposes")] = {}
    overrides: Annotated[dict[str, JsonValue], Field(description="values for NODE.PARAMETER")] = {}
    targets: Annotated[list[str] | None, Field(description="addresses to compute instead of everything")] = None
    safety: Annotated[
        Literal["auto", "require", "off"] | None, Field(description="counts where it is stricter than the service's")
    ] = None


class JobAsked(WorkflowAsked):
    """A workflow to be carried out."""

    metadata: Annotated[bool, Field(description="whether files carry the workflow and how they were made")] = True
    previews: Annotated[bool, Field(description="whether pictures are wanted while sampling goes on")] = False
    priority: Annotated[Priority, Field(description="higher ones go first")] = 0
    paused: Annotated[bool, Field(description="whether it waits until it is resumed")] = False


class JobChange(_Asked):
    """What can be changed of a job."""

    priority: Priority


class ProblemView(BaseModel):
    """One thing wrong with a document."""

    path: str
    message: str
    advice: str


class ErrorView(BaseModel):
    """Why something was refused."""

    message: str
    where: str | None = None
    advice: str | None = None
    problems: list[ProblemView] | None = None


class Validated(BaseModel):
    """Whether a workflow can run."""

    valid: bool
    problems: list[ProblemView]
    notices: list[str]


@dataclass(frozen=True)
class FileView(JobFile):
    """A file that a job wrote."""

    url: str


@dataclass(frozen=True)
class JobSummary(JobStatus):
    """A job as it stands now; times are seconds since 1970."""


@dataclass(frozen=True)
class JobView(JobSummary):
    """A job with what it gave."""

    result: Mapping[str, Any] | None
    files: list[FileView]


class JobPage(BaseModel):
    """Jobs, the newest first; ``next`` is the ``before`` of the next page."""

    jobs: list[JobSummary]
    next: str | None


class Health(BaseModel):
    """Whether the service works."""

    status: Literal["ok"]
    version: str
    jobs: dict[str, int]


def job_view(jobs: Jobs, job: Job) -> JobView:
    """Return a job as it goes over the wire."""
    base = f"/v1/jobs/{job.id}/files/"
    files = jobs.files(job.id) if job.state == "done" else ()
    rows = [FileView(**file.to_json(), url=base + quote(file.name)) for file in files]
    return JobView(**job.to_json(), files=rows)

"""The sampling package's own error."""

from __future__ import annotations

from graphflow.errors import InvalidInputError


class SamplingError(InvalidInputError):
    """A sampler, schedule, conditioning or noise setting that cannot be used."""

"""``graphflow.refs``: :class:`graphflow.Link` today."""

from __future__ import annotations

from graphflow.building.refs import Link

__all__ = ["Link"]

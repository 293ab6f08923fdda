"""``graphflow.workflow``: :class:`graphflow.NodeEntry` today."""

from __future__ import annotations

from graphflow.document.document import NodeEntry

__all__ = ["NodeEntry"]

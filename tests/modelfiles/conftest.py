"""The fixtures of a model folder and a library."""

from tests.models.libraries import library, make_library, root

__all__ = ["library", "make_library", "root"]

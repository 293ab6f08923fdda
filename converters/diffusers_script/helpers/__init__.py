"""Functions that only scripts need; what the engine has, too, is cut out of its own files instead."""

"""Modules by the names that Python code written by version 0.1 imports; they lie on the path of ``graphflow`` itself."""

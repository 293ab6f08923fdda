"""Workflows of other programs in, programs out. Importing this package imports no converter."""

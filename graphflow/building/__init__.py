"""Graphs built in Python."""

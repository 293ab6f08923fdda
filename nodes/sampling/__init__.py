"""Sampling and its parts."""

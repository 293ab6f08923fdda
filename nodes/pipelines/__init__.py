"""Diffusers pipelines run whole."""

"""Families that are known by name only: their files are recognised, and run whole through ``run_pipeline``."""

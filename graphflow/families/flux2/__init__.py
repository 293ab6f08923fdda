"""FLUX.2 (Black Forest Labs 2025): dev, and the smaller Klein."""

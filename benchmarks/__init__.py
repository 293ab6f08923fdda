"""Benchmarks: ratios against a peer, measured side by side in one run. ``python -m benchmarks`` runs all."""

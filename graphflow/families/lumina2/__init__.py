"""Lumina-Image 2.0 (Shanghai AI Laboratory 2025)."""

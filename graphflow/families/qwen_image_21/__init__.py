"""Qwen-Image 2.1 (Qwen Team 2026): pictures and edits of them, with transparency."""

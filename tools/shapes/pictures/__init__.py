"""Drawn pictures of coloured shapes, their captions, and a judge that reads pictures back (no torch)."""

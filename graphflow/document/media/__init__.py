"""Readers of text metadata, one file format each: bounded, and never decoding a picture."""

"""Codes of quantised weights as numbers: what the engine computes with and exported scripts carry."""

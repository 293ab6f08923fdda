"""Quantised weights in memory: packed as the file has them, dequantised layer by layer when they are used."""

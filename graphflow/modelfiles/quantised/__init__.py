"""Quantised weights in files: which tensors make up a layer, in which format, and its shape; without torch."""

"""A family in one folder: a transformer on a flow, a latent of two tensors, one text encoder. It draws nothing sensible."""

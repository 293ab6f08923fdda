"""Models: loading, adapting, merging, saving."""

"""Model families, one folder each, found through the entry point group ``graphflow.families``."""

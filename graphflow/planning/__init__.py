"""A document becomes a plan: expanded, checked, keyed."""

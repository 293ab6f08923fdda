"""Node types: a function's signature is its specification."""

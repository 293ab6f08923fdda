"""Numbers, text, lists and switches."""

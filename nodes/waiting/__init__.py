"""Nodes that wait for a family to be built; they are refused while planning."""

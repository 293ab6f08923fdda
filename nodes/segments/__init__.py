"""Nodes on things in pictures."""

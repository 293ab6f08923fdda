"""Nodes that wait for a family to be built: they keep a graph whole and its models listed, and planning refuses them.

Each says in ``waits`` what it waits for. Once that is there, the reason goes and the function gets its body.
"""

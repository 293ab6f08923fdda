"""Making again what was made before: what files tell of it, locks, comparisons, an index."""

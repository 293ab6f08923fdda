"""Jobs: workflows that are queued, carried out one after the other, and remembered with what they gave."""

"""Plans carried out: what runs where, in which order, and what is written."""

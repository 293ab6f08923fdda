"""Models: names, roots, headers, descriptions, and the manager that holds weights in memory."""

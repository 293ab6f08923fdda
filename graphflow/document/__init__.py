"""The JSON document: its model, its schema, inner workflows, documents inside pictures."""

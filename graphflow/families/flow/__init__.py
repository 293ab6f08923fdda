"""What families have in common whose models are a transformer on a flow, with text encoders of the T5 kind."""

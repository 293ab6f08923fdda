"""What distilled models are told, without torch; exported scripts carry this."""

GUIDANCE = 3.5
"""What a guidance-distilled model is told where nobody says it."""

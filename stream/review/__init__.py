"""The loop that keeps the model good: events for a person to judge, and the person's labels."""

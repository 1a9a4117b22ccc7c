"""The stream's own code over history, without a broker: what would have alerted, and when."""

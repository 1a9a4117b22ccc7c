"""The surge detector: windows, baselines, tests and the alert's life. Pure: no Kafka, no clock, no model."""

"""The online part of Downtick: reads events from Kafka, scores them, watches subjects, alerts."""

"""The online part of Downtick: reads events from Kafka, scores them, watches subjects, alerts."""

import os

# From 1.29 on ONNX Runtime gives the machine an identifier and tells its maker which models run there, unless it
# is told not to before it is imported. Who watches opinions on a company does not want that known.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

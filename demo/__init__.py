"""The demonstration: an embedded broker, real workers, a replayed stream, a live view."""

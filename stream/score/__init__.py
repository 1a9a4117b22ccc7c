"""The score stage: from raw events to scored events and observations."""

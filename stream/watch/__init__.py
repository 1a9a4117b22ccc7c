"""The watch stage: from observations to windows and alerts."""

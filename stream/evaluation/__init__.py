"""How good a bundle is on labelled rows, and how to fit it to them; without torch."""

"""The offline part of Downtick that fine-tunes a classifier."""

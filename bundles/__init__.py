"""Model bundles that ship with Downtick, one folder each."""

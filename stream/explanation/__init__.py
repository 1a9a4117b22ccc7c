"""Why a text was judged as it was: the words that drove it."""

"""Which texts are the same: by their letters and digits alone, so that a repost with another link, another
punctuation or another case is the same text, and so is one in traditional characters, read as simplified."""

import hashlib

from stream.text import simplified


def text_key(text: str) -> str:
    """Identity of a text: 12 hex digits of the SHA-256 of its letters and digits, simplified and case-folded.

    A text of symbols alone (an emoji) is identified by itself.
    """
    bare = "".join(character for character in simplified(text).casefold() if character.isalnum()) or text
    return hashlib.sha256(bare.encode("utf-8", "surrogatepass")).hexdigest()[:12]

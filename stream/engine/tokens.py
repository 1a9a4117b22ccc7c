"""Text to token ids, by the tokenizer that the bundle carries."""

from collections.abc import Sequence

from tokenizers import Tokenizer

from stream.bundle import Bundle, BundleError
from stream.engine.errors import TokenizerError


class BundleTokenizer:
    """A bundle's tokenizer: cuts texts to the model's length, and never pads."""

    def __init__(self, bundle: Bundle) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(bundle.tokenizer))
        except Exception as error:  # the library raises bare exceptions
            raise BundleError(
                f"bundle {bundle.folder}: {bundle.tokenizer.name} is no tokenizer ({error}); "
                "export the checkpoint again"
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(bundle.manifest.maximum_tokens)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of normalised texts, the special ones included.

        Other threads run meanwhile. Raises `TokenizerError` when one of the texts cannot be encoded,
        as one with lone surrogates can't.
        """
        try:
            encodings = self._tokenizer.encode_batch_fast(list(texts))
        except Exception as error:  # the library raises bare exceptions
            raise TokenizerError(str(error)) from error
        return [encoding.ids for encoding in encodings]

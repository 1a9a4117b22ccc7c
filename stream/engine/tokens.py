"""Text to token ids, by the tokenizer that the bundle carries."""

from collections.abc import Sequence

from tokenizers import Tokenizer

from stream.bundle import Bundle, BundleError
from stream.engine.encoding import Encoding, token_positions
from stream.engine.errors import TokenizerError
from stream.engine.judgement import Question
from stream.names import Span, places
from stream.text import plain


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """The id of the token that stands for what the vocabulary lacks, if there is one."""
    found = (tokenizer.token_to_id(name) for name in ("<unk>", "[UNK]"))
    return next((number for number in found if number is not None), None)


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
        self._of_entities = any(head.scope == "entity" for head in bundle.manifest.heads)
        self._reading = bundle.manifest.reading
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(bundle.manifest.maximum_tokens)

    @property
    def unknown_id(self) -> int | None:
        """See the function of that name."""
        return unknown_id(self._tokenizer)

    def offsets(self, text: str) -> list[Span]:
        """Where the tokens of a normalised text stand in it, those of the model's own left out.

        Raises `TokenizerError` as `encode` does.
        """
        try:
            encoding = self._tokenizer.encode(plain(text), add_special_tokens=False)
        except Exception as error:  # the library raises bare exceptions
            raise TokenizerError(str(error)) from error
        return [(start, end) for start, end in encoding.offsets]

    def encode(self, questions: Sequence[Question]) -> list[Encoding]:
        """Token ids of normalised texts, the special ones included, and the tokens of their entities.

        Other threads run meanwhile. Raises `TokenizerError` when one of the texts cannot be encoded,
        as one with lone surrogates can't.
        """
        named = self._of_entities or bool(self._reading.pseudonyms)
        try:
            if not named or not any(question.entities for question in questions):
                # Without offsets, which take time.
                return [
                    Encoding(encoding.ids, [[] for _ in question.entities])
                    for encoding, question in zip(
                        self._tokenizer.encode_batch_fast(
                            [self._reading(question.text)[0] for question in questions]
                        ),
                        questions,
                        strict=True,
                    )
                ]
            read = [
                self._reading(question.text, [places(question.text, names) for names in question.entities])
                for question in questions
            ]
            encodings = self._tokenizer.encode_batch([text for text, _ in read])
        except Exception as error:  # the library raises bare exceptions
            raise TokenizerError(str(error)) from error
        return [
            Encoding(encoding.ids, [token_positions(encoding.offsets, spans) for spans in entities])
            for encoding, (_, entities) in zip(encodings, read, strict=True)
        ]

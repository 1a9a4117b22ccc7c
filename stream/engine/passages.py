"""The passages of a long text that name companies behind the point up to which the model reads it. Pure."""

from stream.engine.encoding import Encoding
from stream.engine.judgement import Question
from stream.names import places
from stream.pseudonyms import NO_PSEUDONYMS, pseudonymise
from stream.text import sentence_start

BEFORE_CHARACTERS = 100
"""Most that stands before a name: even of Chinese, where a character may be a token, the model reads on to it."""
PASSAGE_CHARACTERS = 800


def passages(
    question: Question, encoding: Encoding, maximum_tokens: int, most: int
) -> list[tuple[Question, tuple[int, ...]]]:
    """What to ask about the entities of a question that are not in its `encoding`, and which of them each answer
    is about, in order.

    An entity is judged by where the text first names it, from the beginning of that sentence on; those of one
    sentence together; of `most` sentences. Who is not in the text at all is left out.
    """
    if len(encoding.ids) < maximum_tokens or not most:
        return []
    text = question.text
    entities = [index for index, positions in enumerate(encoding.entities) if not positions]
    # A place within another's name is that one's, unless there is no other.
    _, own = pseudonymise(text, [places(text, names) for names in question.entities], NO_PSEUDONYMS)
    first = {index: own[index][0][0] for index in entities if own[index]}
    together: dict[int, list[int]] = {}
    for index in sorted(first, key=lambda one: first[one]):
        together.setdefault(sentence_start(text, first[index], BEFORE_CHARACTERS), []).append(index)
    return [
        (
            Question(
                text[start : start + PASSAGE_CHARACTERS], tuple(question.entities[index] for index in members)
            ),
            tuple(members),
        )
        for start, members in list(together.items())[:most]
    ]

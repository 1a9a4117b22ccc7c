"""A bundle small enough to compute by hand: each known word adds a fixed amount to its labels' logits.

A text is negative where its negative words outnumber its positive ones, positive the other way round,
neutral without either; it has the topic of each topic word in it. English is split at spaces and
punctuation and lower-cased, Chinese by character. `POISON` makes the model itself fail, `OVERFLOW`
makes it answer with infinity. With `ENTITY_HEADS` an entity is judged by the words right before its own.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from stream.bundle import CARD, FORMAT, MODEL, TEXT_INPUTS, TOKENIZER, Bundle, Head, Manifest, write_manifest
from stream.pseudonyms import NO_PSEUDONYMS, Pseudonyms

TOPICS = (
    "earnings",
    "credit-risk",
    "legal-regulation",
    "fraud-accounting",
    "mergers",
    "people",
    "product",
    "markets",
    "analysts",
    "capital",
    "macro",
    "policy",
    "commodities",
    "currencies",
)

WORDS: dict[str, tuple[str, ...]] = {
    "bad": ("negative",),
    "worse": ("negative",),
    "losses": ("negative", "earnings"),
    "fraud": ("negative", "fraud-accounting"),
    "default": ("negative", "credit-risk"),
    "lawsuit": ("negative", "legal-regulation"),
    "recall": ("negative", "product"),
    "坏": ("negative",),
    "亏": ("negative", "earnings"),
    "跌": ("negative", "markets"),
    "good": ("positive",),
    "great": ("positive",),
    "profit": ("positive", "earnings"),
    "好": ("positive",),
    "涨": ("positive", "markets"),
    "merger": ("mergers",),
    "chairman": ("people",),
    "analyst": ("analysts",),
    "dividend": ("capital",),
    "inflation": ("macro",),
    "tariff": ("policy",),
    "oil": ("commodities",),
    "dollar": ("currencies",),
}
"""The labels that each known word speaks for."""

POISON = "poisonpill"
OVERFLOW = "overflowing"
MAXIMUM_TOKENS = 64
NEUTRAL_LOGIT = 2.0
SENTIMENT_LOGIT = 4.0
TOPIC_LOGIT = 8.0
ABSENT_TOPIC_LOGIT = -4.0

HEADS = (
    Head(name="sentiment", kind="single", labels=["negative", "neutral", "positive"]),
    Head(name="topics", kind="multi", labels=list(TOPICS), thresholds=[0.5] * len(TOPICS)),
)
ENTITY_HEADS = (
    *HEADS,
    Head(
        name="entity_sentiment",
        kind="single",
        labels=["negative", "neutral", "positive"],
        scope="entity",
        fallback="sentiment",
    ),
)

_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
_VOCABULARY = {token: index for index, token in enumerate((*_SPECIAL, *WORDS, OVERFLOW, POISON))}


def make_tiny_bundle(
    folder: Path,
    heads: Sequence[Head] = HEADS,
    *,
    maximum_tokens: int = MAXIMUM_TOKENS,
    pseudonyms: Pseudonyms = NO_PSEUDONYMS,
    compares_figures: bool = False,
) -> Bundle:
    """Write the bundle into `folder` (made where missing) and return it, verified."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(_model(heads), folder / MODEL)
    _tokenizer().save(str(folder / TOKENIZER))
    (folder / CARD).write_text("# Tiny\n\nKnows a few words; for tests only.\n", encoding="utf-8")
    manifest = Manifest(
        format=FORMAT,
        name="tiny",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        precision="fp32",
        maximum_tokens=maximum_tokens,
        padding_id=_VOCABULARY["<pad>"],
        encoder="a table of words",
        languages=["en", "zh"],
        pseudonyms=pseudonyms,
        compares_figures=compares_figures,
        heads=list(heads),
        files={},
    )
    return write_manifest(folder, manifest)


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(_VOCABULARY, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=True, handle_chinese_chars=True, clean_text=True
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        special_tokens=[(token, _VOCABULARY[token]) for token in ("<s>", "</s>")],
    )
    return tokenizer


def _word_logits(head: Head) -> np.ndarray:
    """What each token adds to each label: float32, tokens × labels.

    The table ends before the poison, so that looking it up is out of range.
    """
    weight = SENTIMENT_LOGIT if head.kind == "single" else TOPIC_LOGIT
    table = np.zeros((_VOCABULARY[POISON], len(head.labels)), dtype=np.float32)
    for word, labels in WORDS.items():
        for label in labels:
            if label in head.labels:
                table[_VOCABULARY[word], head.labels.index(label)] = weight
    table[_VOCABULARY[OVERFLOW]] = np.inf
    return table


def _bias(head: Head) -> np.ndarray:
    if head.kind == "multi":
        return np.full(len(head.labels), ABSENT_TOPIC_LOGIT, dtype=np.float32)
    return np.array([NEUTRAL_LOGIT if label == "neutral" else 0.0 for label in head.labels], dtype=np.float32)


def _model(heads: Sequence[Head]) -> onnx.ModelProto:
    """Per head: look up every token, add up those that are no padding, add the bias.

    Per head over entities: the tokens before those of the entity.
    """
    mask = [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last_axis"], ["wide_mask"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([value], dtype=np.int64), name)
        for name, value in {"last_axis": -1, "token_axis": 1, "zero": 0, "one": 1, "far": 1 << 30}.items()
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in TEXT_INPUTS
    ]
    if any(head.scope == "entity" for head in heads):
        inputs += [
            helper.make_tensor_value_info("entity_text", TensorProto.INT64, ["entities"]),
            helper.make_tensor_value_info("entity_mask", TensorProto.INT64, ["entities", "tokens"]),
        ]
        mask += [
            helper.make_node("Cast", ["entity_mask"], ["own"], to=TensorProto.FLOAT),
            helper.make_node("Slice", ["own", "one", "far", "token_axis"], ["before"]),
            helper.make_node("Unsqueeze", ["before", "last_axis"], ["wide_before"]),
        ]
    nodes, outputs = [], []
    for head in heads:
        name = head.name
        constants += [
            numpy_helper.from_array(_word_logits(head), f"{name}_table"),
            numpy_helper.from_array(_bias(head), f"{name}_bias"),
        ]
        nodes.append(helper.make_node("Gather", [f"{name}_table", "input_ids"], [f"{name}_words"], axis=0))
        if head.scope == "text":
            nodes.append(helper.make_node("Mul", [f"{name}_words", "wide_mask"], [f"{name}_kept"]))
        else:
            nodes += [
                helper.make_node("Gather", [f"{name}_words", "entity_text"], [f"{name}_texts"], axis=0),
                helper.make_node(
                    "Slice", [f"{name}_texts", "zero", "last_axis", "token_axis"], [f"{name}_ahead"]
                ),
                helper.make_node("Mul", [f"{name}_ahead", "wide_before"], [f"{name}_kept"]),
            ]
        nodes += [
            helper.make_node("ReduceSum", [f"{name}_kept", "token_axis"], [f"{name}_sum"], keepdims=0),
            helper.make_node("Add", [f"{name}_sum", f"{name}_bias"], [name]),
        ]
        rows = "batch" if head.scope == "text" else "entities"
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, len(head.labels)]))
    graph = helper.make_graph([*mask, *nodes], "tiny", inputs, outputs, constants)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="downtick"
    )
    onnx.checker.check_model(model)
    return model

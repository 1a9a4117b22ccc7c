"""The ONNX Runtime session over a bundle's model, on the device that it really runs on."""

import contextlib
import io
import logging
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnxruntime

from stream.bundle import Bundle, BundleError, model_inputs
from stream.engine.batching import round_up
from stream.engine.encoding import Encoding, Integers, pad, with_an_entity
from stream.engine.errors import ModelError, ProviderError
from stream.engine.processors import available_processors
from stream.settings import EngineSettings

Provider = Literal["cpu", "cuda"]
Logits = Mapping[str, npt.NDArray[np.floating]]

CUDA_MULTIPLE = 8
"""On a GPU padded lengths are rounded up to it: tensor cores want it, and fewer shapes are tuned."""
CPU_RUN_TOKENS = 16
CUDA_RUN_TOKENS = 512
"""What a run costs before its first token, as so many tokens more: little on a CPU, much on a GPU."""

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_ERRORS_ONLY = 3
_SILENT = 4

log = logging.getLogger(__name__)


class Session:
    """A loaded, checked and warmed model.

    Raises `BundleError` where the model is not what the manifest says, `ProviderError` where a
    required device is not there, `ModelError` where the device that is set cannot hold it.
    """

    def __init__(self, bundle: Bundle, settings: EngineSettings) -> None:
        self._bundle = bundle
        self._settings = settings
        heads = bundle.manifest.heads
        self._names = [head.name for head in heads]
        self._of_entities = {head.name for head in heads if head.scope == "entity"}
        self._inputs = model_inputs(heads)
        self.threads = settings.threads or available_processors()
        self._session = self._open()
        self.provider: Provider = "cuda" if self._session.get_providers()[0] == _CUDA else "cpu"
        self._require_provider()
        self._check_signature()
        try:
            self._warm_up()
        except ModelError as error:
            if settings.provider != "auto":
                raise
            log.warning("%s; going on with the CPU", error)
            self._session, self.provider = self._open_on_cpu(), "cpu"
            self._warm_up()

    @property
    def multiple(self) -> int:
        """What padded lengths are rounded up to."""
        return CUDA_MULTIPLE if self.provider == "cuda" else 1

    @property
    def run_tokens(self) -> int:
        """What a run costs of its own, in tokens."""
        return CUDA_RUN_TOKENS if self.provider == "cuda" else CPU_RUN_TOKENS

    def run(self, batch: Sequence[Encoding]) -> tuple[Logits, int]:
        """Logits of each head (float32) for encoded texts, and the padded width.

        Of a head over texts they are texts × labels, of one over entities: all texts' entities × labels;
        without any entity the latter are left out. Raises `ModelError` when the run fails.
        """
        limit = self._bundle.manifest.maximum_tokens
        # The rounding must not lead beyond the positions that the model knows.
        width = min(round_up(max(len(one.ids) for one in batch), self.multiple), limit)
        inputs = pad(batch, self._bundle.manifest.padding_id, width)
        logits = self._run(with_an_entity(inputs))
        if "entity_text" not in inputs:
            logits = {name: rows for name, rows in logits.items() if name not in self._of_entities}
        return logits, width

    def probe(self) -> None:
        """Raise `ModelError` unless the model still answers a harmless input."""
        self._run(_harmless(texts=1, tokens=8))

    def _run(self, inputs: Mapping[str, Integers]) -> Logits:
        try:
            outputs = self._session.run(self._names, {name: inputs[name] for name in self._inputs})
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise ModelError(" ".join(str(error).split())) from error
        return dict(zip(self._names, outputs, strict=True))

    def _open(self) -> onnxruntime.InferenceSession:
        wanted = self._settings.provider
        if wanted == "auto" and self._bundle.manifest.precision == "int8":
            # Its integer operators have no CUDA kernels: every layer would travel to the GPU and back.
            log.info("an int8 bundle runs on the CPU; export one with --precision fp16 for a GPU")
            wanted = "cpu"
        if wanted != "cpu" and _CUDA in onnxruntime.get_available_providers():
            _preload_cuda()
            with contextlib.suppress(_OpeningError):
                return self._open_on([_CUDA, _CPU])
        return self._open_on_cpu()

    def _open_on_cpu(self) -> onnxruntime.InferenceSession:
        try:
            return self._open_on([_CPU])
        except _OpeningError as error:
            raise BundleError(
                f"bundle {self._bundle.folder}: ONNX Runtime {onnxruntime.__version__} cannot load "
                f"{self._bundle.model.name}: {error}; export the checkpoint again"
            ) from error

    def _open_on(self, providers: list[str]) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        # Threads that wait in a loop take the processors from the event loop, the tokenizer and each
        # other: on two busy cores a token cost a third less time without.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # What fails comes as an exception; the runtime's own line on stderr would only repeat it.
        options.log_severity_level = _ERRORS_ONLY if _CUDA in providers else _SILENT
        try:
            # Its own fall-back would print to stdout and hide the cause.
            return onnxruntime.InferenceSession(
                str(self._bundle.model), options, providers=providers, enable_fallback=0
            )
        except Exception as error:  # ONNX Runtime's errors share no base class
            if _CUDA in providers:
                log.warning("CUDA cannot be used: %s", error)
            raise _OpeningError(" ".join(str(error).split())) from error

    def _require_provider(self) -> None:
        if self._settings.provider != "cuda" or self.provider == "cuda":
            return
        available = _CUDA in onnxruntime.get_available_providers()
        cause = (
            "the session fell back to the CPU: see that driver, CUDA and cuDNN are of the versions "
            f"that onnxruntime-gpu {onnxruntime.__version__} wants"
            if available
            else f"this ONNX Runtime ({onnxruntime.__version__}) is built without CUDA: install "
            "Downtick with the extra `gpu` in place of `cpu`"
        )
        if self._settings.require_provider:
            raise ProviderError(
                f"engine.provider is cuda, but {cause}; or set engine.require_provider to false"
            )
        log.warning("engine.provider is cuda, but %s; going on with the CPU", cause)

    def _check_signature(self) -> None:
        found = {value.name for value in self._session.get_inputs()}
        if found != set(self._inputs):
            self._refuse(f"has the inputs {_listed(found)}, not {_listed(self._inputs)}")
        wrong = [
            f"{value.name} is {value.type}"
            for value in self._session.get_inputs()
            if value.type != "tensor(int64)"
        ]
        if wrong:
            self._refuse(f"wants inputs of another type than int64: {', '.join(wrong)}")
        outputs = {value.name for value in self._session.get_outputs()}
        missing = [name for name in self._names if name not in outputs]
        if missing:
            self._refuse(f"has no output for {_listed(missing)}, only {_listed(outputs)}")

    def _warm_up(self) -> None:
        """Run once before the first text, and see that the outputs have the shapes of the heads.

        On a GPU the largest shape comes first, so that memory is taken in one piece and its lack
        shows now; then the narrower ones.
        """
        longest = self._bundle.manifest.maximum_tokens
        widths = [min(8, longest)]
        if self.provider == "cuda":
            widths = [longest, *(width for width in (256, 128, 64, 32, 16) if width < longest)]
        for width in widths:
            texts = min(self._settings.batch_texts, max(1, self._settings.batch_tokens // width))
            try:
                logits = self._run(_harmless(texts if self.provider == "cuda" else 1, width))
            except ModelError as error:
                if self.provider == "cuda":
                    raise ModelError(
                        f"bundle {self._bundle.folder} does not run on the GPU: {error}; where memory is "
                        "short, lower engine.batch_tokens and engine.batch_texts"
                    ) from error
                self._refuse(f"does not run: {error}")
            self._check_shapes(logits)

    def _check_shapes(self, logits: Logits) -> None:
        for head in self._bundle.manifest.heads:
            shape = logits[head.name].shape
            if len(shape) != 2 or shape[1] != len(head.labels):
                self._refuse(
                    f"gives {head.name!r} the shape {shape}, but the manifest names {len(head.labels)} labels"
                )

    def _refuse(self, fault: str) -> None:
        raise BundleError(
            f"bundle {self._bundle.folder}: {self._bundle.model.name} {fault}; export the checkpoint again"
        )


class _OpeningError(Exception):
    """The runtime could not make a session of the model on this device."""


def _harmless(texts: int, tokens: int) -> dict[str, Integers]:
    """Inputs that every model accepts."""
    ids, mask = np.zeros((texts, tokens), dtype=np.int64), np.ones((texts, tokens), dtype=np.int64)
    return with_an_entity({"input_ids": ids, "attention_mask": mask})


def _preload_cuda() -> None:
    """Let the runtime find CUDA and cuDNN where pip has put them; it reports by printing."""
    if not hasattr(onnxruntime, "preload_dlls"):
        return
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        onnxruntime.preload_dlls()
    for line in printed.getvalue().splitlines():
        log.warning("%s", line)


def _listed(names: Sequence[str] | set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"

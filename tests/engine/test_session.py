"""What is checked before a model is trusted with the first text."""

import numpy as np
import onnx
import onnxruntime
import pytest
from tiny_bundle import HEADS, make_tiny_bundle

from stream.bundle import BundleError, Head, write_manifest
from stream.engine.encoding import Encoding
from stream.engine.errors import ModelError, ProviderError
from stream.engine.session import Session
from stream.settings import EngineSettings

CPU = EngineSettings(provider="cpu", threads=1)


def encoded(*texts: list[int]) -> list[Encoding]:
    return [Encoding(ids, []) for ids in texts]


def _has_cuda() -> bool:
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def test_a_session_answers_with_the_logits_of_each_head(tiny_bundle):
    session = Session(tiny_bundle, CPU)

    logits, width = session.run(encoded([0, 3, 2], [0, 3, 3, 3, 2]))

    assert width == 5
    assert {name: rows.shape for name, rows in logits.items()} == {
        "sentiment": (2, 3),
        "topics": (2, 14),
    }
    assert logits["sentiment"].dtype == np.float32
    assert session.provider == "cpu"


def test_a_run_that_fails_says_why_in_one_line(tiny_bundle):
    with pytest.raises(ModelError, match="out of data bounds") as failure:
        Session(tiny_bundle, CPU).run(encoded([0, 999, 2]))

    assert "\n" not in str(failure.value)


def test_the_number_of_threads_is_as_set(tiny_bundle):
    assert Session(tiny_bundle, EngineSettings(provider="cpu", threads=3)).threads == 3


def test_a_model_without_an_output_for_a_head_is_refused(tmp_path):
    bundle = make_tiny_bundle(tmp_path)
    stance = Head(name="stance", kind="single", labels=["against", "for"])
    bundle = write_manifest(tmp_path, bundle.manifest.model_copy(update={"heads": [*HEADS, stance]}))

    with pytest.raises(BundleError, match="no output for stance, only sentiment, topics"):
        Session(bundle, CPU)


def test_a_model_with_another_number_of_labels_is_refused(tmp_path):
    bundle = make_tiny_bundle(tmp_path)
    fewer = Head(name="sentiment", kind="single", labels=["negative", "positive"])
    bundle = write_manifest(tmp_path, bundle.manifest.model_copy(update={"heads": [fewer]}))

    with pytest.raises(BundleError, match=r"'sentiment' the shape \(1, 3\), .* names 2 labels"):
        Session(bundle, CPU)


def test_a_model_with_other_inputs_is_refused(tmp_path):
    bundle = make_tiny_bundle(tmp_path)
    model = onnx.load(bundle.model)
    for node in model.graph.node:
        node.input[:] = ["mask_of_tokens" if x == "attention_mask" else x for x in node.input]
    model.graph.input[1].name = "mask_of_tokens"
    onnx.save(model, bundle.model)

    with pytest.raises(BundleError, match="has the inputs input_ids, mask_of_tokens, not"):
        Session(write_manifest(tmp_path, bundle.manifest), CPU)


def test_a_file_that_is_no_model_is_refused_though_its_checksum_is_right(tmp_path):
    bundle = make_tiny_bundle(tmp_path)
    bundle.model.write_bytes(b"not a model")

    with pytest.raises(BundleError, match=r"cannot load model\.onnx: .*export") as failure:
        Session(write_manifest(tmp_path, bundle.manifest), CPU)

    assert "\n" not in str(failure.value)


@pytest.mark.skipif(_has_cuda(), reason="this machine has CUDA")
def test_a_required_device_that_the_runtime_was_built_without_stops_the_start(tiny_bundle):
    settings = EngineSettings(provider="cuda", require_provider=True)

    with pytest.raises(ProviderError, match=r"built without CUDA: install .* extra `gpu`"):
        Session(tiny_bundle, settings)


@pytest.mark.skipif(_has_cuda(), reason="this machine has CUDA")
@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider'")
def test_a_session_that_fell_back_silently_is_found_out(tiny_bundle, monkeypatch, caplog):
    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )

    with pytest.raises(ProviderError, match="fell back to the CPU: see that driver"):
        Session(tiny_bundle, EngineSettings(provider="cuda", require_provider=True))
    assert Session(tiny_bundle, EngineSettings(provider="cuda")).provider == "cpu"
    assert "going on with the CPU" in caplog.text
    assert Session(tiny_bundle, EngineSettings(provider="auto")).provider == "cpu"


def test_an_integer_model_stays_on_the_cpu_unless_the_user_insists(tmp_path, monkeypatch):
    bundle = make_tiny_bundle(tmp_path)
    manifest = bundle.manifest.model_copy(update={"precision": "int8"})
    asked = []
    real = onnxruntime.InferenceSession

    def opened(path, options, *, providers, **others):
        asked.append(providers)
        return real(path, options, providers=["CPUExecutionProvider"], **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    Session(write_manifest(tmp_path, manifest), EngineSettings(provider="auto"))
    Session(write_manifest(tmp_path, manifest), EngineSettings(provider="cuda"))

    assert asked == [["CPUExecutionProvider"], ["CUDAExecutionProvider", "CPUExecutionProvider"]]


class PretendedGpu(onnxruntime.InferenceSession):
    """A CPU session that says it were on the device asked for, and writes down the shapes that it ran."""

    memory = 10_000_000
    """Of the GPU."""

    def __init__(self, *arguments, providers, **others):
        super().__init__(*arguments, providers=["CPUExecutionProvider"], **others)
        self.asked = providers
        self.shapes: list[tuple[int, int]] = []

    def get_providers(self):
        return self.asked

    def run(self, names, feeds):
        self.shapes.append(feeds["input_ids"].shape)
        if feeds["input_ids"].size > self.memory and "CUDAExecutionProvider" in self.asked:
            raise RuntimeError("Failed to allocate memory")
        return super().run(names, feeds)


@pytest.fixture
def _pretended_gpu(monkeypatch):
    monkeypatch.setattr(onnxruntime, "InferenceSession", PretendedGpu)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])


@pytest.mark.usefixtures("_pretended_gpu")
def test_on_a_gpu_the_largest_shape_is_warmed_first(tmp_path):
    bundle = make_tiny_bundle(tmp_path, maximum_tokens=100)

    session = Session(bundle, EngineSettings(batch_tokens=1000, batch_texts=50))

    assert session.provider == "cuda"
    assert session._session.shapes == [(10, 100), (15, 64), (31, 32), (50, 16)]


@pytest.mark.usefixtures("_pretended_gpu")
def test_on_a_gpu_lengths_are_rounded_up_but_not_beyond_the_model(tmp_path):
    session = Session(make_tiny_bundle(tmp_path, maximum_tokens=100), EngineSettings())

    assert [session.run(encoded([0] * length))[1] for length in (9, 16, 97, 100)] == [16, 16, 100, 100]


@pytest.mark.usefixtures("_pretended_gpu")
def test_a_gpu_without_enough_memory_says_what_to_lower(tiny_bundle, monkeypatch):
    monkeypatch.setattr(PretendedGpu, "memory", 1000)

    with pytest.raises(ModelError, match=r"allocate memory; .* lower engine\.batch_tokens"):
        Session(tiny_bundle, EngineSettings(provider="cuda"))


@pytest.mark.usefixtures("_pretended_gpu")
def test_where_the_choice_is_free_a_gpu_without_enough_memory_leaves_the_model_to_the_cpu(
    tiny_bundle, monkeypatch, caplog
):
    monkeypatch.setattr(PretendedGpu, "memory", 1000)

    session = Session(tiny_bundle, EngineSettings(provider="auto"))

    assert session.provider == "cpu"
    assert session.run(encoded([0, 3, 2]))[1] == 3
    assert "allocate memory" in caplog.text
    assert "going on with the CPU" in caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not _has_cuda(), reason="no CUDA device, or ONNX Runtime is built without it")
def test_a_gpu_gives_the_same_logits_as_the_cpu(tiny_bundle):
    settings = EngineSettings(provider="cuda", require_provider=True)
    texts = encoded([0, 4, 5, 2], [0, 3, 2], [0, *range(4, 20), 2])

    session = Session(tiny_bundle, settings)
    logits, width = session.run(texts)

    assert session.provider == "cuda"
    assert width == 24  # 18 tokens, rounded up
    expected, _ = Session(tiny_bundle, CPU).run(texts)
    for name, rows in expected.items():
        np.testing.assert_allclose(logits[name], rows, rtol=1e-3)

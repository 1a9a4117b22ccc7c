"""Fixtures that many tests share."""

from collections.abc import Iterator

import hypothesis
import pytest
from tiny_bundle import make_tiny_bundle

from stream.bundle import Bundle
from stream.engine.engine import Engine
from stream.settings import EngineSettings

# A machine that is busy is no fault of the code: neither a deadline nor slow drawing fails a test.
hypothesis.settings.register_profile(
    "downtick", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("downtick")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that knows a few words; see `tiny_bundle.py`. Not to be changed on disk."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture
def tiny_engine(tiny_bundle: Bundle) -> Iterator[Engine]:
    """A loaded engine over the tiny bundle."""
    engine = Engine(tiny_bundle, EngineSettings(provider="cpu", threads=1))
    engine.load()
    yield engine
    engine.close()

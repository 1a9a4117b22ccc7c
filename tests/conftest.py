"""Fixtures that many tests share."""

from collections.abc import Iterator

import pytest
from tiny_bundle import make_tiny_bundle

from stream.bundle import Bundle
from stream.engine.engine import Engine
from stream.settings import EngineSettings


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

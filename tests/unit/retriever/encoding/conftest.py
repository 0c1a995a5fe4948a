"""One encoder for all tests of this room."""

import pytest
import torch

from retriever.checkpoint.loading import load_checkpoint
from retriever.encoding.encoder import Encoder
from tests.golden_cases import GOLDEN


@pytest.fixture(scope="package")
def encoder() -> Encoder:
    return Encoder(load_checkpoint(GOLDEN / "B_preflmr"), torch.device("cpu"))

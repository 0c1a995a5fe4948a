"""The reader of the library is the application's."""

import pytest
from torch import nn

import kbvqa
from generator.extractive.reader import ExtractiveReader
from retriever.encoding import onednn


def linear_layers(reader: ExtractiveReader) -> set[type[nn.Module]]:
    return {type(m) for m in reader._model.modules() if isinstance(m, nn.Linear)}


@pytest.mark.skipif(not onednn._AVAILABLE, reason="torch has no oneDNN here")
def test_it_computes_in_onednn_and_reads_the_same() -> None:
    reader, plain = kbvqa.Reader.from_pretrained(device="cpu"), ExtractiveReader.from_pretrained()
    assert linear_layers(reader) == {onednn.OneDNNLinear}
    assert linear_layers(plain) == {nn.Linear}
    asked = "What is the capital?", ["Capital: Nairobi.", "Population: 52 million."]
    for ours, theirs in zip(reader.read(*asked), plain.read(*asked), strict=True):
        assert (ours.text, ours.spans) == (theirs.text, theirs.spans)
        assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-3)

"""The message of a mismatch stays readable whatever the number of names."""

from retriever.errors import CheckpointMismatch


def test_a_mismatch_lists_at_most_ten_names() -> None:
    error = CheckpointMismatch([f"layer.{i}" for i in range(12)], iter(["extra"]))

    assert "12 missing (layer.0, layer.1," in str(error)
    assert "layer.9, and 2 more)" in str(error) and "layer.10" not in str(error)
    assert "1 unexpected (extra)" in str(error)
    assert len(error.missing) == 12 and error.unexpected == ("extra",)


def test_a_mismatch_in_one_direction() -> None:
    assert "0 missing; 1 unexpected (extra)" in str(CheckpointMismatch([], ["extra"]))

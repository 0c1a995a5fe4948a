from pathlib import Path

import pytest
import torch

from retriever.errors import TrainingStopped
from retriever.training.contrastive.features import FeatureStore


def test_what_was_put_comes_back_to_whoever_opens_it_later(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    arrays = (torch.arange(6.0).reshape(2, 3), torch.tensor([0.1]))
    store.put("a", arrays, "a flag")
    store.close()
    again = FeatureStore(tmp_path)
    assert "a" in again and "b" not in again and len(again) == 1
    assert again["a"].note == "a flag"
    assert all(torch.equal(x, y.half()) for x, y in zip(again["a"].arrays, arrays, strict=True))


def test_processes_that_write_at_once_have_files_of_their_own(tmp_path: Path) -> None:
    one = FeatureStore(tmp_path)
    other = FeatureStore(tmp_path)
    one.put("a", [torch.ones(2)])
    other.put("b", [torch.zeros(3)])
    one.close()
    other.close()
    third = FeatureStore(tmp_path)
    assert torch.equal(third["a"].arrays[0], torch.ones(2).half())
    assert torch.equal(third["b"].arrays[0], torch.zeros(3).half())


@pytest.mark.parametrize("lost", ["line", "numbers"])
def test_what_a_killed_process_left_half_done_is_written_again(tmp_path: Path, lost: str) -> None:
    store = FeatureStore(tmp_path)
    store.put("a", [torch.ones(2)])
    store.put("b", [torch.ones(3)])
    store.close()
    name, cut = ("0.jsonl", 5) if lost == "line" else ("0.f16", 2)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-cut])
    again = FeatureStore(tmp_path)
    assert "a" in again and "b" not in again
    again.put("b", [torch.zeros(3)])
    again.close()
    third = FeatureStore(tmp_path)
    assert torch.equal(third["a"].arrays[0], torch.ones(2).half())
    assert torch.equal(third["b"].arrays[0], torch.zeros(3).half())


@pytest.mark.parametrize(
    "line",
    ["5", "[1, 0, [], 2]", '["c", "0", [[1]], ""]', '["c", 0, [1], ""]', '["c", 0, [["1"]], ""]'],
)
def test_a_line_that_is_none_is_left_out(tmp_path: Path, line: str) -> None:
    store = FeatureStore(tmp_path)
    store.put("a", [torch.ones(2)])
    store.close()
    with (tmp_path / "0.jsonl").open("a") as file:
        file.write(f"{line}\n")
    again = FeatureStore(tmp_path)
    assert len(again) == 1
    again.put("b", [torch.zeros(3)])
    again.close()
    third = FeatureStore(tmp_path)
    assert "a" in third and torch.equal(third["b"].arrays[0], torch.zeros(3).half())


def test_a_number_that_float16_does_not_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingStopped, match="float16"):
        FeatureStore(tmp_path).put("a", [torch.tensor([1e6])])

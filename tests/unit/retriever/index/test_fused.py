"""The kernel that scans a corpus on a GPU, and what happens where it cannot be compiled.

On a machine without a GPU the kernel itself runs in Triton's interpreter, where Triton is there.
"""

import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor

from corpus.types import Passage
from retriever.encoding.compiling import CompiledFunction
from retriever.index import exact
from retriever.index.exact import ExactSearcher
from retriever.index.passage_index import Fingerprint
from retriever.scoring import maxsim_ragged

DIM = 16
LENGTHS = [1, 3, 3, 20]


def searcher(dtype: torch.dtype = torch.float16) -> ExactSearcher:
    rows_TD = torch.nn.functional.normalize(torch.randn(sum(LENGTHS), DIM), dim=-1).to(dtype)
    passages = [Passage(str(i), "", "") for i in range(len(LENGTHS))]
    made_from = Fingerprint("random", "", "random", "", len(LENGTHS), DIM)
    found = ExactSearcher(passages, LENGTHS, rows_TD, made_from)
    found._lengths_N = torch.tensor(LENGTHS, dtype=torch.int32)
    found._starts_N = torch.tensor([0, 1, 4, 7])
    return found


def test_where_no_kernel_compiles_tiles_give_the_scores(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module = ModuleType("retriever.index.fused")

    def without_a_compiler(*_: object) -> Tensor:
        raise RuntimeError("Failed to find C compiler")

    module.maxsim_fused = without_a_compiler  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "retriever.index.fused", module)
    found, query = searcher(), torch.nn.functional.normalize(torch.randn(5, DIM), dim=-1)
    expected_BN = found.scores([query])
    found._scan = CompiledFunction(exact._scan_tiles, exact._scan_fused)
    for _ in range(2):
        torch.testing.assert_close(found.scores([query]), expected_BN)
    assert caplog.text.count("Failed to find C compiler") == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.int8])
@pytest.mark.parametrize("rows", [5, 32, 70])
def test_the_kernel_gives_the_scores_of_the_definition(
    dtype: torch.dtype, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton", reason="Triton comes with torch's builds for CUDA")
    on = "cuda" if torch.cuda.is_available() else "cpu"
    if on == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    from retriever.index.fused import maxsim_fused

    half = torch.nn.functional.normalize(torch.randn(sum(LENGTHS), DIM), dim=-1)
    scales_T = torch.rand(sum(LENGTHS)) / 127 if dtype == torch.int8 else None
    rows_TD = (half * 127).round().to(dtype) if dtype == torch.int8 else half.to(dtype)
    exact_TD = rows_TD.float() * (scales_T[:, None] if scales_T is not None else 1)
    q_BQD = torch.nn.functional.normalize(torch.randn(2, rows, DIM), dim=-1).half()
    expected_BN = maxsim_ragged(q_BQD.float(), exact_TD, torch.tensor(LENGTHS))
    starts_N = torch.tensor([0, 1, 4, 7])
    scores_NB = maxsim_fused(
        q_BQD.to(on),
        rows_TD.to(on),
        starts_N.to(on),
        torch.tensor(LENGTHS, dtype=torch.int32).to(on),
        None if scales_T is None else scales_T.to(on),
    )
    torch.testing.assert_close(scores_NB.T.cpu(), expected_BN, atol=1e-4, rtol=1e-4)

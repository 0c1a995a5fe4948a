import pytest

from retriever.encoding import precision
from retriever.encoding.precision import fastest_on_cpu, linear_seconds


def test_both_are_timed_here() -> None:
    times = linear_seconds(32, 64)
    assert times.keys() == {"float32", "bfloat16"} and all(t > 0 for t in times.values())


@pytest.mark.parametrize(
    ("single", "half", "chosen"),
    [(7.0, 1.0, "bfloat16"), (1.6, 1.0, "bfloat16"), (1.4, 1.0, "float32"), (1.0, 9.0, "float32")],
)
def test_bfloat16_is_taken_where_it_is_clearly_faster(
    single: float, half: float, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        precision, "linear_seconds", lambda *_: {"float32": single, "bfloat16": half}
    )
    assert fastest_on_cpu(384, 1536) == chosen

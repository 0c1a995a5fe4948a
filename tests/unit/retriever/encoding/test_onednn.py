import pytest
import torch
from torch import nn

from retriever.encoding.onednn import OneDNNLinear, use_onednn


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(24, 40), nn.GELU(), nn.Linear(40, 7, bias=False))


@pytest.mark.parametrize("shape", [(1, 24), (5, 24), (2, 3, 24)])
def test_the_numbers_and_names_stay(model: nn.Module, shape: tuple[int, ...]) -> None:
    x, names = torch.randn(shape), list(model.state_dict())
    expected = model(x)
    use_onednn(model)
    assert isinstance(model[0], OneDNNLinear)
    assert list(model.state_dict()) == names
    with torch.inference_mode():
        torch.testing.assert_close(model(x), expected, atol=1e-6, rtol=1e-5)


def test_gradients_still_flow(model: nn.Module) -> None:
    x = torch.randn(4, 24)
    model(x).sum().backward()
    expected = model[0].weight.grad.clone()
    model.zero_grad()
    use_onednn(model)
    model(x).sum().backward()
    torch.testing.assert_close(model[0].weight.grad, expected)


def test_other_dtypes_are_left_to_torch(model: nn.Module) -> None:
    use_onednn(model.double())
    with torch.inference_mode():
        assert model(torch.randn(2, 24, dtype=torch.float64)).dtype == torch.float64

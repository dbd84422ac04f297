import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[hf]'")

from torch import Tensor, nn  # noqa: E402

from workers.engines.transformers import linears  # noqa: E402


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return torch.nn.Linear(96, 80).requires_grad_(requires_grad=False)


@pytest.mark.parametrize("shape", [(1, 96), (1, 1, 96), (2, 17, 96)])
def test_packed_weights_are_the_same_numbers(layer, shape):
    states = torch.randn(shape)
    assert torch.allclose(linears.Packed(layer)(states), layer(states), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 96), (1, 1, 96), (2, 17, 96)])
def test_eight_bits_are_close(layer, shape):
    states = torch.randn(shape)
    wanted, found = layer(states), linears.Int8(layer)(states)
    assert found.shape == wanted.shape
    # Two roundings of half a step in 127 each, over 96 products that add up by chance.
    assert (found - wanted).abs().max() < 0.03


def test_a_token_has_the_same_answer_alone_and_beside_a_loud_one(layer):
    quick = linears.Int8(layer)
    alone = torch.randn(1, 96)
    beside = torch.cat([alone, 1000 * torch.randn(1, 96)])
    assert torch.equal(quick(beside)[:1], quick(alone))


def test_a_large_input_does_not_drown_the_others(layer):
    states = torch.randn(4, 96)
    states[0, 7] = 3000.0
    wanted = layer(states)
    drowned = (linears.Int8(layer)(states) - wanted).abs().max()
    kept = (linears.Int8(layer, torch.tensor([7]))(states) - wanted).abs().max()
    assert kept < 0.05 < drowned


def test_large_inputs_are_found_and_the_hooks_are_gone():
    model = torch.nn.Sequential(torch.nn.Linear(96, 80), torch.nn.Linear(80, 64))
    states = torch.randn(4, 96)
    states[2, 7] = 3000.0
    found = linears.look(model, lambda: model[0](states)).columns
    assert found["0"].tolist() == [7]
    assert "1" not in found, "it was not run"
    assert not model[0]._forward_pre_hooks


class Twins(nn.Module):
    """Two layers that read the same, one of them with a bias, and one that reads what they say."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(96, 80, bias=False)
        self.second = torch.nn.Linear(96, 64)
        self.last = torch.nn.Linear(144, 96)
        self.requires_grad_(requires_grad=False)

    def forward(self, states: Tensor) -> Tensor:
        return self.last(torch.cat([self.first(states), self.second(states)], -1))


@pytest.fixture
def twins() -> Twins:
    torch.manual_seed(0)
    return Twins()


def test_layers_that_read_the_same_are_found(twins):
    assert linears.look(twins, lambda: twins(torch.randn(3, 96))).siblings == [["first", "second"]]


@pytest.mark.parametrize("int8", [True, False])
def test_joined_layers_say_what_each_said_alone(twins, int8):
    several = [torch.randn(5, 96) for _ in range(3)]
    seen = linears.look(twins, lambda: twins(several[0]))
    alone = Twins()
    alone.load_state_dict(twins.state_dict())
    linears.quicken(alone.requires_grad_(requires_grad=False), int8=int8)
    linears.quicken(twins, int8=int8, seen=seen)
    assert isinstance(twins.first, linears.Part)
    assert isinstance(twins.last, linears.Int8 if int8 else linears.Packed)
    assert (twins.second.in_features, twins.second.out_features) == (96, 64)
    for states in several:
        assert torch.allclose(twins(states), alone(states), atol=1e-5)


def test_joined_layers_may_be_asked_in_any_order_and_one_of_them_alone(twins):
    linears.quicken(twins, int8=True, seen=linears.Seen({}, [["first", "second"]]))
    first, second = torch.randn(2, 96), torch.randn(2, 96)
    wanted = twins.second(first).clone()
    twins.first(second)
    assert torch.equal(twins.second(first), wanted)
    assert torch.equal(twins.second(first), wanted)


def test_joined_weights_are_counted_once(twins):
    apart = Twins().requires_grad_(requires_grad=False)
    linears.quicken(apart, int8=True)
    linears.quicken(twins, int8=True, seen=linears.Seen({}, [["first", "second"]]))
    assert linears.weights_bytes(twins) == linears.weights_bytes(apart)


def test_what_is_tied_or_small_or_of_another_kind_stays():
    parts = {
        "embedding": torch.nn.Embedding(100, 96),
        "large": torch.nn.Linear(96, 80),
        "small": torch.nn.Linear(8, 8),
        "output": torch.nn.Linear(96, 100, bias=False),
    }
    parts["output"].weight = parts["embedding"].weight
    model = torch.nn.ModuleDict(parts)
    before = linears.weights_bytes(model)
    linears.quicken(model, int8=True)
    assert isinstance(model["large"], linears.Int8)
    assert isinstance(model["output"], linears.Int8)
    assert isinstance(model["small"], torch.nn.Linear)
    assert model["embedding"].weight.dtype == torch.float32
    assert linears.weights_bytes(model) < before

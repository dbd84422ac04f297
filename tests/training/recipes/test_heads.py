"""Logits where something is learnt: the loss and its gradients are those of the whole model."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from training.data import packing  # noqa: E402 - they need torch
from training.data.masking import Example  # noqa: E402
from training.recipes import heads, tensors  # noqa: E402

SHAPE = {
    "vocab_size": 128,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
}


def model(kind, **more):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SHAPE, **more)
    return transformers.AutoModelForCausalLM.from_config(config)


def inputs():
    source = np.random.default_rng(1)
    made = [
        Example(source.integers(1, 128, length).astype(np.int32), np.arange(length) >= length // 3)
        for length in (5, 17, 9, 23)
    ]
    batch = packing.collate([made[:2], made[2:]], pad=0)
    return tensors.model_inputs(batch, "rows", attention="sdpa", windowed=False)


@pytest.mark.parametrize("kind", ["Llama", "Qwen3", "Gemma2", "Cohere"])
def test_loss_and_gradients_are_those_of_all_logits(kind):
    network, given = model(kind), inputs()
    head = heads.usable(network, given)
    assert head is network.get_output_embeddings()

    whole = network(**given, use_cache=False).loss
    whole.backward()
    expected = {name: value.grad.clone() for name, value in network.named_parameters()}
    network.zero_grad()
    narrowed, learnt = heads.narrow(given)
    with heads.only(head, learnt):
        output = network(**narrowed, use_cache=False)
    output.loss.backward()

    assert output.logits.shape[1] == int((given["labels"][:, 1:] != -100).sum()) < given["labels"].numel()
    assert output.loss.item() == pytest.approx(whole.item(), rel=1e-5)
    for name, value in network.named_parameters():
        assert torch.allclose(value.grad, expected[name], atol=1e-6), name


def test_the_model_is_as_it_was_afterwards():
    network, given = model("Llama"), inputs()
    network.train()
    heads.usable(network, given)
    assert network.training
    assert network(**given, use_cache=False).logits.shape[:2] == given["labels"].shape


def test_a_model_that_does_not_let_labels_be_given_is_left_alone():
    class Stubborn(torch.nn.Module):  # type: ignore[name-defined,misc]
        """Shifts the labels itself, as models of one's own do."""

        def __init__(self):
            super().__init__()
            self.embed, self.head = torch.nn.Embedding(128, 8), torch.nn.Linear(8, 128)

        def get_output_embeddings(self):
            return self.head

        def forward(self, input_ids, labels, **more):
            logits = self.head(self.embed(input_ids))
            loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
            return transformers.modeling_outputs.CausalLMOutput(loss=loss, logits=logits)

    assert heads.usable(Stubborn(), inputs()) is None


def test_a_model_without_such_a_layer_is_left_alone():
    network = model("Llama")
    network.get_output_embeddings = lambda: None
    assert heads.usable(network, inputs()) is None

"""Checkpoints by Hugging Face transformers and torch: any causal or encoder-decoder language model.

The parts: `options` what an operator may choose · `loading` from a name to weights in memory · `linears` quicker
matrix products for the CPU · `prompts` from messages to token ids · `rows` one reply on its way · `sampling`
from logits to a token · `text` from tokens to text · `slots` the batch that requests join and leave at every step ·
`lockstep` the batch for models that cannot be driven so · `adapters` several fine-tunes over one base · `loop` the
thread that turns the wheel · `engine` all of it behind the contract of `workers.engines.base`.

Importing this package, or `options`, loads no torch.
"""

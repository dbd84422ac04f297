"""Runnable training stages: one file, one command (`python -m training.recipes.sft …`, also under torchrun,
accelerate and deepspeed). They know neither Django nor the broker; what they have to say they print as JSON
lines.
"""

"""Weights: loading them for training, putting adapters on, and writing what came out."""

import math
from pathlib import Path
from typing import Any, cast

import torch
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from training.recipes.arguments import Adapter, Model
from training.recipes.refusals import Refusal
from training.tokenizing import Speech, gguf_file

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load(arguments: Model, *, max_length: int) -> Any:
    """The model for causal language modelling. Raises `Refusal`."""
    from transformers import AutoConfig, AutoModelForCausalLM

    meet_the_others()
    where, more = _place(arguments)
    try:
        config = AutoConfig.from_pretrained(where, trust_remote_code=arguments.trust_remote_code, **more)
    except (OSError, ValueError) as error:
        raise Refusal("model", f"{arguments.model} cannot be loaded: {error}") from None
    if getattr(config, "is_encoder_decoder", False):
        raise Refusal("model", f"{arguments.model} is an encoder-decoder; the recipe for it is seq2seq.")
    _check_positions(config, max_length)
    if arguments.method == "qlora":
        more["quantization_config"] = _four_bits()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            where,
            config=config,
            dtype=weights_type(arguments),
            attn_implementation=arguments.attention,
            trust_remote_code=arguments.trust_remote_code,
            **more,
        )
    except (OSError, ValueError, ImportError) as error:
        raise Refusal("model", f"{arguments.model} cannot be loaded: {error}") from None
    if arguments.method == "qlora":
        _keep_trainable(model)
    return _plain(model) if "gguf_file" in more else model


def meet_the_others() -> None:
    """Under ZeRO-3 weights are parted while they are loaded; DeepSpeed must know the other processes by then.

    On GPUs accelerate has seen to it; on a processor DeepSpeed would take each process for the only one.
    """
    if is_deepspeed_zero3_enabled():
        import deepspeed

        deepspeed.init_distributed()


def _keep_trainable(model: Any) -> None:
    """On processors with AVX512-BF16, bitsandbytes repacks 4-bit weights at the first evaluation into a form without
    gradients, and all training behind it would be lost. It asks each layer whether it may."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _plain(model: Any) -> Any:
    """A GGUF file's weights have been unpacked, but transformers still takes the model for a quantised one."""
    model.hf_quantizer, model.is_quantized = None, False
    model.config.__dict__.pop("quantization_config", None)
    return model


def weights_type(arguments: Model) -> torch.dtype:
    """Trained weights stay in 32 bits, since small steps get lost in 16; frozen ones need not."""
    if arguments.weights_type != "auto":
        if arguments.weights_type not in TYPES:
            raise Refusal("weights_type", f"weights_type must be auto or one of {', '.join(TYPES)}.")
        return TYPES[arguments.weights_type]
    fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if fast and arguments.method != "full" else torch.float32


def with_adapter(model: Any, arguments: Model, adapter: Adapter, *, checkpointing: bool) -> Any:
    """The model with what `method` asks for; the model itself for `full`."""
    if arguments.method == "full":
        return model
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if arguments.method == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=checkpointing)
    elif checkpointing:
        model.enable_input_require_grads()  # else nothing in front of the first adapter has a gradient
    targets: Any = adapter.lora_targets
    settings = LoraConfig(
        r=adapter.lora_r,
        lora_alpha=adapter.lora_alpha,
        lora_dropout=adapter.lora_dropout,
        target_modules="all-linear" if targets == ["all-linear"] else targets,
        bias=cast("Any", adapter.lora_bias),
        use_dora=adapter.dora,
        use_rslora=adapter.rslora,
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, settings)
    except ValueError as error:
        raise Refusal("lora_targets", str(error)) from None


def save_tokenizer(speech: Speech, folder: Path) -> None:
    """Beside the weights, with the template they were trained with: they must be served with no other."""
    speech.tokenizer.chat_template = speech.template.source
    speech.tokenizer.save_pretrained(str(folder))


def merge(
    arguments: Model, adapter_folder: Path, speech: Speech, target: Path, *, trained: Any = None
) -> None:
    """The adapter's weights within the base model's, as a checkpoint of its own.

    `trained`: the model with its adapter, which is used up. It saves loading the base again where its weights are whole
    and of 32 bits. Else they are loaded afresh, never in 4 bits: merged into those, the result would be rounded again.
    """
    if trained is not None and all(weights.dtype == torch.float32 for weights in trained.parameters()):
        merged = trained.merge_and_unload()
        merged.config.use_cache = True  # off for training alone
    else:
        merged = _merged_afresh(arguments, adapter_folder)
    merged.save_pretrained(str(target))
    save_tokenizer(speech, target)


def _merged_afresh(arguments: Model, adapter_folder: Path) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    where, more = _place(arguments)
    base = AutoModelForCausalLM.from_pretrained(
        where, dtype=torch.float32 if arguments.method == "lora" else torch.bfloat16, **more
    )
    if "gguf_file" in more:
        base = _plain(base)
    return PeftModel.from_pretrained(base, str(adapter_folder)).merge_and_unload()


def _place(arguments: Model) -> tuple[str, dict[str, Any]]:
    path = gguf_file(arguments.model)
    if path is None:
        return arguments.model, {}
    if arguments.method == "qlora":
        raise Refusal(
            "method", "A GGUF file cannot be loaded in 4 bits; take its safetensors, or --method lora."
        )
    return str(path.parent), {"gguf_file": path.name}


def _four_bits() -> Any:
    from transformers import BitsAndBytesConfig

    fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if fast else torch.float32,
    )


def _check_positions(config: Any, max_length: int) -> None:
    """Beyond its positions a model is stretched linearly, as FastChat does it (arXiv 2306.15595)."""
    most = getattr(config, "max_position_embeddings", None)
    if not most or max_length <= most:
        return
    rope = dict(getattr(config, "rope_parameters", None) or {})
    if "rope_theta" not in rope or rope.get("rope_type", "default") != "default":
        raise Refusal("max_length", f"The model has {most} positions; max_length must not be above.")
    factor = float(math.ceil(max_length / most))
    config.rope_parameters = {**rope, "rope_type": "linear", "factor": factor}

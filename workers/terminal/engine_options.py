"""Options of the engines, for the commands that load weights or say how they are loaded."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from typing import Any

from workers.engine_settings import EngineError
from workers.engine_settings.transformers import DEVICES, DTYPES

TRANSFORMERS = (
    "device",
    "dtype",
    "num_gpus",
    "max_gpu_memory",
    "load_8bit",
    "load_4bit",
    "cpu_offload",
    "attn_implementation",
    "compile",
    "judge_sent_end",
    "revision",
    "trust_remote_code",
)
LLAMA_CPP = ("mmproj", "lora")
BOTH = ("adapters",)
ENGINES = {
    **dict.fromkeys(TRANSFORMERS, ("transformers",)),
    **dict.fromkeys(LLAMA_CPP, ("llama_cpp",)),
    **dict.fromkeys(BOTH, ("llama_cpp", "transformers")),
}


def add_engine_options(parser: ArgumentParser, *, adapters: bool = True) -> None:
    """`adapters`: whether more than one chat model can be asked for."""
    _add_transformers_options(parser)
    group = parser.add_argument_group("llama.cpp engine")
    group.add_argument(
        "--mmproj", metavar="FILE", help="GGUF file of a projector, with which the model looks at images."
    )
    group.add_argument(
        "--lora",
        action="append",
        metavar="FILE[:SCALE]",
        help="LoRA adapter (GGUF) that is added to the weights; may be given again.",
    )
    if adapters:
        parser.add_argument(
            "--adapter",
            action="append",
            type=_adapter,
            dest="adapters",
            metavar="NAME=PLACE",
            help="An adapter served as the chat model NAME over the same weights; may be given again. PLACE is a PEFT "
            "adapter (transformers), or a GGUF file, FILE or FILE:SCALE (llama_cpp).",
        )


def _add_transformers_options(parser: ArgumentParser) -> None:
    add = parser.add_argument_group("transformers engine").add_argument
    add("--device", choices=DEVICES, help="Default: the first that is there.")
    add("--dtype", choices=DTYPES, help="Default: auto, the checkpoint's own or what suits the device.")
    add("--num-gpus", type=int, help="Spread the layers over so many.")
    add("--max-gpu-memory", metavar="SIZE", help="Of each GPU, for example 20GiB.")
    for name, text in (
        ("--load-8bit", "Eight bits a weight: less memory, and quicker on a CPU."),
        ("--load-4bit", "Four bits a weight (bitsandbytes)."),
        ("--cpu-offload", "Keep in the machine's memory what does not fit on the GPU."),
        ("--compile", "torch.compile on the parts that it can help; needs a C++ compiler."),
        ("--judge-sent-end", "Go on where an answer would end in mid-sentence."),
        ("--trust-remote-code", "Run Python files that lie beside the weights. They can do anything."),
    ):
        add(name, action="store_true", default=None, help=text)
    add("--attn-implementation", metavar="NAME", help="Of transformers; default: the engine's own.")
    add("--revision", metavar="NAME", help="Branch, tag or commit on the hub.")


def engine_options(options: Mapping[str, Any], engine: str = "") -> dict[str, Any]:
    """What was said with them, in the words of the catalog's engine options.

    Raises `EngineError` for one that `engine` does not know; "" is any.
    """
    said = {name: options[name] for name in ENGINES if options.get(name) is not None}
    for name in said:
        if engine and engine not in ENGINES[name]:
            option = "adapter" if name == "adapters" else name.replace("_", "-")
            raise EngineError(f"--{option} goes with --engine {' or '.join(ENGINES[name])}, not {engine}.")
    if "adapters" in said:
        said["adapters"] = dict(said["adapters"])
    return said


def _adapter(text: str) -> tuple[str, str]:
    name, equals, place = text.partition("=")
    if not (name and equals and place):
        raise ArgumentTypeError(f"{text!r}: write NAME=PLACE, for example my-lora=/srv/adapters/my-lora.")
    return name, place

"""Options of the transformers engine, for the commands that load weights."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from workers.engines.transformers.options import DEVICES, DTYPES

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
    "revision",
    "trust_remote_code",
)


def add_transformers_options(parser: ArgumentParser) -> Any:
    """Returns the group, for more of the same kind."""
    group = parser.add_argument_group("transformers engine")
    add = group.add_argument
    add("--device", choices=DEVICES, help="Default: the first that is there.")
    add("--dtype", choices=DTYPES, help="Default: auto, the checkpoint's own or what suits the device.")
    add("--num-gpus", type=int, help="Spread the layers over so many.")
    add("--max-gpu-memory", metavar="SIZE", help="Of each GPU, for example 20GiB.")
    for name, text in (
        ("--load-8bit", "Eight bits a weight: less memory, and quicker on a CPU."),
        ("--load-4bit", "Four bits a weight (bitsandbytes)."),
        ("--cpu-offload", "Keep in the machine's memory what does not fit on the GPU."),
        ("--compile", "torch.compile on the parts that it can help; needs a C++ compiler."),
        ("--trust-remote-code", "Run Python files that lie beside the weights. They can do anything."),
    ):
        add(name, action="store_true", default=None, help=text)
    add("--attn-implementation", metavar="NAME", help="Of transformers; default: the engine's own.")
    add("--revision", metavar="NAME", help="Branch, tag or commit on the hub.")
    return group


def transformers_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What was said with them, for `TransformersOptions.read` and `load_model`."""
    return {name: options[name] for name in TRANSFORMERS if options[name] is not None}

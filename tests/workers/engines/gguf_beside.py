"""Small GGUF files that go beside SmolLM2's weights in tests: LoRA adapters, and a projector with random eyes."""

from pathlib import Path

import gguf
import numpy as np

HIDDEN, INNER = 576, 1536  # of SmolLM2-135M
RANK = 2


def write_lora(
    path: Path, *, strength: float, seed: int = 0, architecture: str = "llama", hidden: int = HIDDEN
) -> Path:
    """An adapter for the last layers' way out of their feed-forward part. Strength 0 changes nothing."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(RANK))
    for layer in range(20, 30):
        name = f"blk.{layer}.ffn_down.weight"
        writer.add_tensor(f"{name}.lora_a", random.normal(size=(RANK, INNER)).astype(np.float32))
        out = strength * random.normal(size=(hidden, RANK))
        writer.add_tensor(f"{name}.lora_b", out.astype(np.float32))
    return _written(writer, path)


def write_projector(
    path: Path, *, width: int = 32, patch: int = 8, size: int = 32, hidden: int = HIDDEN
) -> Path:
    """LLaVA's kind: a small vision transformer and two layers into the weights' own space (llama.cpp, tools/mtmd)."""
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type(gguf.GGUFType.MMPROJ)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", False)
    for name, value in {
        "image_size": size,
        "patch_size": patch,
        "embedding_length": width,
        "feed_forward_length": 2 * width,
        "projection_dim": hidden,
        "block_count": 2,
        "attention.head_count": 2,
    }.items():
        writer.add_uint32(f"clip.vision.{name}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    for name in ("image_mean", "image_std"):
        writer.add_array(f"clip.vision.{name}", [0.5, 0.5, 0.5])
    for name, shape in _projector_shapes(width, patch, size, hidden).items():
        writer.add_tensor(name, (0.2 * random.normal(size=shape)).astype(np.float32))
    return _written(writer, path)


def _projector_shapes(width: int, patch: int, size: int, hidden: int) -> dict[str, tuple[int, ...]]:
    places = (size // patch) ** 2
    shapes: dict[str, tuple[int, ...]] = {
        "v.patch_embd.weight": (width, 3, patch, patch),
        "v.class_embd": (width,),
        "v.position_embd.weight": (places + 1, width),
        "v.pre_ln.weight": (width,),
        "v.pre_ln.bias": (width,),
        "mm.0.weight": (hidden, width),
        "mm.0.bias": (hidden,),
        "mm.2.weight": (hidden, hidden),
        "mm.2.bias": (hidden,),
    }
    for layer in range(2):
        block = f"v.blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            shapes |= {f"{block}.{name}.weight": (width, width), f"{block}.{name}.bias": (width,)}
        for name in ("ln1", "ln2"):
            shapes |= {f"{block}.{name}.weight": (width,), f"{block}.{name}.bias": (width,)}
        shapes |= {
            f"{block}.ffn_up.weight": (2 * width, width),
            f"{block}.ffn_up.bias": (2 * width,),
            f"{block}.ffn_down.weight": (width, 2 * width),
            f"{block}.ffn_down.bias": (width,),
        }
    return shapes


def _written(writer: gguf.GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

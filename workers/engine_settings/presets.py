"""Known servers. Data: to add one, add a row; docs/upstream.md shows how to use one without a row.

Sources: each vendor's page on its OpenAI-compatible endpoint; the ports are the servers' own defaults. None of the
vendors has ever been called from this project's tests, which have no network; their rows are facts from those pages.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from workers.protocol import Ability


class Quirk(StrEnum):
    """Where a server differs from OpenAI's API of today."""

    MAX_TOKENS = "max_tokens"
    """Knows `max_tokens` and not `max_completion_tokens`."""
    NO_USAGE_OPTION = "no_usage_option"
    """Refuses `stream_options`; it may send the usage anyway."""
    NO_STOP = "no_stop"
    """Takes no `stop`, or drops the end of a text that only looks like one; stop strings are looked for here."""
    NO_SEED = "no_seed"
    NO_PENALTIES = "no_penalties"
    CONTINUES = "continues"
    """Goes on with an open assistant turn: vLLM's and SGLang's `continue_final_message`."""
    CONTINUES_LAST = "continues_last"
    """Goes on with a last message of the assistant by itself."""
    CACHE_PROMPT = "cache_prompt"
    """With a seed the same answer comes again only when the prompt is read anew: llama.cpp's `cache_prompt`."""
    AZURE_KEY = "azure_key"
    """Wants the key as `api-key`."""
    LISTS_NOTHING = "lists_nothing"
    """Has no `/models`, or lists something else there."""


_CHAT = (Ability.CHAT, Ability.TOOLS, Ability.JSON_OBJECT)
_SCHEMA = (*_CHAT, Ability.JSON_SCHEMA)
_OPENAI = (*_SCHEMA, Ability.LOGPROBS, Ability.LOGIT_BIAS, Ability.VISION, Ability.REASONING)
_SAMPLERS = (Ability.TOP_K, Ability.MIN_P, Ability.REPETITION_PENALTY)
_SERVER = (*_SCHEMA, Ability.LOGPROBS, Ability.LOGIT_BIAS, Ability.COMPLETION, *_SAMPLERS)

Q = Quirk
_LOCAL = frozenset({Q.MAX_TOKENS})


@dataclass(frozen=True, slots=True)
class Preset:
    """One kind of server."""

    title: str
    base_url: str
    """With `/v1` or what stands for it; "" must be given by the operator."""
    key_variable: str = ""
    """The environment variable with the API key; "" needs none."""
    quirks: frozenset[Quirk] = field(default_factory=frozenset)
    abilities: tuple[Ability, ...] = _CHAT


PRESETS: dict[str, Preset] = {
    # Vendors.
    "openai": Preset("OpenAI", "https://api.openai.com/v1", "OPENAI_API_KEY", abilities=_OPENAI),
    "azure": Preset(
        "Azure OpenAI", "", "AZURE_OPENAI_API_KEY", frozenset({Q.AZURE_KEY, Q.LISTS_NOTHING}), _OPENAI
    ),
    "anthropic": Preset(
        "Anthropic",
        "https://api.anthropic.com/v1",
        "ANTHROPIC_API_KEY",
        frozenset({Q.MAX_TOKENS, Q.NO_SEED, Q.NO_PENALTIES, Q.LISTS_NOTHING}),
        (Ability.CHAT, Ability.TOOLS, Ability.VISION),
    ),
    "gemini": Preset(
        "Google Gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        frozenset({Q.MAX_TOKENS, Q.NO_SEED, Q.NO_PENALTIES, Q.LISTS_NOTHING}),
        (*_SCHEMA, Ability.VISION, Ability.REASONING),
    ),
    "mistral": Preset(
        "Mistral",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        frozenset({Q.MAX_TOKENS, Q.NO_USAGE_OPTION, Q.NO_SEED}),
        _SCHEMA,
    ),
    "cohere": Preset(
        "Cohere",
        "https://api.cohere.ai/compatibility/v1",
        "COHERE_API_KEY",
        frozenset({Q.MAX_TOKENS, Q.LISTS_NOTHING}),
        _SCHEMA,
    ),
    "deepseek": Preset(
        "DeepSeek",
        "https://api.deepseek.com/v1",
        "DEEPSEEK_API_KEY",
        frozenset({Q.MAX_TOKENS, Q.NO_SEED}),
        (*_CHAT, Ability.LOGPROBS),
    ),
    "nvidia": Preset(
        "NVIDIA NIM",
        "https://integrate.api.nvidia.com/v1",
        "NVIDIA_API_KEY",
        frozenset({Q.MAX_TOKENS}),
        _CHAT,
    ),
    "groq": Preset("Groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", abilities=_SCHEMA),
    "together": Preset(
        "Together AI",
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
        frozenset({Q.MAX_TOKENS}),
        (*_SCHEMA, *_SAMPLERS),
    ),
    "fireworks": Preset(
        "Fireworks AI",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        frozenset({Q.MAX_TOKENS}),
        _SCHEMA,
    ),
    "openrouter": Preset(
        "OpenRouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", frozenset({Q.MAX_TOKENS}), _SCHEMA
    ),
    "xai": Preset("xAI", "https://api.x.ai/v1", "XAI_API_KEY", abilities=(*_SCHEMA, Ability.VISION)),
    "cerebras": Preset("Cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", abilities=_SCHEMA),
    "perplexity": Preset(
        "Perplexity",
        "https://api.perplexity.ai",
        "PERPLEXITY_API_KEY",
        frozenset({Q.MAX_TOKENS, Q.NO_SEED, Q.LISTS_NOTHING}),
        (Ability.CHAT,),
    ),
    "moonshot": Preset(
        "Moonshot AI (Kimi)",
        "https://api.moonshot.ai/v1",
        "MOONSHOT_API_KEY",
        frozenset({Q.MAX_TOKENS}),
        _CHAT,
    ),
    "dashscope": Preset(
        "Alibaba Cloud (Qwen)",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_API_KEY",
        frozenset({Q.MAX_TOKENS}),
        _CHAT,
    ),
    "zhipu": Preset(
        "Zhipu AI (GLM)",
        "https://open.bigmodel.cn/api/paas/v4",
        "ZHIPUAI_API_KEY",
        frozenset({Q.MAX_TOKENS, Q.NO_SEED, Q.NO_PENALTIES, Q.LISTS_NOTHING}),
        (Ability.CHAT, Ability.TOOLS),
    ),
    "ai21": Preset(
        "AI21",
        "https://api.ai21.com/studio/v1",
        "AI21_API_KEY",
        frozenset({Q.MAX_TOKENS, Q.LISTS_NOTHING}),
        (Ability.CHAT,),
    ),
    "huggingface": Preset(
        "Hugging Face inference providers",
        "https://router.huggingface.co/v1",
        "HF_TOKEN",
        frozenset({Q.MAX_TOKENS, Q.LISTS_NOTHING}),
        _CHAT,
    ),
    # Servers of one's own.
    "vllm": Preset("vLLM", "http://127.0.0.1:8000/v1", quirks=_LOCAL | {Q.CONTINUES}, abilities=_SERVER),
    "sglang": Preset("SGLang", "http://127.0.0.1:30000/v1", quirks=_LOCAL | {Q.CONTINUES}, abilities=_SERVER),
    "tgi": Preset(
        "Hugging Face TGI",
        "http://127.0.0.1:8080/v1",
        quirks=_LOCAL | {Q.LISTS_NOTHING},
        abilities=(*_CHAT, Ability.LOGPROBS),
    ),
    "lightllm": Preset(
        "LightLLM", "http://127.0.0.1:8080/v1", quirks=_LOCAL | {Q.LISTS_NOTHING}, abilities=(Ability.CHAT,)
    ),
    "dashinfer": Preset("DashInfer", "http://127.0.0.1:8000/v1", quirks=_LOCAL, abilities=(Ability.CHAT,)),
    "lmdeploy": Preset(
        "LMDeploy", "http://127.0.0.1:23333/v1", quirks=_LOCAL, abilities=(*_CHAT, *_SAMPLERS)
    ),
    "mlc": Preset("MLC LLM", "http://127.0.0.1:8000/v1", quirks=_LOCAL, abilities=_SCHEMA),
    "mlx": Preset(
        "MLX", "http://127.0.0.1:8080/v1", quirks=_LOCAL, abilities=(Ability.CHAT, Ability.COMPLETION)
    ),
    "ollama": Preset("Ollama", "http://127.0.0.1:11434/v1", quirks=_LOCAL, abilities=_SCHEMA),
    "llama-server": Preset(
        "llama.cpp's server",
        "http://127.0.0.1:8080/v1",
        quirks=_LOCAL | {Q.CONTINUES_LAST, Q.NO_STOP, Q.CACHE_PROMPT},
        abilities=(*_SERVER, Ability.GRAMMAR),
    ),
    "lmstudio": Preset("LM Studio", "http://127.0.0.1:1234/v1", quirks=_LOCAL, abilities=_SCHEMA),
    "transformers": Preset(
        "transformers serve",
        "http://127.0.0.1:8000/v1",
        quirks=_LOCAL | {Q.LISTS_NOTHING},
        abilities=(Ability.CHAT,),
    ),
    "chatsite": Preset(
        "another chatsite", "http://127.0.0.1:8000/v1", "CHATSITE_UPSTREAM_KEY", abilities=_SCHEMA
    ),
}
ANY = Preset("an OpenAI-compatible server", "", quirks=_LOCAL, abilities=(Ability.CHAT,))
"""What is assumed of a server that is known by its address only."""

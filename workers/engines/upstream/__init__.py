"""Chat models on somebody else's server: vLLM, SGLang, Ollama, OpenAI, … by their OpenAI-compatible API.

* `presets`: the servers that are known by name: address, key variable, quirks.
* `address`: reads a checkpoint such as `vllm:Qwen/Qwen3-8B` or `https://host/v1#model`.
* `keys`: API keys from the environment or a secrets file.
* `wire`: requests and stream chunks between our words and OpenAI's. Pure.
* `engine`: the engine. `launch`: a server that the worker starts itself.
"""

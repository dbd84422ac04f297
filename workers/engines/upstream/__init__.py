"""Chat models on somebody else's server: vLLM, SGLang, Ollama, OpenAI, … by their OpenAI-compatible API.

* `workers.engine_settings`: the servers that are known by name, and how a checkpoint is read.
* `keys`: API keys from the environment or a secrets file.
* `wire`: requests and stream chunks between our words and OpenAI's. Pure.
* `engine`: the engine. `launch`: a server that the worker starts itself.
"""

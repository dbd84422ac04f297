"""The peer: llama.cpp's own HTTP server on the same weights and settings, and the engine without any platform.

Run as a module in a process of its own: `python -m workers.benchmarks.peer http|engine GGUF SLOTS CONTEXT`.
"""

import json
import sys
import threading
import time
from pathlib import Path

from workers.benchmarks.load import make_prompts
from workers.engines.base import StopSignal
from workers.engines.llama_cpp import LlamaCppEngine
from workers.protocol import ChatMessage, Delta, Finished, GenerationRequest, Sampling

SYSTEM = "You are a helpful assistant. Answer clearly and correctly."


def serve_http(engine: LlamaCppEngine) -> None:
    """Print the address and the key, then serve until standard input closes."""
    print(json.dumps({"address": engine.address, "key": engine.api_key}), flush=True)  # noqa: T201
    sys.stdin.read()


def measure_engine(engine: LlamaCppEngine) -> None:
    """For each line `CONCURRENCY COUNT TOKENS SEED` on standard input, print tokens/s and the first tokens' times."""
    for line in sys.stdin:
        concurrency, count, tokens, seed = line.split()
        print(json.dumps(_measure(engine, int(concurrency), int(count), int(tokens), seed)), flush=True)  # noqa: T201


def _measure(
    engine: LlamaCppEngine, concurrency: int, count: int, tokens: int, seed: str
) -> dict[str, object]:
    todo, lock = iter(make_prompts(count, seed)), threading.Lock()
    made: list[int] = []
    firsts: list[float] = []

    def work() -> None:
        while True:
            with lock:
                prompt = next(todo, None)
            if prompt is None:
                return
            began, first = time.perf_counter(), None
            messages = (ChatMessage("system", SYSTEM), ChatMessage("user", prompt))
            sampling = Sampling(temperature=0.0, max_tokens=tokens)
            request = GenerationRequest("0", "peer", messages, time.time() + 600, sampling)
            for event in engine.stream(request, StopSignal()):
                if isinstance(event, Delta) and first is None:
                    first = time.perf_counter() - began
                    firsts.append(first)
                if isinstance(event, Finished):
                    made.append(event.usage.completion_tokens)

    began = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "tokens_per_second": sum(made) / (time.perf_counter() - began),
        "firsts": firsts,
        "tokens": sum(made),
    }


def main() -> None:
    mode, path, slots, context = sys.argv[1:]
    engine = LlamaCppEngine("peer", Path(path), slots=int(slots), context_length=int(context))
    if mode == "http":
        serve_http(engine)
    else:
        measure_engine(engine)
    engine.close()


if __name__ == "__main__":
    main()

"""Which engine loads what. The heavy libraries are imported by the factory that needs them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from workers.engine_settings import LlamaCppOptions, Options, TransformersOptions
from workers.engine_settings.llama_cpp import Lora
from workers.engines.base import Engine, EngineError
from workers.locating import locate


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What a worker is told to load."""

    name: str
    """The chat model's name."""
    engine: str
    checkpoint: str
    """A path, `package:FILE` inside an installed package, a name on the hub, or the scripted engine's script."""
    slots: int = 0
    """Requests at once; 0 is the engine's choice."""
    context_length: int = 0
    """Tokens; 0 takes what the checkpoint was made for."""
    threads: int = 0
    """CPU threads; 0 takes the physical cores."""
    gpu_layers: int = -1
    """Layers on the GPU; -1 is as many as fit."""
    launch: str = ""
    """Command line of a server that the upstream engine starts itself."""
    template: str = ""
    """Prompt format by name or file; empty is the checkpoint's own, or what its name asks for."""
    transformers: TransformersOptions = field(default_factory=TransformersOptions)
    """What only the transformers engine knows."""
    llama_cpp: LlamaCppOptions = field(default_factory=LlamaCppOptions)
    """What only the llama.cpp engine knows."""

    @property
    def own(self) -> Options:
        """The options of its engine."""
        return self.llama_cpp if self.engine == "llama_cpp" else self.transformers

    def but(self, options: Options) -> "EngineSpec":
        """The same with other options."""
        if isinstance(options, LlamaCppOptions):
            return replace(self, llama_cpp=options)
        return replace(self, transformers=options)


def _llama_cpp(spec: EngineSpec) -> Engine:
    from workers.engines.llama_cpp import DEFAULT_SLOTS, LlamaCppEngine

    return LlamaCppEngine(
        spec.name,
        locate(spec.checkpoint),
        slots=spec.slots or DEFAULT_SLOTS,
        context_length=spec.context_length,
        threads=spec.threads,
        gpu_layers=spec.gpu_layers,
        template=spec.template,
        options=spec.llama_cpp,
    )


def _scripted(spec: EngineSpec) -> Engine:
    from workers.engines.scripted import Script, ScriptedEngine

    return ScriptedEngine(spec.name, Script.parse(spec.checkpoint), slots=spec.slots)


def _transformers(spec: EngineSpec) -> Engine:
    from workers.engines.transformers.engine import DEFAULT_SLOTS, load_engine

    return load_engine(
        spec.name,
        spec.checkpoint,
        locate(spec.checkpoint),
        options=spec.transformers,
        slots=spec.slots or DEFAULT_SLOTS,
        context_length=spec.context_length,
        threads=spec.threads,
        template=spec.template,
    )


def _upstream(spec: EngineSpec) -> Engine:
    from workers.engines.upstream.engine import UpstreamEngine

    return UpstreamEngine(
        spec.name,
        spec.checkpoint,
        slots=spec.slots,
        context_length=spec.context_length,
        launch=spec.launch,
    )


FACTORIES: dict[str, Callable[[EngineSpec], Engine]] = {
    "llama_cpp": _llama_cpp,
    "scripted": _scripted,
    "transformers": _transformers,
    "upstream": _upstream,
}


def load(spec: EngineSpec) -> Engine:
    """Make the engine. Raises `EngineError` with one sentence when it cannot be."""
    factory = FACTORIES.get(spec.engine)
    if factory is None:
        raise EngineError(f"{spec.engine!r} is not an engine; there are {', '.join(FACTORIES)}.")
    return factory(spec)


def load_all(spec: EngineSpec) -> dict[str, Engine]:
    """The engine by its chat model's name, and those over its weights (adapters) by theirs. Raises `EngineError`.

    A chat model that is itself an adapter (`adapter` in its options) comes without its base.
    """
    options = spec.own
    if spec.name in dict(options.adapters):
        raise EngineError(f"adapter {spec.name}: that is the base's own name; give the adapter another.")
    if options.adapter and spec.engine not in ("llama_cpp", "transformers"):
        raise EngineError(f"engine option 'adapter' goes with llama_cpp or transformers, not {spec.engine}.")
    engine = load(spec if not options.adapter else _over_its_base(spec))
    adapted = getattr(engine, "adapted", None)
    over = adapted() if adapted is not None else {}
    return over if options.adapter else {spec.name: engine, **over}


def _over_its_base(spec: EngineSpec) -> EngineSpec:
    match spec.own:
        case LlamaCppOptions(adapter=Lora() as lora, adapters=others) as options:
            return spec.but(replace(options, adapter=None, adapters=((spec.name, lora), *others)))
        case TransformersOptions(adapter=place, adapters=among) as options:
            return spec.but(replace(options, adapter="", adapters=((spec.name, place), *among)))
    return spec


def names_of(spec: EngineSpec) -> list[str]:
    """The chat models that `load_all` makes of it."""
    return [spec.name, *dict(spec.own.adapters)]


def base_of(engine: Engine) -> Engine:
    """The engine that holds the weights: the one itself, unless it is an adapter's."""
    base: Engine = getattr(engine, "base", engine)
    return base


def can_share(there: EngineSpec, wanted: EngineSpec) -> bool:
    """Whether `wanted` is an adapter over the weights that `there` has loaded, in the same way.

    Only of transformers: llama.cpp takes its adapters when it loads the weights.
    """

    def weights(spec: EngineSpec) -> object:
        plain = replace(spec.transformers, adapter="", adapters=())
        return (spec.engine, str(locate(spec.checkpoint)), spec.template, plain)

    return (
        wanted.engine == "transformers"
        and bool(wanted.transformers.adapter)
        and not wanted.transformers.adapters
        and weights(there) == weights(wanted)
    )


def with_adapter(spec: EngineSpec, name: str, place: str) -> EngineSpec:
    """What to load to have the same with one adapter more."""
    options = replace(spec.transformers, adapters=(*spec.transformers.adapters, (name, place)))
    return replace(spec, transformers=options)


def without(spec: EngineSpec, name: str) -> EngineSpec | None:
    """What to load to have the same without that chat model; None when nothing is left.

    Where a base goes and its adapters stay, the first of them takes its place: it comes without a base of its own.
    """
    own: Any = spec.own  # either kind: what is put back came out of it
    adapters = dict(own.adapters)
    if name != spec.name:
        adapters.pop(name)
        return spec.but(replace(own, adapters=tuple(adapters.items())))
    if not adapters:
        return None
    first, place = next(iter(adapters.items()))
    rest = tuple((other, at) for other, at in adapters.items() if other != first)
    return replace(spec, name=first).but(replace(own, adapter=place, adapters=rest))

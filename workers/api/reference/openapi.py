"""The document's own entry in itself, and those of the probes, which are no views of the API's."""

from typing import Final

from workers.api.describing import OBJECT, STRING, Operation, obj, one_of

_STATE: Final = one_of(["ok", "missing", "failed", "unknown"])
DOCUMENT: Final = Operation(
    id="getOpenApiDocument",
    tag="Server",
    summary="This document",
    answer=obj({"openapi": STRING, "info": OBJECT, "paths": OBJECT, "components": OBJECT}),
    public=True,
)
PROBES: Final = {
    "/healthz": Operation(
        id="getHealth",
        tag="Server",
        summary="Whether the process lives",
        answer=obj({"status": one_of(["ok"])}),
        public=True,
    ),
    "/readyz": Operation(
        id="getReadiness",
        tag="Server",
        summary="Whether a message could be answered now",
        answer=obj({"status": STRING, "database": _STATE, "broker": _STATE, "worker": _STATE}),
        public=True,
        statuses={503: "Something that is needed is not there; the body says what."},
    ),
}

"""The values that travel between the web and the workers. Standard library only; knows no user and no database.

Everything here is frozen and crosses a process border as JSON (`to_json` / `from_json` / `read_request`) or as a
stream entry (`encode_event` / `decode_event`). Unknown keys are ignored on reading, so that a newer sender can talk to
an older reader; a missing or mistyped one raises `ProtocolError`.

* `requests`: what is asked of a worker. `events`: what it says meanwhile. `status`: what it says about itself.
* `orders`: what an operator wants of it.
* `abilities`: which chat model can do what a request asks for.
"""

from workers.protocol.abilities import Lack, Need, lack, needs
from workers.protocol.events import (
    LAST_EVENTS,
    LEAST_LOGPROB,
    Delta,
    Embedded,
    Entry,
    ErrorCode,
    Failed,
    Finished,
    FinishReason,
    Gathering,
    Started,
    StreamEvent,
    Timing,
    Tokenized,
    TokenLogprob,
    ToolCallDelta,
    TopLogprob,
    Usage,
    Waiting,
    decode_event,
    encode_event,
    event_to_dict,
    join_deltas,
)
from workers.protocol.orders import Order, OrderState, Weights
from workers.protocol.reading import ProtocolError
from workers.protocol.requests import (
    ROLES,
    ChatMessage,
    Constraint,
    DetokenizeRequest,
    EmbeddingRequest,
    GenerationRequest,
    Role,
    Sampling,
    TokenizeRequest,
    Tool,
    ToolCall,
    ToolChoice,
    WorkerRequest,
    read_request,
)
from workers.protocol.status import MOST_SLOTS, Ability, HostedModel, Report, WorkerStatus

__all__ = [
    "LAST_EVENTS",
    "LEAST_LOGPROB",
    "MOST_SLOTS",
    "ROLES",
    "Ability",
    "ChatMessage",
    "Constraint",
    "Delta",
    "DetokenizeRequest",
    "Embedded",
    "EmbeddingRequest",
    "Entry",
    "ErrorCode",
    "Failed",
    "FinishReason",
    "Finished",
    "Gathering",
    "GenerationRequest",
    "HostedModel",
    "Lack",
    "Need",
    "Order",
    "OrderState",
    "ProtocolError",
    "Report",
    "Role",
    "Sampling",
    "Started",
    "StreamEvent",
    "Timing",
    "TokenLogprob",
    "TokenizeRequest",
    "Tokenized",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolChoice",
    "TopLogprob",
    "Usage",
    "Waiting",
    "Weights",
    "WorkerRequest",
    "WorkerStatus",
    "decode_event",
    "encode_event",
    "event_to_dict",
    "join_deltas",
    "lack",
    "needs",
    "read_request",
]

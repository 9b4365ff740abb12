"""How long the server waits for whom, in seconds."""

from typing import Annotated, Final

from msgspec import Meta

from reference_engine.specs import Spec

Seconds = Annotated[float, Meta(gt=0)]


class ServerTimeouts(Spec, frozen=True):
    """Patience with a request, with its client, and with all of them at the end.

    A request that takes longer than `request_s` ends with an error (504, or an error event in a
    stream that has begun).
    """

    request_s: Seconds | None = None  # a request, from its submission to its last token
    body_s: Seconds = 60.0  # a request's body may take to come in; else 408
    idle_s: Seconds = 75.0  # a connection may go without the whole head of a request
    stalled_s: Seconds = 60.0  # a client may take nothing of its stream; then it is dropped
    drain_s: Annotated[float, Meta(ge=0)] = 2.0  # open requests have to end when it is stopped


DEFAULT: Final = ServerTimeouts()

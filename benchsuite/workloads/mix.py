"""Several workloads at once: classes of requests that share a server."""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from benchsuite import streams
from benchsuite.request import Session
from benchsuite.spec import Positive, Spec
from benchsuite.workloads import priorities
from benchsuite.workloads.priorities import Priorities
from benchsuite.workloads.single import Single
from benchsuite.workloads.tokenizer import Tokenizer

DEFAULT_CLASS = "default"


class Part(Spec, frozen=True):
    """One workload of a mix, and what its requests tell the server of themselves."""

    workload: Single
    weight: Positive = 1.0  # of its sessions, beside the other parts'
    priority: int | Priorities | None = None  # as the server counts: vLLM serves low numbers first
    tenant: str | None = None  # who asks, sent as OpenAI's `user`
    model: str | None = None  # instead of the endpoint's, such as a LoRA adapter's name


class Mix(Spec, frozen=True, tag="mix"):
    """Several workloads in turn, drawn by weight; a part's name is the class of its requests.

    `slo` has limits by class. Arrivals of type `hawkes` with `classes` say themselves which part
    comes next; weights are then not used. It ends with the first part that has no more. Recorded
    times of a part are not used.
    """

    parts: dict[str, Part]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("parts: expected at least one")

    @property
    def is_endless(self) -> bool:
        return all(part.workload.is_endless for part in self.parts.values())

    def sessions(self, tokenizer: Tokenizer, seed: int) -> Iterator[Session]:
        return self.of_classes(self._by_weight(seed), tokenizer, seed)

    def of_classes(
        self, classes: Iterable[str], tokenizer: Tokenizer, seed: int
    ) -> Iterator[Session]:
        """A session of each of `classes` in order, until that part has no more."""
        sources = {
            name: self._told(name, part, tokenizer, streams.child(seed, "part", name))
            for name, part in self.parts.items()
        }
        num_requests = 0
        for index, name in enumerate(classes):
            session = next(sources[name], None)
            if session is None:
                return
            requests = tuple(
                replace(request, id=num_requests + turn)
                for turn, request in enumerate(session.requests)
            )
            num_requests += len(requests)
            yield replace(session, id=index, requests=requests, start_s=None)

    def notes(self) -> tuple[str, ...]:
        return tuple(
            f"{name}: {note}" for name, part in self.parts.items() for note in part.workload.notes()
        )

    def _by_weight(self, seed: int) -> Iterator[str]:
        """Names of parts, without end; takes one random number each."""
        rng = streams.rng(seed, "mix")
        names = tuple(self.parts)
        total = sum(part.weight for part in self.parts.values())
        while True:
            left, name = rng.random() * total, names[-1]
            for one in names:
                left -= self.parts[one].weight
                if left < 0:
                    name = one
                    break
            yield name

    def _told(self, name: str, part: Part, tokenizer: Tokenizer, seed: int) -> Iterator[Session]:
        """The part's own sessions, with what they tell the server. Questions and groups of a part
        have numbers that no other part uses."""
        place = list(self.parts).index(name)
        levels = priorities.drawn(part.priority, streams.rng(seed, "priority"))
        for session in part.workload.sessions(tokenizer, seed):
            requests = tuple(
                replace(
                    request,
                    slo_class=name if request.slo_class == DEFAULT_CLASS else request.slo_class,
                    priority=next(levels),
                    tenant=part.tenant,
                    model=part.model,
                    group=None
                    if request.group is None
                    else request.group * len(self.parts) + place,
                    batch=tuple(
                        replace(question, id=question.id * len(self.parts) + place)
                        for question in request.batch
                    ),
                )
                for request in session.requests
            )
            yield replace(session, requests=requests)

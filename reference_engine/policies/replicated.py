"""Where a sequence runs if all workers are alike."""

from reference_engine.policies.base import Role, WorkerView
from reference_engine.policies.planning import least_loaded
from reference_engine.sequence import Sequence
from reference_engine.specs import Count, Spec


class Replicated(Spec, frozen=True, kw_only=True):
    """Part of a policy: `replicas` workers that each do everything."""

    replicas: Count = 1  # workers alike; a sequence goes to the one with the fewest

    def workers(self) -> tuple[Role, ...]:
        return (Role.ANY,) * self.replicas

    def route(self, sequence: Sequence, views: tuple[WorkerView, ...]) -> int:
        return least_loaded(views, Role.ANY)

    def readers(self, sequence: Sequence, views: tuple[WorkerView, ...]) -> tuple[int, ...]:
        return ()

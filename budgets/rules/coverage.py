"""Which of many slices cover a call, without looking at each. Pure: no ORM, no clock."""

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from usage.models.scopes import SCOPE_FIELDS

S = TypeVar("S")

# Values of a call in the order of SCOPE_FIELDS; '' where it has none.
Facts = tuple[str, ...]
PROVIDER, MODEL = SCOPE_FIELDS.index("provider"), SCOPE_FIELDS.index("model")


class Coverage(Generic[S]):
    """Things by the slice they are about; `scope_of` gives it (`team_id` and the SCOPE_FIELDS), by default themselves.

    Few kinds of slices exist, however many slices there are: one look-up for each kind finds all that cover a call.
    """

    def __init__(self, things: Iterable[S], scope_of: Callable[[S], Any] = lambda thing: thing) -> None:
        self._kinds: dict[tuple[bool, tuple[int, ...]], dict[tuple, list[S]]] = {}
        for thing in things:
            self._add(thing, scope_of(thing))

    def _add(self, thing: S, scope: Any) -> None:
        values = [getattr(scope, name) for name in SCOPE_FIELDS]
        named = tuple(place for place, value in enumerate(values) if value)
        key = (scope.team_id, *(values[place] for place in named))
        kind = self._kinds.setdefault((scope.team_id is not None, named), {})
        kind.setdefault(key, []).append(thing)

    def over(self, team_id: int, facts: Facts) -> list[S]:
        """Every slice that covers a call of the team with these facts."""
        found: list[S] = []
        for (of_team, named), slices in self._kinds.items():
            key = (team_id if of_team else None, *[facts[place] for place in named])
            if matching := slices.get(key):
                found += matching
        return found

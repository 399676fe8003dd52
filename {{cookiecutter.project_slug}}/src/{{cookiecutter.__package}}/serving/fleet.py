"""The models in service: champion, challengers and shadows, picked up while requests go on.

`models/champion.json` is looked at every so often. What it names is loaded and verified beside what
serves, then takes its place in one step; what cannot be loaded is refused, and the old one stays.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..bundle.champion import read_champion
from ..core.errors import UserError
from .scoring import Model, load_model

if TYPE_CHECKING:
    from ..core.project import Project
    from .metrics import Metrics
    from .router import Router
    from .rows import Rules

# Models that left service and are kept in memory, so that a rollback takes no time.
KEPT = 2
# A model that could not be loaded is tried again after so many looks: it may still be on its way.
PATIENCE = 10

Note = Callable[..., None]


@dataclass(frozen=True)
class Fleet:
    """The models of one moment.

    Attributes:
        champion: Answers, unless a challenger does.
        challengers: Each with the upper end of its share, in [0, 1], of the requests.
        shadows: Scored beside, for the log alone.
        routed: As `challengers`, for requests without a key, where a router shares them.
    """

    champion: Model
    challengers: tuple[tuple[float, Model], ...] = ()
    shadows: tuple[Model, ...] = ()
    routed: tuple[tuple[float, Model], ...] = ()

    def choose(self, key: bytes) -> tuple[Model, str]:
        """Return the model that answers a request, and its role.

        Args:
            key: The same key always gets the same model, while weights stay; b"" leaves it to
                chance, and to the router.
        """
        if not self.challengers:
            return self.champion, "champion"
        ends = self.challengers if key else self.routed or self.challengers
        point = _position(key) if key else random.random()  # noqa: S311  # no secret
        for end, model in ends:
            if point < end:
                return model, "challenger"
        return self.champion, "champion"

    @property
    def models(self) -> list[tuple[str, Model]]:
        """Every model with its role."""
        challengers = [("challenger", model) for _, model in self.challengers]
        shadows = [("shadow", model) for model in self.shadows]
        return [("champion", self.champion), *challengers, *shadows]

    @property
    def shares(self) -> dict[str, float]:
        """By run id, the share of the requests without a key that a model answers."""
        found, begin = {}, 0.0
        for end, model in self.routed or self.challengers:
            found[model.run_id], begin = end - begin, end
        return {self.champion.run_id: 1 - begin, **found}


def _position(key: bytes) -> float:
    """Return where a key lies in [0, 1), the same for all processes and restarts."""
    digest = hashlib.blake2b(key, digest_size=8).digest()
    return float(int.from_bytes(digest, "big") / 2**64)


class Keeper:
    """Keeps the fleet in step with `models/champion.json`.

    Attributes:
        fleet: The models in service; None until the first one is loaded.
        router: What shares requests by labels, if anything does.
    """

    def __init__(
        self,
        project: Project,
        rules: Rules,
        metrics: Metrics,
        note: Note,
        router: Router | None = None,
    ) -> None:
        """Start without a model; without a router, weights share the requests."""
        self.fleet: Fleet | None = None
        self.router = router
        self._project, self._rules, self._metrics, self._note = project, rules, metrics, note
        self._loaded: dict[tuple[str, str | None], Model] = {}
        self._seen: Any = None
        self._looks_to_wait = 0

    async def watch(self, seconds: float) -> None:
        """Look every so often, for ever."""
        while True:
            await asyncio.sleep(seconds)
            try:
                if self.has_news():
                    await asyncio.to_thread(self.refresh)
                elif self.router is not None and self.router.is_due:
                    await asyncio.to_thread(self.route)
            except Exception as error:  # noqa: BLE001  # the next look may go well
                self._note("models not looked at", level="error", reason=f"{error!r}")

    def has_news(self) -> bool:
        """Tell whether champion.json has changed, or a refused model is to be tried again."""
        if self._looks_to_wait > 1:
            self._looks_to_wait -= 1
        return self._looks_to_wait == 1 or self._state() != self._seen

    def refresh(self) -> None:
        """Load what champion.json names; keep what serves where that fails."""
        self._seen, self._looks_to_wait = self._state(), 0
        before = None if self.fleet is None else self.fleet.champion.run_id
        try:
            self.fleet = self._assemble()
        except Exception as error:  # noqa: BLE001  # a damaged bundle raises all kinds
            self._refused("champion", "", error)
            return
        self._metrics.show_models(self.fleet.models)
        if before not in (None, self.fleet.champion.run_id):
            self._metrics.switches.inc()
        roles = {model.run_id: role for role, model in self.fleet.models}
        self._note("models in service", models=roles)
        self.route()

    def route(self) -> None:
        """Share the requests without a key again, where a router does."""
        fleet = self.fleet
        if fleet is None:
            return
        if self.router is not None and fleet.challengers:
            rivals = [model for _, model in fleet.challengers]
            try:
                shares = self.router.shares([fleet.champion, *rivals])
                ends = accumulate([shares[model.run_id] for model in rivals])
            except Exception as error:  # noqa: BLE001  # the shares from before stay in force
                self._note("labels not read", level="error", reason=f"{error!r}")
                return
            fleet = self.fleet = replace(fleet, routed=tuple(zip(ends, rivals, strict=True)))
        self._metrics.show_shares(fleet.shares)

    def _state(self) -> Any:
        """Return what changes whenever champion.json does."""
        try:
            state = self._project.champion_file.stat()
        except OSError:
            return None
        return state.st_mtime_ns, state.st_size, state.st_ino

    def _assemble(self) -> Fleet:
        """Return the fleet that champion.json names."""
        entry = read_champion(self._project)
        if entry is None:
            raise UserError("No model is in service; `champion promote` one of `runs list`.")
        champion = self._get(entry)
        challengers, shadows, end = [], [], 0.0
        for other in entry.get("challengers", []):
            try:
                model, weight = self._get(other), float(other["weight"])
            except Exception as error:  # noqa: BLE001  # the champion serves without it
                self._refused("challenger", str(other.get("run_id")), error)
                continue
            end += weight
            if weight > 0:
                challengers.append((end, model))
            else:
                shadows.append(model)
        fleet = Fleet(champion, tuple(challengers), tuple(shadows))
        self._forget(fleet)
        return fleet

    def _get(self, entry: dict[str, Any]) -> Model:
        """Return the model of one entry, loaded unless it still is."""
        key = str(entry["run_id"]), entry.get("sha256")
        model = self._loaded.pop(key, None) or load_model(self._project, *key, self._rules)
        self._loaded[key] = model
        return model

    def _forget(self, fleet: Fleet) -> None:
        """Let go of models that left service longest ago."""
        serving = {model.run_id for _, model in fleet.models}
        idle = [key for key in self._loaded if key[0] not in serving]
        for key in idle[: max(0, len(idle) - KEPT)]:
            del self._loaded[key]

    def _refused(self, role: str, run_id: str, error: Exception) -> None:
        """Note that a model was not taken into service."""
        self._looks_to_wait = PATIENCE + 1
        self._metrics.load_failures.inc()
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        self._note("model refused", level="error", role=role, run_id=run_id, reason=reason)

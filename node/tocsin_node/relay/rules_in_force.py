"""The rules in force: made anew when the roster, the policy or what was adjudicated has changed, and every hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tocsin_node.exposure import Exposure
from tocsin_node.hooks.hook import Hook
from tocsin_node.policy_file import LoadedPolicy
from tocsin_node.store.adjudications import Records
from tocsin_node.store.rules import Rules, Watching, no_watching

from .network import Network

# Reputations fade with a half-life of months.
MAX_AGE_MS = 3_600_000


class RulesInForce:
    """Call it for the rules as they stand."""

    def __init__(
        self,
        policy: LoadedPolicy,
        exposure: Exposure,
        hooks: Mapping[str, Hook],
        network: Network,
        own: bytes,
        trusted: frozenset[str],
        now_ms: Callable[[], int],
    ) -> None:
        self._policy = policy
        self._exposure = exposure
        self._hooks = hooks
        self._network = network
        self._own = own
        self._trusted = trusted
        self._now_ms = now_ms
        self._records = Records({}, {}, 0, {})
        self._watching: Watching = no_watching
        self._rules: Rules | None = None
        self._made_ms = 0

    def __call__(self) -> Rules:
        """The same object until something changes."""
        now_ms = self._now_ms()
        rules = self._rules
        if rules is None or rules.roster is not self._network.index or abs(now_ms - self._made_ms) > MAX_AGE_MS:
            rules = Rules(
                policy=self._policy.policy,
                policy_hash=self._policy.hash,
                hooks=self._hooks,
                roster=self._network.index,
                exposure=self._exposure,
                own=self._own,
                tallies=self._records.tallies,
                trusted=self._trusted,
                people=self._policy.people,
                delays=self._records.delays,
                watching=self._watching,
                policy_text=self._policy.text,
                tallied_ms=self._records.at_ms,
                since=self._records.since,
            )
            self._rules, self._made_ms = rules, now_ms
        return rules

    def use_records(self, records: Records) -> None:
        """What was adjudicated counts from the next decision on."""
        self._records, self._rules = records, None

    def use_watching(self, watching: Watching) -> None:
        """Whose heartbeats say that they watch for what."""
        self._watching, self._rules = watching, None

    def use_policy(self, policy: LoadedPolicy) -> None:
        """From the next decision on."""
        self._policy, self._rules = policy, None

    def use_exposure(self, exposure: Exposure) -> None:
        """What lies in our holdings now counts from the next decision on."""
        self._exposure, self._rules = exposure, None

"""The doctor: looks, once a day and when asked, at everything that must be right on the night it is needed."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import trio

from tocsin_node.chain.client import ChainClient
from tocsin_node.hooks.hook import Answer, Check
from tocsin_node.hooks.probing import probe_endpoints
from tocsin_node.store.doctor import write_doctor
from tocsin_node.store.ledger import describe_anchor, read_mark
from tocsin_node.store.writer import Store

from .brake import Brake
from .ledger import Ledger
from .network import Network
from .publishing import Publishing, Speech
from .rules_in_force import RulesInForce
from .self_watch import MAX_HEAD_AHEAD_MS, read_head_times, second_ahead_ms
from .supervisor import MeshSupervisor

DAY_SECONDS = 24 * 60 * 60.0
# The first look after a start: peers have been dialled by then, and endpoints were heard.
FIRST_LOOK_SECONDS = 60.0
# Shorter than what a request over the control socket may take.
PROBE_SECONDS = 30.0
# A right, a key or a grant that ends sooner is told of now.
NOTICE_MS = 14 * 24 * 60 * 60 * 1000
MIN_GOOD_FREE_BYTES = 1024 * 1024 * 1024
_PRIVATE_BITS = 0o077
_DAY_MS = 24 * 60 * 60 * 1000

Probe = Callable[[], Awaitable[tuple[Check, ...]]]
"""A look at a lever, or at another part that needs a chain."""

_log = structlog.get_logger("tocsin.doctor")


@dataclass(frozen=True, slots=True)
class Found:
    """One check and what it is about: a hook, a chain, or a part of the node."""

    area: str
    check: Check


class Doctor:
    """Asks every lever and every part; changes nothing but its own record."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        brake: Brake,
        network: Network,
        supervisor: MeshSupervisor,
        publishing: Publishing,
        rules: RulesInForce,
        probes: Mapping[str, Probe],
        clients: Mapping[str, ChainClient],
        private_files: tuple[Path, ...],
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._brake = brake
        self._network = network
        self._supervisor = supervisor
        self._publishing = publishing
        self._rules = rules
        self._probes = probes
        self._clients = clients
        self._private_files = private_files
        self._now_ms = now_ms

    async def answer(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Look now, record the result, and return it."""
        found = await self.examine()
        now_ms = self._now_ms()
        report = report_of(found, now_ms)
        await self._store.writer.submit(partial(write_doctor, report=report, now_ms=now_ms))
        for item in found:
            if item.check.answer is Answer.NOT_OK:
                _log.warning("doctor", area=item.area, check=item.check.name, why=item.check.sentence)
        return report

    async def run_daily(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look once a day until cancelled."""
        task_status.started()
        await trio.sleep(FIRST_LOOK_SECONDS)
        while True:
            try:
                await self.answer({})
            except Exception:  # noqa: BLE001 - a look that fails must not end the node
                _log.exception("the doctor could not finish")
            await trio.sleep(DAY_SECONDS)

    async def examine(self) -> list[Found]:
        """Every check, all at once; what does not answer within PROBE_SECONDS is not known."""
        now_ms = self._now_ms()
        looks: dict[str, Callable[[], Any]] = dict(self._probes)
        looks |= {chain: partial(_look_at_chain, client, now_ms) for chain, client in self._clients.items()}
        looks |= {
            "node": self._look_at_node,
            "disk": self._look_at_disk,
            "keys": partial(_look_at_files, self._private_files),
        }
        answers: dict[str, tuple[Check, ...]] = {}

        async def ask(area: str, look: Callable[[], Any]) -> None:
            answers[area] = (Check("answer", Answer.NOT_KNOWN, f"no answer within {PROBE_SECONDS:g} s"),)
            with trio.move_on_after(PROBE_SECONDS):
                try:
                    answers[area] = tuple(await look())
                except Exception as exc:  # noqa: BLE001 - one lever's fault must not hide the others
                    _log.exception("a check failed", area=area)
                    answers[area] = (Check("answer", Answer.NOT_KNOWN, f"the check failed: {type(exc).__name__}"),)

        async with trio.open_nursery() as nursery:
            for area, look in looks.items():
                nursery.start_soon(ask, area, look)
        return [Found(area, _with_notice(check, now_ms)) for area in looks for check in answers[area]]

    async def _look_at_node(self) -> tuple[Check, ...]:
        return (
            self._judge_standstills(),
            await self._judge_ledger(),
            self._judge_policy(),
            self._judge_roster(),
            self._judge_mesh(),
            _check(
                "publishing",
                self._publishing.speech is Speech.OPEN,
                f"{self._publishing.speech}: {self._publishing.why}",
            ),
        )

    def _judge_standstills(self) -> Check:
        holding = self._brake.holding
        why = "; ".join(f"{cause}: {sentence}" for cause, sentence in holding.items())
        return _check("brake", not holding, why or "nothing keeps the hooks from being armed")

    async def _judge_ledger(self) -> Check:
        if self._ledger.doubt:
            return Check("ledger", Answer.NOT_OK, self._ledger.doubt)
        anchor, fault = await trio.to_thread.run_sync(describe_anchor, self._store.data_dir)
        mark = await self._store.writer.submit(read_mark)
        if anchor is None or fault:
            return Check("ledger", Answer.NOT_OK, fault or "there is no anchor")
        is_right = anchor.ledger == mark.ledger and anchor.sequence <= mark.sequence
        return _check("ledger", is_right, f"the anchor has counted {anchor.sequence} steps, the ledger {mark.sequence}")

    def _judge_policy(self) -> Check:
        policy = self._rules().policy
        if faults := policy.faults():
            return Check("policy", Answer.NOT_OK, "; ".join(faults))
        if not policy.levers:
            return Check("policy", Answer.NOT_KNOWN, "the policy has no lever: this node never acts")
        return Check("policy", Answer.OK, f"it may be armed: {len(policy.levers)} levers")

    def _judge_roster(self) -> Check:
        index = self._network.index
        entry = index.publisher(self._store.publisher)
        if entry is None:
            return Check("roster", Answer.NOT_OK, f"epoch {index.roster.epoch} does not list this node")
        is_valid = entry.valid_from_ms <= self._now_ms() < entry.valid_until_ms
        sentence = f"epoch {index.roster.epoch} lists this node" + ("" if is_valid else "; its key is not in force")
        return Check("roster", Answer.OK if is_valid else Answer.NOT_OK, sentence, entry.valid_until_ms)

    def _judge_mesh(self) -> Check:
        others = len(self._network.index.publishers) - 1
        peers = len(self._supervisor.peers)
        is_well = self._supervisor.up.is_set() and (peers > 0 or others <= 0)
        return _check("mesh", is_well, f"{peers} of {others} other publishers' nodes are connected")

    async def _look_at_disk(self) -> tuple[Check, ...]:
        usage = await trio.to_thread.run_sync(shutil.disk_usage, self._store.data_dir)
        sentence = f"{usage.free // 1024**2} MiB are free in {self._store.data_dir}"
        return (_check("free", usage.free >= MIN_GOOD_FREE_BYTES, sentence),)


def report_of(found: list[Found], now_ms: int) -> dict[str, Any]:
    """The result for programs: `healthy` unless something is not right; what is not known is told and harms nothing."""
    return {
        # [CARE] The doctor's result is healthy unless a check is not right.
        "healthy": all(item.check.answer is not Answer.NOT_OK for item in found),
        "at_ms": now_ms,
        "checks": [
            {
                "area": item.area,
                "check": item.check.name,
                "answer": item.check.answer.value,
                "sentence": item.check.sentence,
                "valid_until_ms": item.check.valid_until_ms,
            }
            for item in found
        ],
    }


async def _look_at_chain(client: ChainClient, now_ms: int) -> tuple[Check, ...]:
    ahead_ms = second_ahead_ms(await read_head_times(client), now_ms)
    endpoints = await probe_endpoints(client)
    if ahead_ms is None:
        return endpoints, Check("clock", Answer.NOT_KNOWN, "only two endpoints together can tell")
    sentence = f"the newest block is {-ahead_ms // 1000} s old by our clock"
    return endpoints, _check("clock", ahead_ms <= MAX_HEAD_AHEAD_MS, sentence)


async def _look_at_files(files: tuple[Path, ...]) -> tuple[Check, ...]:
    return tuple(judge_mode(path) for path in files)


def judge_mode(path: Path) -> Check:
    """Whether a file with a secret is readable by its owner alone."""
    try:
        status = path.stat()
    except OSError as exc:
        return Check(path.name, Answer.NOT_OK, f"cannot be looked at: {exc.strerror}")
    mode = stat.S_IMODE(status.st_mode)
    return _check(
        path.name,
        not mode & _PRIVATE_BITS,
        f"mode {mode:04o}" + ("" if not mode & _PRIVATE_BITS else ", 0600 is wanted"),
    )


def _check(name: str, is_well: bool, sentence: str) -> Check:
    return Check(name, Answer.OK if is_well else Answer.NOT_OK, sentence)


def _with_notice(check: Check, now_ms: int) -> Check:
    until_ms = check.valid_until_ms
    if check.answer is not Answer.OK or until_ms is None or until_ms > now_ms + NOTICE_MS:
        return check
    # [CARE] What is right today and ends within NOTICE_MS is not right.
    days = max(0, until_ms - now_ms) // _DAY_MS
    return Check(check.name, Answer.NOT_OK, f"{check.sentence}; it ends in {days} days", until_ms)

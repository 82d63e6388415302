"""Approvals through the node: what counts lets an action go, and everything else is a named refusal."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

import pytest
import trio
import trio.testing
from approval_kit import address, approve, make_policy
from protocol_kit import NOW_MS, OTHER_NETWORK_ID, make_signal
from relay_kit import DEADLINE_SECONDS, Bench, open_bench
from store_kit import HOOK, Lever, arm
from tocsin_node.errors import ControlError
from tocsin_node.people import People
from tocsin_node.relay.approving import Approving
from tocsin_node.store.actions import find_action, lapse_unapproved
from tocsin_node.store.audit import read_audit
from tocsin_protocol.approval.files import Approval, decode_approval_request, encode_approval
from tocsin_protocol.approval.policy import ApprovalPolicy
from tocsin_protocol.approval.request import Request
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import State
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.signing import Domain, keccak256

PEOPLE = People(approvals=make_policy())


@dataclass
class Desk:
    """A relay whose lever asks people, and the approving desk; `people` is the policy in force."""

    bench: Bench
    approving: Approving
    people: list[People]

    async def request(self) -> Request:
        (view,) = (await self.approving.requests({}))["requests"]
        return typed_request(view)

    async def view(self) -> dict[str, Any]:
        (view,) = (await self.approving.requests({}))["requests"]
        return dict(view)

    async def hand_in(self, approval: Approval) -> dict[str, Any]:
        return await self.approving.approve({"approval": encode_approval(approval).decode()})

    async def refused(self, approval: Approval) -> ControlError:
        with pytest.raises(ControlError) as caught:
            await self.hand_in(approval)
        return caught.value

    async def action(self) -> Action:
        (row,) = await self.bench.store.writer.submit(lambda c: c.execute("SELECT id FROM actions").fetchall())
        found = await self.bench.store.writer.submit(lambda c: find_action(c, row[0]))
        assert found is not None
        return found

    async def wait_state(self, state: State) -> None:
        with trio.fail_after(DEADLINE_SECONDS):
            while (await self.action()).state is not state:  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.005)

    async def audited(self, verb: str) -> list[dict[str, Any]]:
        entries = await self.bench.store.writer.submit(lambda c: read_audit(c, 0, 1000))
        details = [decode_canonical(e.detail, max_bytes=65536) for e in entries if e.kind is EntryKind.OPERATOR]
        return [detail for detail in details if detail.get("verb") == verb]


def typed_request(view: dict[str, Any]) -> Request:
    return decode_approval_request(json.dumps(view["typed_data"]).encode())[1]


@asynccontextmanager
async def open_desk(folder: FilePath, people: People = PEOPLE, *, tasks: bool = True) -> AsyncIterator[Desk]:
    in_force = [people]
    async with open_bench(folder, organisations=1, lever=Lever(), people=people, asks=True, tasks=tasks) as bench:

        def rules() -> Any:
            return replace(bench.rules(), people=in_force[0])

        yield Desk(bench, Approving(bench.store, rules, bench.acting, lambda: bench.clock[0]), in_force)


@asynccontextmanager
async def open_asked(folder: FilePath, people: People = PEOPLE) -> AsyncIterator[Desk]:
    """The same after our own detector saw a drain: the lever waits for people."""
    async with open_desk(folder, people) as desk:
        await desk.bench.store.writer.submit(arm)
        await desk.bench.publishing.publish([make_signal()])
        await desk.wait_state(State.AWAITING_APPROVAL)
        yield desk


async def test_a_lever_that_asks_waits_and_says_what_it_will_do(tmp_path: FilePath) -> None:
    async with open_asked(tmp_path) as desk:
        await trio.testing.wait_all_tasks_blocked(0.02)
        view, action = await desk.view(), await desk.action()
        assert desk.bench.lever.ran == []
        assert (view["state"], view["approved"], view["wanted"]) == ("open", 0, 2)
        assert view["waiting_for"] == ["ann", "ben", "cam"]
        assert bytes.fromhex(view["data"][2:]) == action.payload
        assert view["payload"] == "0x" + keccak256(action.payload).hex()
        assert view["effect"] == f"Tighten vault for 15 min with {HOOK}."
        # people have their whole time, and the lever its whole time after that
        assert action.deadline_ms == NOW_MS + PEOPLE.window_ms
        assert action.ends_ms == action.deadline_ms + 15 * 60_000


@pytest.mark.parametrize("order", [("ann", "ben"), ("cam", "ann")])
async def test_two_of_three_in_any_order_let_it_go_and_nobody_waits_for_the_third(
    tmp_path: FilePath, order: tuple[str, str]
) -> None:
    async with open_asked(tmp_path) as desk:
        request = await desk.request()
        first = await desk.hand_in(approve(order[0], request))
        assert (first["state"], first["sentence"]) == ("open", "1 approved of 2 wanted: not enough yet.")
        assert (await desk.action()).state is State.AWAITING_APPROVAL
        assert (await desk.hand_in(approve(order[1], request)))["state"] == "granted"
        await desk.wait_state(State.EFFECTIVE)
        assert len((await desk.action()).approvals) == 2
        view = await desk.view()
        assert (view["state"], view["approved_by"]) == ("granted", sorted(order))
        assert {detail["name"] for detail in await desk.audited("approve")} == set(order)


async def test_approvals_survive_a_restart(tmp_path: FilePath) -> None:
    async with open_asked(tmp_path) as desk:
        request = await desk.request()
        await desk.hand_in(approve("ann", request))
    async with open_desk(tmp_path) as desk:
        assert (await desk.hand_in(approve("ben", request)))["state"] == "granted"
        await desk.wait_state(State.EFFECTIVE)


async def test_what_was_granted_before_a_crash_is_done_after_it(tmp_path: FilePath) -> None:
    async with open_asked(tmp_path) as desk:
        request = await desk.request()
        await desk.hand_in(approve("ann", request))
    async with open_desk(tmp_path, tasks=False) as desk:
        assert (await desk.hand_in(approve("ben", request)))["state"] == "granted"
        assert (await desk.action()).state is State.PREFLIGHT
    async with open_desk(tmp_path) as desk:
        await desk.wait_state(State.EFFECTIVE)


async def test_a_replayed_approval_is_used(tmp_path: FilePath) -> None:
    async with open_asked(tmp_path) as desk:
        request = await desk.request()
        for name in ("ann", "ben"):
            await desk.hand_in(approve(name, request))
        await desk.wait_state(State.EFFECTIVE)
        error = await desk.refused(approve("ann", request))
        assert error.code == "used"
        assert len(desk.bench.lever.ran) == 1


async def test_an_operator_counts_once(tmp_path: FilePath) -> None:
    async with open_asked(tmp_path) as desk:
        request = await desk.request()
        await desk.hand_in(approve("ann", request))
        assert (await desk.refused(approve("ann", request))).code == "duplicate-signer"
        assert (await desk.action()).state is State.AWAITING_APPROVAL


async def test_an_expired_request_counts_no_more_and_its_action_lapses(tmp_path: FilePath) -> None:
    async with open_asked(tmp_path) as desk:
        request = await desk.request()
        desk.bench.clock[0] = NOW_MS + PEOPLE.window_ms + 1
        error = await desk.refused(approve("ann", request))
        assert error.code == "expired"
        assert request.window in str(error)
        assert (await desk.view())["state"] == "expired"
        await desk.bench.store.writer.submit(lambda c: lapse_unapproved(c, desk.bench.clock[0]))
        assert (await desk.action()).state is State.LAPSED


async def test_a_clock_set_back_revives_nothing_until_the_operator_confirms_the_time(tmp_path: FilePath) -> None:
    async with open_asked(tmp_path) as desk:
        request = await desk.request()
        desk.bench.clock[0] = NOW_MS + PEOPLE.window_ms + 1
        assert (await desk.refused(approve("ann", request))).code == "expired"
        desk.bench.clock[0] = NOW_MS + 1
        error = await desk.refused(approve("ann", request))
        assert error.code == "expired"
        assert "tocsin approve confirm-time" in str(error)
        told = await desk.approving.confirm_time({})
        assert told == {"now_ms": NOW_MS + 1, "record_ms": NOW_MS + PEOPLE.window_ms + 1}
        assert (await desk.hand_in(approve("ann", request)))["state"] == "open"
        assert len(await desk.audited("confirm-time")) == 1


async def test_a_removed_operator_counts_for_nothing_even_where_he_had_approved(tmp_path: FilePath) -> None:
    async with open_asked(tmp_path) as desk:
        request = await desk.request()
        await desk.hand_in(approve("ann", request))
        operators = {address(name): name for name in ("ben", "cam")}
        rule = replace(make_policy().rules[0], operators=frozenset(operators))
        desk.people[0] = replace(PEOPLE, approvals=ApprovalPolicy(operators, (rule,), frozenset({address("ann")})))
        assert (await desk.refused(approve("ann", request))).code == "removed-operator"
        assert (await desk.hand_in(approve("ben", request)))["state"] == "open"
        assert (await desk.hand_in(approve("cam", request)))["state"] == "granted"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"payload": b"\7" * 32}, "wrong-payload"),
        ({"effect": "Send flowers."}, "other-request"),
        ({"node": b"\7" * 20}, "wrong-node"),
        ({"lever": "another"}, "unknown-request"),
    ],
)
async def test_an_approval_of_something_else_names_what_differs(
    tmp_path: FilePath, changes: dict[str, Any], code: str
) -> None:
    async with open_asked(tmp_path) as desk:
        request = replace(await desk.request(), **changes)
        assert (await desk.refused(approve("ann", request))).code == code
        (refused,) = await desk.audited("approve")
        assert refused["refused"] == code
        assert (await desk.action()).approvals == ()


async def test_an_approval_for_another_network_and_one_by_a_stranger_are_refused(tmp_path: FilePath) -> None:
    async with open_asked(tmp_path) as desk:
        request = await desk.request()
        assert (await desk.refused(approve("ann", request, Domain(OTHER_NETWORK_ID)))).code == "wrong-network"
        assert (await desk.refused(approve("mallory", request))).code == "unknown-operator"


async def test_declined_is_never_done(tmp_path: FilePath) -> None:
    async with open_asked(tmp_path) as desk:
        request = await desk.request()
        digest = (await desk.view())["id"]
        assert (await desk.approving.decline({"request": digest}))["state"] == "declined"
        assert (await desk.action()).state is State.DECLINED
        assert (await desk.refused(approve("ann", request))).code == "not-open"
        with pytest.raises(ControlError, match="declined already"):
            await desk.approving.decline({"request": digest})
        assert desk.bench.lever.ran == []


async def test_what_was_disarmed_before_it_was_granted_is_not_done(tmp_path: FilePath) -> None:
    async with open_asked(tmp_path) as desk:
        request = await desk.request()
        await desk.bench.store.writer.submit(lambda c: arm(c, armed=False))
        for name in ("ann", "ben"):
            await desk.hand_in(approve(name, request))
        await desk.wait_state(State.LAPSED)
        assert "disarmed" in (await desk.action()).reason


async def test_nonsense_is_malformed(tmp_path: FilePath) -> None:
    async with open_desk(tmp_path) as desk:
        with pytest.raises(ControlError, match="not the text"):
            await desk.approving.approve({"approval": 7})
        with pytest.raises(ControlError, match="not hex"):
            await desk.approving.decline({"request": "no"})
        with pytest.raises(ControlError, match="no request of this node"):
            await desk.approving.decline({"request": "00" * 32})

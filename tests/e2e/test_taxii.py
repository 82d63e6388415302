"""A signal of one node in the STIX of another: over the mesh, the record, the exporter and a TAXII client."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import trio
from e2e_kit import (
    SETTLE_SECONDS,
    feed_key,
    get,
    make_network,
    make_signal,
    publish,
    url_of,
    wait_held,
    wait_open,
    wait_served,
)
from stix2validator import ValidationOptions, validate_instance
from tocsin_node.api.feed_db import open_feed_db
from tocsin_node.api.keys import Scope
from tocsin_node.api.suggestions import State, read_suggestions
from tocsin_node.demo.processes import NodeProcess, open_nodes

# That ids are random, and relationships of kinds that all know, is not for uuid5 and extensions.
OPTIONS = ValidationOptions(version="2.1", disabled=["uuid-check", "relationship-types"])
MEDIA = "application/taxii+json;version=2.1"
ROOT = "/taxii2/tocsin"
ATTACKER = "0x" + "ba" * 20
INDICATOR = {
    "type": "indicator",
    "spec_version": "2.1",
    "id": "indicator--0d9b1f6e-6b3f-4f0e-9c57-6f0f6c8a1b2c",
    "created": "2026-11-01T00:00:00.000Z",
    "modified": "2026-11-01T00:00:00.000Z",
    "valid_from": "2026-11-01T00:00:00.000Z",
    "pattern_type": "stix",
    "pattern": f"[cryptocurrency-wallet:value = '{ATTACKER}']",
}


async def objects(node: NodeProcess, circle: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    """All of a collection, page by page."""
    found: list[dict[str, Any]] = []
    query: dict[str, str] = {}
    async with httpx.AsyncClient(trust_env=False, timeout=SETTLE_SECONDS) as client:
        while True:
            url = url_of(node, f"{ROOT}/collections/{circle}/objects/")
            page = await client.get(url, params=query, headers={"accept": MEDIA} | headers)
            assert page.status_code == 200, page.text
            found += page.json().get("objects", [])
            if not page.json().get("more"):
                return found
            query["next"] = page.json()["next"]


async def wait_told(node: NodeProcess, circle: str, headers: dict[str, str], digests: set[bytes]) -> None:
    """Until a collection holds what stands for these signals."""
    with trio.fail_after(SETTLE_SECONDS):
        while True:
            found = str(await objects(node, circle, headers))
            if all(digest.hex() in found for digest in digests):
                return
            # it is another process that exports, and it has no event for us
            await trio.sleep(0.2)


def marked(tlp: str) -> dict[str, Any]:
    """A signal that says its marking, about an account of its own and one that all of them name."""
    victim = f"eip155:1:0x{tlp.encode().hex():0>40}"
    subjects = [{"role": "attacker", "value": f"eip155:1:{ATTACKER}"}, {"role": "victim", "value": victim}]
    return make_signal(subjects=subjects, tlp=tlp, text=f"canary-{tlp}")


async def test_a_signal_of_one_node_is_valid_stix_at_another_and_red_is_for_its_operator_alone(tmp_path: Path) -> None:
    async with open_nodes(make_network(tmp_path, "alba", "brook"), "up") as nodes:
        node, peer = nodes
        await wait_open(nodes, 1)
        await wait_served(node)
        clear, amber, red = await publish(peer, [marked(tlp) for tlp in ("clear", "amber", "red")])
        await wait_held([node], [clear, amber, red])
        operator, member, insurer = (feed_key(node, s) for s in (Scope.OPERATOR, Scope.MEMBER, Scope.INSURER))
        # the operator's collection has all three: whatever the others are to have was exported by then, too
        await wait_told(node, "red", operator, {clear, amber, red})
        seen = {
            "red": await objects(node, "red", operator),
            "amber": await objects(node, "amber", member),
            "green": await objects(node, "green", insurer),
            "clear": await objects(node, "clear", {}),
        }
        for circle, tlps in (("red", {"clear", "amber", "red"}), ("amber", {"clear", "amber"})):
            assert {tlp for tlp in ("clear", "amber", "red") if f"canary-{tlp}" in str(seen[circle])} == tlps
        for circle in ("green", "clear"):
            assert {tlp for tlp in ("clear", "amber", "red") if f"canary-{tlp}" in str(seen[circle])} == {"clear"}
        for found in seen.values():
            for value in found:
                result = validate_instance(value, OPTIONS)
                assert result.is_valid, (value, [str(error) for error in result.errors])
        await check_refused(node, member)


async def check_refused(node: NodeProcess, member: dict[str, str]) -> None:
    """The collection above a reader is not there for him."""
    async with httpx.AsyncClient(trust_env=False, timeout=SETTLE_SECONDS) as client:
        for headers in (member, {}):
            url = url_of(node, f"{ROOT}/collections/red/objects/")
            assert (await client.get(url, headers={"accept": MEDIA} | headers)).status_code == 404


async def test_what_a_sender_hands_in_waits_for_the_operator_and_goes_nowhere_by_itself(tmp_path: Path) -> None:
    async with open_nodes(make_network(tmp_path, "alba", "brook"), "up") as nodes:
        node, _ = nodes
        await wait_open(nodes, 1)
        await wait_served(node)
        sender = feed_key(node, Scope.SENDER)
        async with httpx.AsyncClient(trust_env=False, timeout=SETTLE_SECONDS) as client:
            url, headers = url_of(node, f"{ROOT}/collections/inbox/objects/"), {"content-type": MEDIA} | sender
            sent = await client.post(url, json={"objects": [INDICATOR]}, headers=headers)
            assert (sent.status_code, sent.json()["success_count"]) == (202, 1), sent.text
            status = await client.get(url_of(node, f"{ROOT}/status/{sent.json()['id']}/"), headers=sender)
            assert status.json() == sent.json()
            assert (await client.get(url_of(node, "/v1/signals"), headers=sender)).status_code == 403
        with closing(open_feed_db(node.config.node.data_dir)) as database:
            assert len(read_suggestions(database, states=(State.OPEN,), limit=10)) == 1
        assert (await get(node, "/v1/signals")).json()["signals"] == []
        metrics = (await get(node, "/metrics")).text
        assert "tocsin_feed_suggestions_open 1.0" in metrics

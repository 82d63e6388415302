"""Who plays in the demo: what each member holds, watches and may do, and what the liar tries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tocsin_protocol.evidence.grammar import encode_predicate
from tocsin_protocol.evidence.predicates import BalanceDelta, Predicate, TxIncluded
from tocsin_protocol.roster_model import DetectorEntry
from tocsin_protocol.signing import keccak256

from tocsin_node.chain.abi import encode_call, parse_function
from tocsin_node.clock import now_ms
from tocsin_node.control_verbs import Verb
from tocsin_node.relay.findings import OUTFLOW_CONTENT_HASH, VENDOR
from tocsin_node.setup_node import NodeHome

from .anvil import Anvil, Mined
from .processes import NodeProcess
from .rpc_proxy import RpcProxy
from .scenario_chain import DECIMALS, LENDER_DEPOSITS, POOL_ASSET, UNIT, VAULT_DEPOSITS, Scenario

LENDER, DEX, VAULT, LIAR = "lender", "dex", "vault", "liar"
MEMBERS = (LENDER, DEX, VAULT, LIAR)
HOOKS = {LENDER: "pause-lender", DEX: "pause-dex", VAULT: "pause-vault"}
# What the liar and the lying RPC provider try for.
UNTOUCHED = VAULT
POOL_GUARD = "pool guard"
POOL_GUARD_VENDOR = "pool-guard"
# Whose detectors see what: two vendors, so two voices.
DETECTORS = {
    LENDER: (DetectorEntry("outflow", VENDOR, OUTFLOW_CONTENT_HASH),),
    DEX: (DetectorEntry(POOL_GUARD_VENDOR, POOL_GUARD_VENDOR, keccak256(POOL_GUARD_VENDOR.encode())),),
}
MAX_OUTFLOW_BPS = 1_000
MICRO_USD_PER_DOLLAR = 1_000_000
# The lender may lose 25 M before it is held still; 27.4 M are gone with the second bite.
LENDER_MAL_USD = 25_000_000
_BALANCE_OF = parse_function("balanceOf(address)")


@dataclass(frozen=True, slots=True)
class Cast:
    """The chain, its contracts, the RPC provider that lies, and the nodes by member."""

    anvil: Anvil
    scenario: Scenario
    lying: RpcProxy
    nodes: dict[str, NodeProcess]


def configure_members(homes: list[NodeHome], scenario: Scenario, endpoints: list[str], lying: str) -> None:
    """The lender watches itself; the pool hangs on the lender's receipts; one of the vault's endpoints lies."""
    lender, dex, vault, _ = homes
    watcher = (
        f'\n[[watcher]]\nname = "outflow"\naccounts = ["{scenario.account(scenario.lender)}"]\npoll_ms = 100\n'
        f'[[watcher.assets]]\nasset = "{scenario.asset}"\ndecimals = {DECIMALS}\n'
        f"price_micro_usd = {MICRO_USD_PER_DOLLAR}\nmax_outflow_bps = {MAX_OUTFLOW_BPS}\n"
    )
    _write(lender, scenario, endpoints, scenario.lender, LENDER_DEPOSITS, watcher)
    _write(dex, scenario, endpoints, scenario.dex, POOL_ASSET)
    _write(vault, scenario, [*endpoints, lying], scenario.vault, VAULT_DEPOSITS)
    _append(
        lender, "manifest", f'\n[[token]]\nasset = "{scenario.receipt_asset}"\nkind = "receipt"\nholding = "funds"\n'
    )
    _append(
        dex,
        "manifest",
        f'\n[[dependency]]\nholding = "funds"\nlink = "deposit"\nsubject = "{scenario.receipt_asset}"\n'
        f'provider = "{LENDER}"\nshare_percent = 51\n',
    )
    _append(
        lender,
        "policy",
        f'\n[[limit]]\nscope = "funds"\nmal_usd = {LENDER_MAL_USD}\ndrain_usd_per_s = 1_000_000\nlatency_s = 2\n'
        "opens_freeze = true\n",
    )


def _write(
    home: NodeHome, scenario: Scenario, endpoints: list[str], contract: str, held: int, config: str = ""
) -> None:
    """What a member has on the chain, what it holds, and its one lever."""
    member, target = home.entry.member, scenario.account(contract)
    urls = ", ".join(f'"{url}"' for url in endpoints)
    read = datetime.fromtimestamp(now_ms() / 1000, UTC).isoformat(timespec="milliseconds")
    _append(
        home,
        "node",
        f'\n[[chain]]\nchain = "{scenario.chain}"\nendpoints = [{urls}]\nconfirmations = 1\n'
        f'\n[[hook]]\nkind = "evm"\nname = "{HOOKS[member]}"\ntarget = "{target}"\nfunction = "pause()"\n'
        f'\n[evidence]\ntrusted = ["{scenario.asset}"]\n{config}',
    )
    (home.directory / "manifest.toml").write_text(
        f'protocol = "{member}"\n\n[[holding]]\nname = "funds"\nkind = "market"\nsubjects = ["{target}"]\n'
        f'amount = {{ usd = {held // UNIT}, read = {read}, source = "chain" }}\n'
    )
    pins = "".join(f"{other} = {{ min = 2.5, max = 3.9 }}\n" for other in MEMBERS if other != member)
    home.policy_path.write_text(
        f'[pins]\n{pins}\n[[lever]]\nhook = "{HOOKS[member]}"\ntier = "freeze"\nscopes = ["funds"]\n'
        "effectiveness_percent = 95\ncost_usd = 20_000\nminutes = 60\n"
    )


def _append(home: NodeHome, name: str, text: str) -> None:
    with (home.directory / f"{name}.toml").open("a") as file:
        file.write(text)


async def report_the_dump(cast: Cast, mined: Mined) -> str:
    """The pool's own detector, another vendor's, hands in what it sees; returns what it says."""
    scenario = cast.scenario
    pool = scenario.account(scenario.dex)
    claim = TxIncluded(scenario.chain, mined.block, mined.hash, scenario.asset, pool)
    subjects = [("victim", pool), ("related", scenario.account(scenario.lender))]
    await _publish(cast.nodes[DEX], "Receipts that nobody wants are dumped on the pool.", subjects, claim)
    return "tells the DEX's node that receipts are dumped on the pool"


async def tell_the_lie(cast: Cast) -> str:
    """A member claims that the vault was emptied, and an RPC provider of the vault's swears to it."""
    scenario, anvil = cast.scenario, cast.anvil
    await anvil.mine()
    head = int(str(await anvil.call("eth_blockNumber")), 16)
    block = await anvil.call("eth_getBlockByNumber", hex(head), False)
    asked = "0x" + encode_call(_BALANCE_OF, [scenario.vault]).hex()
    cast.lying.forged[asked, block["hash"]] = "0x" + "00" * 32
    vault = scenario.account(scenario.vault)
    claim = BalanceDelta(scenario.chain, head, vault, scenario.asset, head - 1, VAULT_DEPOSITS, 0)
    await _publish(cast.nodes[LIAR], "The vault is empty!", [("victim", vault)], claim)
    return "claims that the vault was emptied; one of the vault's RPC providers swears that it was"


async def cry_wolf(cast: Cast) -> str:
    """An honest member takes the lender's savers, who leave, for another drain; returns the digest of what he says."""
    said = await cast.nodes[VAULT].ask(Verb.PUBLISH, signals=[_about_lender(cast, "asset.drain", "critical")])
    return str(said["sealed"][0]["digest"])


async def take_it_back(cast: Cast, digest: str) -> None:
    """He has looked again."""
    reference = {"relation": "retracts", "digest": "0x" + digest}
    retraction = _about_lender(cast, "meta.retraction", "low") | {"references": [reference]}
    await cast.nodes[VAULT].ask(Verb.PUBLISH, signals=[retraction])


def _about_lender(cast: Cast, category: str, severity: str) -> dict[str, Any]:
    subjects = [{"role": "victim", "value": cast.scenario.account(cast.scenario.lender)}]
    return {"category": category, "severity": severity, "confidence": 90, "subjects": subjects}


async def _publish(node: NodeProcess, text: str, subjects: list[tuple[str, str]], claim: Predicate) -> None:
    evidence = encode_predicate(claim)
    document: dict[str, Any] = {
        "category": "asset.drain",
        "severity": "critical",
        "confidence": 90,
        "subjects": [{"role": role, "value": value} for role, value in subjects],
        "evidence": [
            {
                "kind": str(evidence.kind),
                "chain": evidence.chain,
                "block": evidence.block,
                "reference": evidence.reference,
                "detail": evidence.detail,
            }
        ],
        "text": text,
    }
    await node.ask(Verb.PUBLISH, signals=[document])

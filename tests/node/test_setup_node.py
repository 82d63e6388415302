"""Node homes and genesis as library functions: what the tests and the demo stand on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tocsin_node.config import load_config
from tocsin_node.demo.network import free_ports
from tocsin_node.errors import ConfigError
from tocsin_node.keystore import LEAST_COST
from tocsin_node.manifest_file import load_manifest
from tocsin_node.policy_file import load_policy
from tocsin_node.roster_files import create_genesis, genesis_hash, load_genesis, read_entry, write_roster
from tocsin_node.setup_node import NodeHome, NodePlan, create_node_home, pin_genesis, propose_pins
from tocsin_protocol.errors import DecodeError, RosterError
from tocsin_protocol.roster_model import Capability, DetectorEntry, RateClass

NOW_MS = 1_800_000_000_000
NETWORK = bytes(range(32))


def make(directory: Path, member: str, **more: object) -> NodeHome:
    plan = replace(NodePlan(member, member.title(), listen=("/ip4/192.0.2.1/tcp/9400",)), **more)  # type: ignore[arg-type]
    return create_node_home(directory / member, plan, NOW_MS, cost=LEAST_COST)


def test_network_of_three_is_made_and_pinned(tmp_path: Path) -> None:
    homes = [make(tmp_path, member) for member in ("watch", "dex", "lender")]
    signed = create_genesis((read_entry(home.entry_path) for home in homes), NETWORK)
    for home in homes:
        roster = pin_genesis(home.config_path, signed, genesis_hash(signed))
        assert [member.name for member in roster.members] == ["dex", "lender", "watch"]
        config = load_config(home.config_path)
        assert load_genesis(config.network.genesis, config.genesis_hash) == roster
    assert propose_pins(roster, "dex") == ("lender", "watch")


def test_a_port_comes_again_only_after_all_others() -> None:
    # nobody listens on any of them
    ports = [port for _ in range(50) for port in free_ports(2)]
    assert len(set(ports)) == len(ports)


def test_policy_and_manifest_of_a_new_node_load_and_do_nothing(tmp_path: Path) -> None:
    home = make(tmp_path, "dex")
    config = load_config(home.config_path, pinned=False)
    assert (config.policy.file, config.exposure.manifest) == (home.policy_path, home.manifest_path)
    assert config.manifests_dir == home.directory / "manifests"
    manifest = load_manifest(config.exposure.manifest, config.node.member)
    assert (manifest.protocol, manifest.holdings) == ("dex", ())
    assert load_policy(config.policy.file, config.hook_names, ()).policy.levers == ()


def test_policy_and_manifest_may_be_given(tmp_path: Path) -> None:
    plan = NodePlan("dex", "Dex")
    given = {"policy": "version = 1\n", "manifest": 'protocol = "dex"\n'}
    home = create_node_home(tmp_path / "n", plan, NOW_MS, cost=LEAST_COST, **given)
    assert home.policy_path.read_text() == given["policy"]
    assert home.manifest_path.read_text() == given["manifest"]


def test_entry_on_disk_is_the_entry(tmp_path: Path) -> None:
    detectors = (DetectorEntry("outflow", "us", b"\xab" * 32),)
    home = make(
        tmp_path, "dex", detectors=detectors, rpc_groups=("a", "b"), rate_class=RateClass.HIGH,
        capabilities=(Capability.PUBLISH,), addresses=("/dns4/node.example/tcp/9400",),
    )  # fmt: skip
    assert read_entry(home.entry_path) == home.entry
    assert home.entry.publisher.detectors == detectors
    assert home.entry.publisher.addresses == ("/dns4/node.example/tcp/9400",)
    assert home.entry.publisher.valid_from_ms < NOW_MS < home.entry.publisher.valid_until_ms


@pytest.mark.parametrize("text", ['a "quoted" name', "back\\slash", "Ünïcødé ✓", "]"])
def test_odd_texts_survive_the_config(tmp_path: Path, text: str) -> None:
    home = make(tmp_path, "dex", organisation=text)
    assert read_entry(home.entry_path).organisation == text
    odd = tmp_path / 'odd "dir" ü'
    odd.mkdir()
    passphrase = odd / "pass\\phrase"
    passphrase.write_text("correct horse battery staple")
    passphrase.chmod(0o600)
    made = create_node_home(odd / "n", NodePlan("dex", text), NOW_MS, passphrase_file=passphrase, cost=LEAST_COST)
    assert load_config(made.config_path, pinned=False).keys.passphrase_file == passphrase


@pytest.mark.parametrize(
    "extra", ["[[chain]]\nchain = 'x'", "[node]", "[[hook", "colour = 1"], ids=["chain", "twice", "cut", "key"]
)
def test_config_that_would_not_load_makes_no_keys(tmp_path: Path, extra: str) -> None:
    with pytest.raises(ConfigError):
        create_node_home(tmp_path / "n", NodePlan("dex", "Dex"), NOW_MS, cost=LEAST_COST, extra_config=extra)
    assert not (tmp_path / "n").exists()


def test_root_key_of_a_member_may_be_used_again(tmp_path: Path) -> None:
    root = bytes(31) + b"\7"
    homes = [
        create_node_home(tmp_path / str(n), NodePlan("dex", "Dex"), NOW_MS, root_secret=root, cost=LEAST_COST)
        for n in range(2)
    ]
    signed = create_genesis((home.entry for home in homes), NETWORK)
    roster = pin_genesis(homes[0].config_path, signed, genesis_hash(signed))
    assert len(roster.members[0].publishers) == 2
    assert not homes[0].root_path.exists()


def test_two_roots_of_one_member_are_refused(tmp_path: Path) -> None:
    homes = [create_node_home(tmp_path / str(n), NodePlan("dex", "Dex"), NOW_MS, cost=LEAST_COST) for n in range(2)]
    with pytest.raises(RosterError, match="two entries of member 'dex' differ in root key"):
        create_genesis((home.entry for home in homes), NETWORK)


def test_same_entry_twice_is_refused(tmp_path: Path) -> None:
    home = make(tmp_path, "dex")
    with pytest.raises(DecodeError, match="publisher key"):
        create_genesis([home.entry, home.entry], NETWORK)


def test_entry_changed_on_the_way_is_refused(tmp_path: Path) -> None:
    home = make(tmp_path, "dex")
    text = home.entry_path.read_text()
    for old, new in (
        (home.entry.publisher.peer_id, home.entry.publisher.peer_id[:-1]),
        ("0x" + home.entry.root.hex(), "0x" + home.entry.root.hex().upper()),
        ('"standard"', '"unlimited"'),
        ('"revoked": []', '"revoked": [[0, 5], [0, 6]]'),
        ('"kind": "tocsin roster entry"', '"kind": "x"'),
    ):
        assert old in text
        home.entry_path.write_text(text.replace(old, new))
        with pytest.raises(ConfigError, match="is not a roster entry"):
            read_entry(home.entry_path)


def test_another_genesis_in_place_of_the_pinned_one_is_refused(tmp_path: Path) -> None:
    home = make(tmp_path, "dex")
    signed = create_genesis([home.entry], NETWORK)
    pin_genesis(home.config_path, signed, genesis_hash(signed))
    config = load_config(home.config_path)
    write_roster(config.network.genesis, create_genesis([home.entry], bytes(32)), replaces=True)
    with pytest.raises(ConfigError, match="pinned is"):
        load_genesis(config.network.genesis, config.genesis_hash)


def test_config_pinned_by_hand_is_taken(tmp_path: Path) -> None:
    home = make(tmp_path, "dex")
    signed = create_genesis([home.entry], NETWORK)
    text = home.config_path.read_text()
    home.config_path.write_text(text.replace('genesis_hash = ""', f"genesis_hash = '{genesis_hash(signed).hex()}'"))
    pin_genesis(home.config_path, signed, genesis_hash(signed))
    assert load_genesis(load_config(home.config_path).network.genesis, genesis_hash(signed)).epoch == 0

"""node.toml: what is taken, and that each fault is one sentence with file, key, value and what was wanted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tocsin_node.config import NodeConfig, check_listen, check_multiaddr, load_config
from tocsin_node.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]
VAULT = "eip155:1:0x" + "11" * 20
PEER = "12D3KooWCSkz9z1BVFUvSCD6En47pgz2N7AWb9T3puTRHZyTwT4j"
BASE = f"""
[node]
member = "lender"
data_dir = "data"
[network]
genesis = "genesis.roster"
genesis_hash = "{"ab" * 32}"
[keys]
keystore = "keystore.json"
passphrase_file = "passphrase"
[policy]
file = "policy.toml"
"""
CHAIN = """
[[chain]]
chain = "eip155:1"
endpoints = ["http://127.0.0.1:8545"]
"""
HOOK = f"""
[[hook]]
kind = "evm"
name = "pause"
target = "eip155:1:0x{"11" * 20}"
"""
WATCHER = f"""
[[watcher]]
name = "outflow"
accounts = ["eip155:1:0x{"11" * 20}"]
[[watcher.assets]]
asset = "eip155:1/erc20:0x{"22" * 20}"
decimals = 6
price_micro_usd = 1_000_000
"""


def load(directory: Path, text: str, *, pinned: bool = True) -> NodeConfig:
    path = directory / "node.toml"
    path.write_text(text)
    return load_config(path, pinned=pinned)


def sentence(directory: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(directory, text)
    message = str(caught.value)
    assert "\n" not in message
    place = re.match(rf"{directory / 'node.toml'}(:[0-9]+)?: ", message)
    assert place
    return message[place.end() :]


def test_smallest_config_has_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, BASE)
    assert config.node.member == "lender"
    assert config.feed.host == "127.0.0.1"
    assert config.feed.port == 9480
    assert config.mesh.listen == ("/ip4/0.0.0.0/tcp/9400",)
    assert config.genesis_hash == bytes.fromhex("ab" * 32)
    assert (config.chains, config.hooks, config.watchers, config.evidence.trusted) == ((), (), (), ())


def test_node_without_a_policy_and_a_manifest_is_taken(tmp_path: Path) -> None:
    config = load(tmp_path, BASE.replace('[policy]\nfile = "policy.toml"\n', ""))
    assert (config.policy.file, config.exposure.manifest) == (None, None)
    assert config.manifests_dir == tmp_path / "manifests"


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "node.toml").write_text(BASE)
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("home/node.toml"))
    assert config.node.data_dir == tmp_path / "home" / "data"
    assert config.keys.keystore == tmp_path / "home" / "keystore.json"
    assert config.control_path == tmp_path / "home" / "data" / "control.sock"


def test_example_is_taken(tmp_path: Path) -> None:
    config = load(tmp_path, (REPOSITORY / "deploy" / "node.example.toml").read_text())
    assert config.hook_names == {"pause-vault", "freeze-market", "tighten-caps", "page-on-call"}
    assert config.policy.file == tmp_path / "policy.toml"
    assert config.exposure.manifest == tmp_path / "manifest.toml"
    assert config.manifests_dir == tmp_path / "manifests"
    assert config.evidence.trusted == ("eip155:1/erc20:0x" + "22" * 20,)
    assert [watcher.name for watcher in config.watchers] == ["vault-outflow"]
    webhook = config.hooks[-1]
    assert getattr(webhook, "secret_file") == tmp_path / "webhook.secret"  # noqa: B009 - of one kind of hook only


def test_what_the_example_has_as_comments_is_taken_too(tmp_path: Path) -> None:
    text = (REPOSITORY / "deploy" / "node.example.toml").read_text()
    head, rest = text.split("# The other kinds", 1)
    kinds, tail = rest.split("# Watchers:", 1)
    config = load(tmp_path, head + re.sub(r"(?m)^# (?=\[\[hook\]\]|[a-z_]+ = )", "", "#" + kinds) + "#" + tail)
    known = {"evm", "safe-module", "safe-owners", "safe-proposal", "webhook", "command", "plugin"}
    assert {hook.kind for hook in config.hooks} == known
    folders = {getattr(hook, "folder", None) for hook in config.hooks}
    assert folders == {None, tmp_path / "safe"}


def test_sections_of_other_modules_are_checked_with_it(tmp_path: Path) -> None:
    config = load(tmp_path, BASE + CHAIN + HOOK + WATCHER)
    assert config.chains[0].chain_id == 1
    assert config.hook_names == {"pause"}
    assert config.watchers[0].assets[0].decimals == 6


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ('member = "lender"', "", "node.member: is missing"),
        ('member = "lender"', 'member = "Lender Ltd"', "node.member = 'Lender Ltd': 'Lender Ltd' is not a short name"),
        ('member = "lender"', "member = 7", "node.member = 7: a valid string is wanted"),
        ('member = "lender"', 'membre = "lender"', "node.membre: is no known key: did you mean 'member'?"),
        ("[node]", "[nodes]", "nodes: is no known key: did you mean 'node'?"),
        ('genesis_hash = "', 'genesis_hash = "0x', "network.genesis_hash = "),
        ('passphrase_file = "passphrase"', "", "keys: one of passphrase_file and passphrase_credential is wanted"),
        ("[policy]", 'passphrase_credential = "x"\n[policy]', "keys: one of passphrase_file and passphrase_credential"),
        ("[policy]", '[feed]\nlisten = "localhost"\n[policy]', "feed.listen = 'localhost': 'localhost' is not"),
        ("[policy]", '[feed]\nlisten = "127.0.0.1:70000"\n[policy]', "feed.listen = '127.0.0.1:70000'"),
        ("[policy]", "[mesh]\nlisten = []\n[policy]", "mesh.listen = []"),
        ("[policy]", '[mesh]\nlisten = ["0.0.0.0:1"]\n[policy]', "mesh.listen[0] = '0.0.0.0:1': "),
        ("[policy]", '[mesh.addresses]\nQm = ["/ip4/1.2.3.4/tcp/1"]\n[policy]', "mesh.addresses.Qm = "),
        ("[policy]", f'[mesh.addresses]\n{PEER} = ["/ip4/1.2.3/tcp/1"]\n[policy]', f"mesh.addresses.{PEER}[0]"),
        ("[policy]", '[log]\nlevel = "loud"\n[policy]', "log.level = 'loud': 'debug', 'info',"),
        ("[policy]", '[log]\njson = "yes"\n[policy]', "log.json = 'yes': a valid boolean is wanted"),
        ("[policy]", '[pins]\nmembers = ["a"]\n[policy]', "pins: is no known key"),
        ('file = "policy.toml"', "file = 7", "policy.file = 7: "),
        ("[policy]", '[exposure]\nmanifests = ["a"]\n[policy]', "exposure.manifests = ['a']: "),
        ("[policy]", '[evidence]\ntrusted = ["eip155:1:0x12"]\n[policy]', "evidence.trusted[0] = 'eip155:1:0x12': "),
        ("[policy]", '[evidence]\ntrusted = ["compound-v2"]\n[policy]', "evidence.trusted[0] = 'compound-v2': "),
        ("[policy]", f"[evidence]\ntrusted = {[VAULT, VAULT]}\n[policy]", f"evidence.trusted = {[VAULT, VAULT]}: a "),
        ("[policy]", "when = 2026-01-01\n[policy]", "keys.when: is no known key"),
        ("[policy]", "[policy", "is not TOML: "),
    ],
)  # fmt: skip
def test_each_fault_is_named(tmp_path: Path, old: str, new: str, wanted: str) -> None:
    assert old in BASE
    assert sentence(tmp_path, BASE.replace(old, new)).startswith(wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (HOOK, f"hook[0].target = 'eip155:1:0x{'11' * 20}': a [[chain]] section with chain = 'eip155:1' is wanted"),
        (WATCHER, "watcher[0].accounts = "),
        (CHAIN + HOOK + HOOK, "hook[1].name = 'pause': is taken by another [[hook]] already"),
        (CHAIN + CHAIN, "chain[1].chain = 'eip155:1': is taken by another [[chain]] already"),
        (CHAIN + WATCHER + WATCHER, "watcher[1].name = 'outflow': is taken"),
        (CHAIN + HOOK.replace('"evm"', '"safe"'), "hook[0].kind = 'safe': one of 'evm', 'safe-module', "),
        (CHAIN + HOOK.replace('kind = "evm"', ""), "hook[0].kind: is missing"),
        (CHAIN + HOOK.replace("target", "tarjet"), "hook[0].tarjet: is no known key"),
        (CHAIN + HOOK + "colour = 1", "hook[0].colour: is no known key"),
        (CHAIN.replace('"http://127.0.0.1:8545"', ""), "chain[0].endpoints = []"),
        (CHAIN.replace("http:", "ftp:"), "chain[0].endpoints = ['ftp://127.0.0.1:8545']: "),
        (CHAIN + WATCHER.replace("decimals = 6", "decimals = -1"), "watcher[0].assets[0].decimals = -1: "),
        ("[[chains]]\nx = 1", "chains: is no known key: did you mean 'chain'?"),
    ],
)
def test_each_fault_of_a_list_is_named_with_its_place(tmp_path: Path, text: str, wanted: str) -> None:
    assert sentence(tmp_path, BASE + text).startswith(wanted)


ANCHOR = """
[log.anchor]
chain = "eip155:1"
keystore = "anchor.json"
max_day_spend_wei = 10_000_000_000_000_000
"""


def test_an_anchor_is_off_unless_configured(tmp_path: Path) -> None:
    assert load(tmp_path, BASE + CHAIN).log.anchor is None
    anchor = load(tmp_path, BASE + CHAIN + ANCHOR).log.anchor
    assert anchor is not None
    assert (anchor.keystore, anchor.interval_minutes) == (tmp_path / "anchor.json", 60)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (
            "eip155:1",
            "eip155:10",
            "log.anchor.chain = 'eip155:10': a [[chain]] section with chain = 'eip155:10' is wanted",
        ),
        ("eip155:1", "solana:1", "log.anchor.chain = 'solana:1': "),
        ("max_day_spend_wei = 10_000_000_000_000_000", "", "log.anchor.max_day_spend_wei: is missing"),
        ("10_000_000_000_000_000", "0", "log.anchor.max_day_spend_wei = 0: "),
        ('keystore = "anchor.json"', "", "log.anchor.keystore: is missing"),
        ("anchor.json", "keystore.json", "log.anchor.keystore = 'keystore.json': a keystore of its own is wanted"),
        ("max_day", "interval_minutes = 0\nmax_day", "log.anchor.interval_minutes = 0: "),
        ("max_day", "gas_limit = 21_000\nmax_day", "log.anchor.gas_limit = 21000: "),
        ("max_day_spend_wei", "max_day_spend", "log.anchor.max_day_spend: is no known key"),
    ],
)
def test_each_fault_of_an_anchor_is_named_with_its_line(tmp_path: Path, old: str, new: str, wanted: str) -> None:
    text = BASE + CHAIN + ANCHOR.replace(old, new)
    assert sentence(tmp_path, text).startswith(wanted)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert caught.value.line is not None
    assert caught.value.line > (BASE + CHAIN).count("\n")


def test_faults_have_their_line(tmp_path: Path) -> None:
    for text, line in (
        (BASE.replace('"lender"', "7"), 3),
        (BASE.replace('member = "lender"', ""), 2),
        (BASE + "[[chain]", BASE.count("\n") + 1),
        (BASE + CHAIN + HOOK + "colour = 1", (BASE + CHAIN + HOOK).count("\n") + 1),
        (BASE + CHAIN + HOOK + HOOK, (BASE + CHAIN + HOOK).count("\n") + 4),
        (BASE + HOOK, (BASE + HOOK).count("\n")),
    ):
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, text)
        assert caught.value.line == line
        assert str(caught.value).startswith(f"{tmp_path / 'node.toml'}:{line}: ")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, BASE[BASE.index("[network]") :])
    assert caught.value.line is None


def test_unpinned_network_says_what_to_do(tmp_path: Path) -> None:
    text = BASE.replace("ab" * 32, "")
    assert sentence(tmp_path, text).endswith("the hash of the genesis roster is wanted: run tocsin roster pin")
    assert load(tmp_path, text, pinned=False).network.genesis_hash == ""


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"node\.toml: cannot be read: No such file"):
        load_config(tmp_path / "node.toml")
    (tmp_path / "node.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config(tmp_path / "node.toml")


@pytest.mark.parametrize("text", ["/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/9400", "/dns4/node.example.org/tcp/65535"])
def test_tcp_multiaddrs_are_taken(text: str) -> None:
    assert check_multiaddr(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "/ip4/127.0.0.1", "/ip4/::1/tcp/1", "/ip6/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/65536", "/ip4/1.2.3.4/tcp/01",
     "/ip4/1.2.3.4/udp/1", "/ip4/1.2.3.4/tcp/1/p2p/x"],
)  # fmt: skip
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        check_multiaddr(text)


def test_ipv6_feed_address_has_brackets(tmp_path: Path) -> None:
    assert check_listen("[::1]:80") == "[::1]:80"
    assert load(tmp_path, BASE + '[feed]\nlisten = "[::1]:80"').feed.host == "::1"


def test_the_feeds_tls_origins_and_networks_are_read(tmp_path: Path) -> None:
    feed = load(
        tmp_path,
        BASE + '[feed]\ntls_cert = "feed.pem"\ntls_key = "key.pem"\ncors_origins = ["https://desk.example.org"]\n'
        'webhook_networks = ["10.1.0.0/16"]',
    ).feed
    assert (feed.tls_cert, feed.tls_key) == (tmp_path / "feed.pem", tmp_path / "key.pem")
    assert (feed.cors_origins, feed.webhook_networks) == (("https://desk.example.org",), ("10.1.0.0/16",))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('tls_cert = "feed.pem"', "wanted together"),
        ('cors_origins = ["*"]', "not an origin"),
        ('cors_origins = ["https://desk.example.org/"]', "not an origin"),
        ('webhook_networks = ["10.1.0.1/16"]', "not a network"),
    ],
)
def test_what_the_feed_cannot_be_set_to_is_refused(tmp_path: Path, line: str, told: str) -> None:
    assert told in sentence(tmp_path, BASE + f"[feed]\n{line}")


DRILL = HOOK.replace('name = "pause"', 'name = "drill"\ndrill = true\ncheck = ""\nfunction = "paused()"')


def test_a_drill_hook_is_no_lever_of_any_policy(tmp_path: Path) -> None:
    config = load(tmp_path, BASE + CHAIN + HOOK + DRILL)
    assert (config.hook_names, config.drill_names) == ({"pause"}, {"drill"})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (DRILL, "a drill has no effect: function = a view that a lever"),
        (HOOK + DRILL.replace("paused()", "pause()"), "a drill has no effect"),
        (HOOK + f'[safety]\nnever_touch = ["{VAULT}"]\n', "is on the never-touch list (safety.never_touch)"),
        (HOOK + '[safety]\nnever_touch = ["0x8456cb59"]\n', "the function pause() (0x8456cb59)"),
        ('[safety]\nnever_touch = ["0x11"]\n', "an account such as"),
        ('[safety]\nnever_touch = ["eip155:1:0xZZ"]\n', "an account such as"),
        ('[safety]\ndisarm_keys = ["alice"]\n', "disarm_keys"),
        ("[safety]\nmax_actions_per_hour = 0\n", "max_actions_per_hour"),
        ('[watchdog]\nurl = "https://a.example.org/"\n', "url and secret_file go together"),
    ],
)
def test_what_would_harm_the_node_itself_is_one_sentence(tmp_path: Path, text: str, wanted: str) -> None:
    assert wanted in sentence(tmp_path, BASE + CHAIN + text)

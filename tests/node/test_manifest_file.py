"""manifest.toml: what it may say, that each fault is one sentence with its line, and the exposure that follows."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from signed_manifests_kit import NOW_MS, make_index, write_signed
from tocsin_node.config import NodeConfig, load_config
from tocsin_node.errors import ConfigError
from tocsin_node.exposure import make_exposure, no_exposure
from tocsin_node.manifest_file import load_exposure, load_manifest
from tocsin_node.manifest_notes import find_manifest_notes
from tocsin_node.manifest_sections import subject_of
from tocsin_node.samples import sample_manifest
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.exposure.manifest import Amount, AmountSource, Link, Manifest, PriceBounds, Token, TokenKind
from tocsin_protocol.exposure.manifest_encoding import decode_manifest, encode_manifest
from tocsin_protocol.taxonomy import SubjectKind

DEPLOY = Path(__file__).parents[2] / "deploy"
VAULT, KEEPER, FEED = (f"eip155:1:0x{byte * 20}" for byte in ("11", "44", "55"))
TOKEN = "eip155:1/erc20:0x" + "22" * 20
READ = "read = 2023-11-14T12:00:00Z"
BALANCE = f'{{ account = "{VAULT}", asset = "{TOKEN}", decimals = 6, usd_each = 1.0 }}'
MANIFEST = f"""\
version = 1
protocol = "dex"
[[holding]]
name = "usdc"
kind = "market"
subjects = ["{VAULT}"]
amount = {{ usd = 1_000_000.5, read = 2023-11-14T12:00:00Z, source = "chain" }}
[[holding]]
name = "eth"
kind = "pool"
subjects = [
  "{KEEPER}",
]
[[token]]
asset = "eip155:1/erc20:0x{"33" * 20}"
kind = "receipt"
holding = "usdc"
[[dependency]]
holding = "usdc"
link = "collateral"
subject = "{TOKEN}"
provider = "lender"
share_percent = 60.5
amount = {{ usd = 400_000, read = 2023-11-14T13:00:00+01:00 }}
[[dependency]]
holding = "eth"
link = "oracle"
subject = "{FEED}"
bounds = {{ low_usd = 0.97, high_usd = 1.03, max_age_s = 3600 }}
[[dependency]]
link = "compiler"
subject = "vyper 0.2.15"
"""


def load(directory: Path, text: str, member: str | None = None) -> Manifest:
    path = directory / "manifest.toml"
    path.write_text(text)
    return load_manifest(path, member)


def test_everything_is_read_in_the_one_order(tmp_path: Path) -> None:
    manifest = load(tmp_path, MANIFEST, "dex")
    eth, usdc = manifest.holdings
    assert (eth.name, eth.amount) == ("eth", None)
    assert usdc.amount == Amount(1_000_000_500_000, 1_699_963_200_000, AmountSource.CHAIN)
    assert [subject.value for subject in usdc.subjects] == [VAULT]
    assert manifest.tokens == (Token("eip155:1/erc20:0x" + "33" * 20, TokenKind.RECEIPT, "usdc"),)
    compiler, oracle, collateral = manifest.dependencies
    assert (compiler.holding, compiler.link, compiler.subject.value) == ("", Link.COMPILER, "vyper 0.2.15")
    assert oracle.bounds == PriceBounds(970_000, 1_030_000, 3_600_000)
    assert (collateral.provider, collateral.share_ppm) == ("lender", 605_000)
    assert collateral.amount == Amount(400_000_000_000, 1_699_963_200_000, AmountSource.DECLARED)
    assert decode_manifest(encode_manifest(manifest)) == manifest


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_manifest_without_a_protocol_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"manifest\.toml: protocol: is missing"):
        load(tmp_path, text)


def test_sample_names_nothing_until_its_comment_signs_are_gone(tmp_path: Path) -> None:
    text = sample_manifest("lender")
    assert load(tmp_path, text, "lender") == Manifest("lender", (), (), ())
    lines = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# [") or " = " in line]
    manifest = load(tmp_path, "\n".join(lines), "lender")
    assert (len(manifest.holdings), len(manifest.tokens), len(manifest.dependencies)) == (1, 1, 1)


def test_no_file_is_a_manifest_that_names_nothing() -> None:
    assert load_manifest(None, "dex") == Manifest("dex", (), (), ())


def test_example_is_taken() -> None:
    manifest = load_manifest(DEPLOY / "manifest.example.toml", "example-lend")
    assert (len(manifest.holdings), len(manifest.dependencies)) == (2, 5)
    make_exposure(manifest)


def test_sum_beyond_all_bounds_of_the_encoding_is_written_as_its_largest(tmp_path: Path) -> None:
    amount = load(tmp_path, MANIFEST.replace("usd = 1_000_000.5", "usd = 20_000_000_000")).holdings[1].amount
    assert amount is not None
    assert amount.micro_usd == MAX_UINT


@pytest.mark.parametrize(
    ("old", "new", "line", "wanted"),
    [
        ("version = 1", "version = 0", 1, "version = 0: 1 is wanted"),
        ('"dex"', '"Dex"', 2, "protocol = 'Dex': 'Dex' is not a short name"),
        ('"dex"', '"lender"', 2, "protocol = 'lender': 'dex', the member of this node, is wanted"),
        ('name = "usdc"', 'name = "US Dollar"', 4, "holding[0].name = 'US Dollar': "),
        ('kind = "market"', 'kind = "marked"', 5, "holding[0].kind = 'marked': 'asset', 'market', 'pool' or 'bridge'"),
        ("0x1111", "0xAA11", 6, "holding[0].subjects[0] = 'eip155:1:0xAA11"),
        (VAULT, "0x1111", 6, "holding[0].subjects[0] = '0x1111': "),
        (f'["{VAULT}"]', '["compound-v2"]', 6, "holding[0].subjects[0] = 'compound-v2': an account or asset of our"),
        (f'["{VAULT}"]', f'["{VAULT}", "{VAULT}"]', 6, "holding[0].subjects[1] = "),
        (f'["{VAULT}"]', "[]", 6, "holding[0].subjects = []: "),
        ("usd = 1_000_000.5", "usd = -1", 7, "holding[0].amount.usd = -1: "),
        ("usd = 1_000_000.5", "usd = nan", 7, "holding[0].amount.usd = nan: a finite number is wanted"),
        ("usd = 1_000_000.5", "usd = inf", 7, "holding[0].amount.usd = inf: "),
        ("usd = 1_000_000.5", 'usd = "much"', 7, "holding[0].amount.usd = 'much': a valid number is wanted"),
        ("usd = 1_000_000.5, ", "", 7, "holding[0].amount.usd: is missing"),
        ("12:00:00Z", "12:00:00", 7, "holding[0].amount.read = "),
        ("2023-11-14T12:00:00Z", "1823-11-14T12:00:00Z", 7, "holding[0].amount.read = "),
        ("2023-11-14T12:00:00Z", '"yesterday"', 7, "holding[0].amount.read = 'yesterday': "),
        ('"chain"', '"moon"', 7, "holding[0].amount.source = 'moon': 'chain', 'feed' or 'declared' is wanted"),
        (READ, f"{READ}, balances = [{BALANCE.replace('erc20', 'erc721')}]", 7,
         "holding[0].amount.balances[0].asset = "),
        (READ, f"{READ}, balances = [{BALANCE.replace(TOKEN, TOKEN.replace('eip155:1/', 'eip155:2/'))}]", 7,
         "holding[0].amount.balances[0]: account and asset are of two chains: eip155:1, eip155:2"),
        (READ, f"{READ}, balances = [{BALANCE.replace('decimals = 6', 'decimals = 37')}]", 7,
         "holding[0].amount.balances[0].decimals = 37: "),
        (READ, f"{READ}, balances = [{BALANCE.replace(', usd_each = 1.0', '')}]", 7,
         "holding[0].amount.balances[0].usd_each: is missing"),
        ('name = "eth"', 'name = "usdc"', 9, "holding[1].name = 'usdc': stands in another [[holding]] already"),
        (KEEPER, "vyper 0.2.15", 12, "holding[1].subjects[0] = 'vyper 0.2.15': an account or asset of our own"),
        ('erc20:0x3333', 'erc20:0x333', 15, "token[0].asset = "),
        ('"receipt"\nholding = "usdc"', '"lp"\nholding = "usd"', 17, "token[0].holding = 'usd': is no [[holding]] of"),
        ('holding = "usdc"\nlink', 'holding = "usd"\nlink', 19, "dependency[0].holding = 'usd': is no [[holding]] of"),
        ('link = "collateral"', 'link = "part"', 20, "dependency[0].link = 'part': "),
        ('link = "collateral"', 'link = "oracle"', 21, "dependency[0].subject = 'eip155:1/erc20:0x2222"),
        (TOKEN, "0x" + "22" * 31, 21, "dependency[0].subject = "),
        ('"lender"', '"A Lender"', 22, "dependency[0].provider = 'A Lender': "),
        ("60.5", "0", 23, "dependency[0].share_percent = 0: "),
        ("60.5", "101", 23, "dependency[0].share_percent = 101: "),
        ('holding = "usdc"\nlink', "link", 23, "dependency[0].amount: belongs to one holding: name it"),
        ("bounds = {", "# bounds = {", 25, "dependency[1].bounds: is missing: what prices"),
        ("low_usd = 0.97", "low_usd = 1.97", 29, "dependency[1].bounds.low_usd = 1.97: is above high_usd = 1.03"),
        ("max_age_s = 3600", "max_age_s = 0", 29, "dependency[1].bounds.max_age_s = 0: "),
        ('"vyper 0.2.15"', '"vyper"', 32, "dependency[2].subject = 'vyper': is of kind lineage; compiler takes depend"),
        ('link = "compiler"\nsubject = "vyper 0.2.15"', f'link = "oracle"\nholding = "eth"\nsubject = "{FEED}"', 33,
         "dependency[2].subject = "),
        ("[[dependency]]", "[[dependencies]]", 18, "dependencies: is no known key: did you mean 'dependency'?"),
        ("version = 1\n", "version = 1\nversion = 1\n", 2, "is not TOML: "),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, wanted: str) -> None:
    assert old in MANIFEST
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, MANIFEST.replace(old, new, 1), "dex")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'manifest.toml'}:{line}: {wanted}")
    assert "\n" not in message


def test_address_in_mixed_case_is_told_in_its_one_spelling(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f": write {VAULT.replace('0x11', '0xaa')}"):
        load(tmp_path, MANIFEST.replace("0x11", "0xAa", 1))


def test_more_links_than_a_manifest_may_make_are_refused(tmp_path: Path) -> None:
    holdings = "".join(
        f'[[holding]]\nname = "h{n}"\nkind = "asset"\nsubjects = ["eip155:1:0x{n:040x}"]\n' for n in range(64)
    )
    links = "".join(f'[[dependency]]\nlink = "similar-code"\nsubject = "family-{n}"\n' for n in range(17))
    with pytest.raises(ConfigError, match="make 1088 links where at most 1024"):
        load(tmp_path, 'protocol = "dex"\n' + holdings + links)


def test_tokens_of_no_holding_are_refused(tmp_path: Path) -> None:
    text = MANIFEST[: MANIFEST.index("[[holding]]")] + MANIFEST[MANIFEST.index("[[token]]") :]
    with pytest.raises(ConfigError, match="holding: is missing: of what are these the tokens"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("eip155:1", SubjectKind.CHAIN),
        (VAULT, SubjectKind.ACCOUNT),
        (TOKEN, SubjectKind.ASSET),
        ("0x" + "ab" * 32, SubjectKind.CODE_HASH),
        ("vyper 0.2.15", SubjectKind.DEPENDENCY),
        ("@openzeppelin/contracts 4.8.0", SubjectKind.DEPENDENCY),
        ("compound-v2", SubjectKind.LINEAGE),
    ],
)
def test_subject_is_of_the_kind_it_looks_like(text: str, kind: SubjectKind) -> None:
    assert (subject_of(text).kind, subject_of(text).value) == (kind, text)


@pytest.mark.parametrize("text", ["", "Two Words", "0x12", "eip155:01", "eip155:1:0x12", "a/b", "UPPER"])
def test_what_looks_like_no_subject_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        subject_of(text)


def test_missing_and_old_amounts_and_manifests_are_noted(tmp_path: Path) -> None:
    manifest = load(tmp_path, MANIFEST)
    assert manifest.holdings[1].amount is not None
    read_ms = manifest.holdings[1].amount.read_ms
    day_ms = 24 * 3600 * 1000
    missing, old, provider = find_manifest_notes(manifest, [], read_ms + 3 * day_ms)
    assert "holding eth has no amount" in missing
    assert old == "the amount of usdc was read 3 days ago, and still counts"
    assert "no manifest of lender is held" in provider
    assert len(find_manifest_notes(manifest, ["lender"], read_ms + day_ms)) == 1
    assert "was read in the future" in find_manifest_notes(manifest, None, read_ms - 1)[1]
    assert "names no holding" in find_manifest_notes(load_manifest(None, "dex"), None, 0)[0]
    alone = load(tmp_path, MANIFEST[: MANIFEST.index("[[dependency]]")])
    assert "names no dependency" in find_manifest_notes(alone, None, read_ms)[-1]


NODE = f"""
[node]
member = "dex"
data_dir = "data"
[network]
genesis = "genesis.roster"
genesis_hash = "{"ab" * 32}"
[keys]
keystore = "keystore.json"
passphrase_file = "passphrase"
"""


def make_config(directory: Path, exposure: str = '[exposure]\nmanifest = "manifest.toml"\n') -> NodeConfig:
    (directory / "node.toml").write_text(NODE + exposure)
    (directory / "manifest.toml").write_text(MANIFEST)
    return load_config(directory / "node.toml")


def lender(name: str = "lender") -> Manifest:
    """What provides the token that our usdc hangs on."""
    return load_manifest_text(
        f'protocol = "{name}"\n[[holding]]\nname = "vault"\nkind = "pool"\nsubjects = ["{TOKEN}"]\n'
    )


def load_manifest_text(text: str) -> Manifest:
    with tempfile.TemporaryDirectory() as directory:
        return load(Path(directory), text)


def test_exposure_is_of_our_manifest_and_those_that_were_imported(tmp_path: Path) -> None:
    config, index = make_config(tmp_path), make_index("dex", "lender")
    alone = load_exposure(config, index, lambda: NOW_MS)
    assert alone.exposure.holdings == ("eth", "usdc")
    assert any("no manifest of lender is held" in warning for warning in alone.warnings)
    write_signed(tmp_path / "manifests" / "lender.bin", "lender", lender())
    both = load_exposure(config, index, lambda: NOW_MS)
    assert not any("no manifest of lender" in warning for warning in both.warnings)
    assert both.exposure.fingerprint != alone.exposure.fingerprint
    assert len(both.exposure.spread.graph.nodes) > len(alone.exposure.spread.graph.nodes)


def test_bad_manifest_of_another_is_a_warning(tmp_path: Path) -> None:
    config, index = make_config(tmp_path), make_index("dex", "lender")
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "junk.bin").write_bytes(b"junk")
    loaded = load_exposure(config, index, lambda: NOW_MS)
    assert loaded.exposure.holdings == ("eth", "usdc")
    assert any("a manifest is not used" in warning and "junk.bin" in warning for warning in loaded.warnings)


def test_own_manifest_among_those_of_others_changes_nothing(tmp_path: Path) -> None:
    config, index = make_config(tmp_path), make_index("dex", "lender")
    alone = load_exposure(config, index, lambda: NOW_MS)
    write_signed(tmp_path / "manifests" / "dex.bin", "dex", lender("dex"))
    assert load_exposure(config, index, lambda: NOW_MS).exposure.fingerprint == alone.exposure.fingerprint


def test_bad_manifest_of_our_own_stops(tmp_path: Path) -> None:
    config, index = make_config(tmp_path), make_index("dex")
    (tmp_path / "manifest.toml").write_text(MANIFEST.replace('"dex"', '"lender"'))
    with pytest.raises(ConfigError, match=r"manifest\.toml:2: protocol = 'lender': 'dex', the member"):
        load_exposure(config, index, lambda: NOW_MS)
    (tmp_path / "manifest.toml").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_exposure(config, index, lambda: NOW_MS)


def test_node_without_a_manifest_has_nothing_at_stake(tmp_path: Path) -> None:
    loaded = load_exposure(make_config(tmp_path, ""), make_index("dex"), lambda: NOW_MS)
    assert loaded.exposure.holdings == ()
    assert loaded.exposure.fingerprint == no_exposure("dex").fingerprint
    assert "names no holding" in loaded.warnings[0]

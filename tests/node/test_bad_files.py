"""Whatever stands in an operator's file, it is read or refused in one sentence that names the file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from signed_manifests_kit import NOW_MS, make_index, write_signed
from tocsin_node.config import load_config
from tocsin_node.errors import ConfigError
from tocsin_node.keystore import LEAST_COST, open_keystore, read_passphrase
from tocsin_node.manifest_file import load_manifest
from tocsin_node.policy_file import load_policy
from tocsin_node.roster_files import create_genesis, read_entry, read_roster, write_roster
from tocsin_node.setup_node import NodePlan, create_node_home
from tocsin_node.signed_manifests import open_signed_manifest
from tocsin_protocol.exposure.manifest import Holding, HoldingKind, Manifest, SubjectId
from tocsin_protocol.taxonomy import SubjectKind

REPOSITORY = Path(__file__).parents[2]
PASSPHRASE = "correct horse battery staple"
INDEX = make_index("dex", "lender")
VAULT = SubjectId(SubjectKind.ACCOUNT, "eip155:1:0x" + "11" * 20)
MANIFEST = Manifest("lender", (Holding("vault", HoldingKind.POOL, (VAULT,), None),), (), ())

READERS: dict[str, Callable[[Path], object]] = {
    "node.toml": load_config,
    "policy.toml": lambda path: load_policy(
        path, {"pause-vault", "freeze-market", "tighten-caps", "page-on-call"}, None
    ),
    "manifest.toml": load_manifest,
    "lender.bin": lambda path: open_signed_manifest(path, INDEX, NOW_MS),
    "entry.json": read_entry,
    "genesis.roster": read_roster,
    "keystore.json": lambda path: open_keystore(path, PASSPHRASE.encode()),
    "passphrase": read_passphrase,
}
FILES = st.sampled_from(sorted(READERS))
MODEST = settings(
    deadline=None,
    derandomize=True,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def originals() -> dict[str, bytes]:
    """A valid file of every kind."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        passphrase = directory / "passphrase"
        passphrase.write_text(PASSPHRASE)
        passphrase.chmod(0o600)
        plan = NodePlan("dex", "Dex", listen=("/ip4/192.0.2.1/tcp/9400",))
        home = create_node_home(directory / "home", plan, 10**12, passphrase_file=passphrase, cost=LEAST_COST)
        write_roster(directory / "genesis.roster", create_genesis([home.entry], bytes(32)))
        return {
            "node.toml": (REPOSITORY / "deploy" / "node.example.toml").read_bytes(),
            "policy.toml": (REPOSITORY / "deploy" / "policy.example.toml").read_bytes(),
            "manifest.toml": (REPOSITORY / "deploy" / "manifest.example.toml").read_bytes(),
            "lender.bin": write_signed(directory / "lender.bin", "lender", MANIFEST).read_bytes(),
            "entry.json": home.entry_path.read_bytes(),
            "genesis.roster": (directory / "genesis.roster").read_bytes(),
            "keystore.json": (home.directory / "keystore.json").read_bytes(),
            "passphrase": passphrase.read_bytes(),
        }


def read_or_refuse(directory: Path, name: str, data: bytes) -> None:
    path = directory / name
    path.write_bytes(data)
    path.chmod(0o600)
    message = refusal(path)
    assert message is None or (message.startswith(f"{path}:") and len(message) < 2000)


def refusal(path: Path) -> str | None:
    """Why the file at `path` is refused; None when it is read."""
    try:
        READERS[path.name](path)
    except ConfigError as exc:
        return str(exc)
    return None


def test_originals_are_read(originals: dict[str, bytes], tmp_path: Path) -> None:
    for name, reader in READERS.items():
        path = tmp_path / name
        path.write_bytes(originals[name])
        path.chmod(0o600)
        reader(path)


@MODEST
@given(name=FILES, data=st.binary(max_size=300))
def test_garbage_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    read_or_refuse(tmp_path, name, data)


@MODEST
@given(name=FILES, place=st.integers(0, 2**20), data=st.binary(max_size=4), cut=st.integers(0, 4))
def test_damage_anywhere_is_refused_or_harmless(
    originals: dict[str, bytes], tmp_path: Path, name: str, place: int, data: bytes, cut: int
) -> None:
    original = originals[name]
    at = place % (len(original) + 1)
    read_or_refuse(tmp_path, name, original[:at] + data + original[at + cut :])


@MODEST
@given(name=FILES, place=st.integers(0, 2**20))
def test_cut_file_is_refused_or_harmless(originals: dict[str, bytes], tmp_path: Path, name: str, place: int) -> None:
    read_or_refuse(tmp_path, name, originals[name][: place % len(originals[name])])


@pytest.mark.parametrize("name", sorted(READERS))
def test_endless_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(2 * 1024 * 1024)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="is longer than"):
        READERS[name](path)


@pytest.mark.parametrize("name", sorted(READERS))
def test_directory_in_place_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match=r"cannot be read|is not a regular file"):
        READERS[name](tmp_path / name)


@pytest.mark.parametrize("name", ["node.toml", "policy.toml", "manifest.toml"])
@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 5000, "a = " + "{x=" * 5000, "a." * 5000 + "a = 1", "a" * 100_000 + " = 1"],
    ids=["list", "table", "key", "long"],
)
def test_deep_nesting_is_refused(tmp_path: Path, name: str, text: str) -> None:
    read_or_refuse(tmp_path, name, text.encode())
    with pytest.raises(ConfigError):
        READERS[name](tmp_path / name)

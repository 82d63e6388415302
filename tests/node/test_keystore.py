"""Keys at rest: what opens, what does not, and in which words."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from tocsin_node.errors import ConfigError
from tocsin_node.keystore import (
    LEAST_COST,
    MAX_SCRYPT_N,
    NodeSecrets,
    create_anchor_keystore,
    create_keystore,
    create_operator_keystore,
    create_root_keystore,
    generate_passphrase,
    generate_secrets,
    open_anchor_keystore,
    open_keystore,
    open_operator_keystore,
    open_root_keystore,
    read_credential,
    read_passphrase,
)

PASSPHRASE = b"correct horse battery staple"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "keystore.json"
    create_keystore(path, generate_secrets(), PASSPHRASE, LEAST_COST)
    return path


def change(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_what_was_put_in_comes_out(tmp_path: Path) -> None:
    keys = generate_secrets()
    create_keystore(tmp_path / "k.json", keys, PASSPHRASE, LEAST_COST)
    assert open_keystore(tmp_path / "k.json", PASSPHRASE) == keys


def test_an_operators_key_is_of_a_kind_of_its_own(tmp_path: Path, store: Path) -> None:
    create_operator_keystore(tmp_path / "operator.json", b"\7" * 32, PASSPHRASE, LEAST_COST)
    assert open_operator_keystore(tmp_path / "operator.json", PASSPHRASE) == b"\7" * 32
    with pytest.raises(ConfigError, match="kind = 'node': 'operator' is wanted"):
        open_operator_keystore(store, PASSPHRASE)


def test_an_anchors_key_is_of_a_kind_of_its_own(tmp_path: Path, store: Path) -> None:
    create_anchor_keystore(tmp_path / "anchor.json", b"\7" * 32, PASSPHRASE, LEAST_COST)
    assert open_anchor_keystore(tmp_path / "anchor.json", PASSPHRASE) == b"\7" * 32
    with pytest.raises(ConfigError, match="kind = 'node': 'anchor' is wanted"):
        open_anchor_keystore(store, PASSPHRASE)


def test_file_is_for_its_owner_only_and_holds_no_secret_in_the_clear(tmp_path: Path) -> None:
    keys = generate_secrets()
    create_keystore(tmp_path / "k.json", keys, PASSPHRASE, LEAST_COST)
    assert stat.S_IMODE((tmp_path / "k.json").stat().st_mode) == 0o600
    text = (tmp_path / "k.json").read_text()
    assert all(secret.hex() not in text for secret in (keys.publisher, keys.transport, keys.guardian, keys.log))
    assert [path.name for path in tmp_path.iterdir()] == ["k.json"]


def test_secrets_are_not_shown() -> None:
    keys = generate_secrets()
    assert keys.publisher.hex() not in repr(keys)
    assert str(keys.publisher) not in f"{keys}"


def test_wrong_passphrase_is_refused(store: Path) -> None:
    with pytest.raises(ConfigError, match="passphrase is wrong or the file is damaged"):
        open_keystore(store, b"another passphrase")


@pytest.mark.parametrize("field", ["salt", "nonce", "ciphertext"])
def test_any_changed_byte_is_refused(store: Path, field: str) -> None:
    value = bytearray.fromhex(json.loads(store.read_text())[field])
    value[0] ^= 1
    change(store, **{field: value.hex()})
    with pytest.raises(ConfigError, match="does not open"):
        open_keystore(store, PASSPHRASE)


def test_parameters_are_authenticated(store: Path) -> None:
    change(store, p=2)
    with pytest.raises(ConfigError, match="does not open"):
        open_keystore(store, PASSPHRASE)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"n": 2 * MAX_SCRYPT_N}, "n = 2097152: an integer in"),
        ({"n": 2}, "n = 2: an integer in"),
        ({"n": 20_000}, "n = 20000: a power of two"),
        ({"n": "16384"}, "n = '16384': an integer"),
        ({"n": True}, "n = True: an integer"),
        ({"p": 1000}, "p = 1000: an integer in"),
        ({"r": 1}, "r = 1: 8 is wanted"),
        ({"version": 2}, "version = 2: 1 is wanted"),
        ({"kind": "root"}, "kind = 'root': 'node' is wanted"),
        ({"cipher": "none"}, "cipher = 'none': 'chacha20-poly1305' is wanted"),
        ({"kdf": "md5"}, "kdf = 'md5': 'scrypt' is wanted"),
        ({"salt": "00"}, "salt = '1 bytes': 32…32 bytes"),
        ({"nonce": 7}, "nonce: hex digits are wanted"),
        ({"ciphertext": "00" * 2000}, "ciphertext = '2000 bytes'"),
    ],
)
def test_each_bad_field_is_named(store: Path, fields: dict[str, object], wanted: str) -> None:
    change(store, **fields)
    with pytest.raises(ConfigError) as caught:
        open_keystore(store, PASSPHRASE)
    assert str(caught.value).startswith(f"{store}: ")
    assert wanted in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"\xff", b"[" * 50_000], ids=["empty", "cut", "list", "bytes", "deep"]
)
def test_damaged_file_is_refused(store: Path, data: bytes) -> None:
    store.write_bytes(data)
    with pytest.raises(ConfigError, match="damaged"):
        open_keystore(store, PASSPHRASE)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_file_that_others_can_read_is_refused(store: Path, mode: int) -> None:
    store.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode = '0{mode:o}': 0600 is wanted: run chmod 600"):
        open_keystore(store, PASSPHRASE)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"keystore\.json: cannot be read: No such file"):
        open_keystore(tmp_path / "keystore.json", PASSPHRASE)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a regular file"):
        open_keystore(tmp_path, PASSPHRASE)


def test_keystore_is_never_overwritten(store: Path) -> None:
    before = store.read_bytes()
    with pytest.raises(ConfigError, match="exists already and is never overwritten"):
        create_keystore(store, generate_secrets(), PASSPHRASE, LEAST_COST)
    assert store.read_bytes() == before
    assert [path.name for path in store.parent.iterdir()] == [store.name]


def test_root_key_has_a_store_of_its_own_kind(tmp_path: Path, store: Path) -> None:
    create_root_keystore(tmp_path / "root.json", bytes(31) + b"\7", PASSPHRASE, LEAST_COST)
    assert open_root_keystore(tmp_path / "root.json", PASSPHRASE) == bytes(31) + b"\7"
    with pytest.raises(ConfigError, match="kind"):
        open_keystore(tmp_path / "root.json", PASSPHRASE)
    with pytest.raises(ConfigError, match="kind"):
        open_root_keystore(store, PASSPHRASE)


def test_secret_that_is_no_key_is_refused(tmp_path: Path) -> None:
    create_keystore(
        tmp_path / "k.json", NodeSecrets(bytes(32), bytes(32), bytes(32), bytes(32)), PASSPHRASE, LEAST_COST
    )
    with pytest.raises(ConfigError, match="holds secrets that are none"):
        open_keystore(tmp_path / "k.json", PASSPHRASE)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_passphrase_file_may_end_in_a_line_end(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(PASSPHRASE + end)
    path.chmod(0o600)
    assert read_passphrase(path) == PASSPHRASE


def test_passphrase_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(PASSPHRASE)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="0600 is wanted"):
        read_passphrase(path)


@pytest.mark.parametrize("data", [b"", b"\n", b"short", b"x" * 2000], ids=["empty", "line end", "short", "long"])
def test_passphrase_of_a_wrong_length_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="bytes where 8…1024 are wanted"):
        read_passphrase(path)


def test_passphrase_comes_from_a_systemd_credential(tmp_path: Path) -> None:
    (tmp_path / "tocsin-passphrase").write_bytes(PASSPHRASE)
    # systemd gives the service's user access by an ACL, which shows in the group's bits
    (tmp_path / "tocsin-passphrase").chmod(0o440)
    assert read_credential("tocsin-passphrase", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == PASSPHRASE


def test_credential_outside_systemd_is_refused() -> None:
    with pytest.raises(ConfigError, match="start under systemd"):
        read_credential("tocsin-passphrase", {})


def test_generated_passphrases_can_be_typed_and_differ() -> None:
    first, second = generate_passphrase(), generate_passphrase()
    assert first != second
    assert first.decode().isalnum()
    assert len(first) == 40

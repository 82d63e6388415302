"""Manifests of others: whose are taken, which of several counts, and that no other file is ever overwritten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from signed_manifests_kit import DAY_MS, NOW_MS, make_index, secret_of, write_signed
from tocsin_node.errors import ConfigError
from tocsin_node.signed_manifests import (
    MAX_MANIFEST_FILES,
    find_manifests,
    import_manifest,
    open_signed_manifest,
    read_signed_manifest,
    write_signed_manifest,
)
from tocsin_protocol.exposure.manifest import Holding, HoldingKind, Manifest, SubjectId
from tocsin_protocol.exposure.manifest_signing import encode_signed_manifest, sign_manifest
from tocsin_protocol.signing import Domain
from tocsin_protocol.taxonomy import SubjectKind

INDEX = make_index("dex", "lender")


def manifest_of(protocol: str, holding: str = "vault") -> Manifest:
    subject = SubjectId(SubjectKind.ACCOUNT, "eip155:1:0x" + "11" * 20)
    return Manifest(protocol, (Holding(holding, HoldingKind.POOL, (subject,), None),), (), ())


def test_manifest_of_a_member_is_taken(tmp_path: Path) -> None:
    path = write_signed(tmp_path / "a.bin", "lender", manifest_of("lender"))
    held = open_signed_manifest(path, INDEX, NOW_MS)
    assert (held.member, held.manifest) == ("lender", manifest_of("lender"))


def test_what_another_than_the_member_says_is_refused(tmp_path: Path) -> None:
    stranger = write_signed(tmp_path / "a.bin", "stranger", manifest_of("stranger"))
    with pytest.raises(ConfigError, match=r"a\.bin: is signed by 0x[0-9a-f]{40}, which is not in the roster"):
        open_signed_manifest(stranger, INDEX, NOW_MS)
    usurper = write_signed(tmp_path / "b.bin", "dex", manifest_of("lender"))
    with pytest.raises(ConfigError, match="speaks for 'lender', and is signed by 'dex'"):
        open_signed_manifest(usurper, INDEX, NOW_MS)


def test_manifest_for_another_network_or_changed_on_the_way_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    signed = sign_manifest(Domain(bytes(32)), secret_of("lender"), NOW_MS, manifest_of("lender"))
    for wrong in (signed, replace(signed, issued_ms=NOW_MS - 1), replace(signed, signature=bytes(64))):
        path.write_bytes(encode_signed_manifest(wrong))
        with pytest.raises(ConfigError, match="is not what lender signed"):
            open_signed_manifest(path, INDEX, NOW_MS)


def test_key_that_was_revoked_or_not_valid_then_is_refused(tmp_path: Path) -> None:
    path = write_signed(tmp_path / "a.bin", "lender", manifest_of("lender"))
    with pytest.raises(ConfigError, match="a key of lender that was revoked"):
        open_signed_manifest(path, make_index("lender", revoked=((0, 7), (1, 7))), NOW_MS)
    with pytest.raises(ConfigError, match="was issued while its key of lender was not valid"):
        open_signed_manifest(path, make_index("lender", valid_from_ms=NOW_MS + 1), NOW_MS)


def test_manifest_from_the_future_is_refused(tmp_path: Path) -> None:
    path = write_signed(tmp_path / "a.bin", "lender", manifest_of("lender"), NOW_MS + DAY_MS)
    with pytest.raises(ConfigError, match="was issued in the future"):
        open_signed_manifest(path, INDEX, NOW_MS)
    assert open_signed_manifest(path, INDEX, NOW_MS + DAY_MS).signed.issued_ms == NOW_MS + DAY_MS


@pytest.mark.parametrize("data", [b"", b"junk", bytes(100_000)])
def test_file_that_is_no_signed_manifest_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"a\.bin: is (not a signed manifest|longer than)"):
        read_signed_manifest(path)
    with pytest.raises(ConfigError, match="not a regular file"):
        read_signed_manifest(tmp_path)


def test_newest_of_a_protocol_counts_whatever_its_file_is_called(tmp_path: Path) -> None:
    write_signed(tmp_path / "z.bin", "lender", manifest_of("lender", "old"), NOW_MS - 2)
    write_signed(tmp_path / "m.bin", "lender", manifest_of("lender", "new"), NOW_MS)
    write_signed(tmp_path / "a.bin", "lender", manifest_of("lender", "older"), NOW_MS - 3)
    write_signed(tmp_path / "d.bin", "dex", manifest_of("dex"))
    (tmp_path / "bad.bin").write_bytes(b"junk")
    (tmp_path / "notes.txt").write_text("not a manifest at all")
    held, warnings = find_manifests(tmp_path, INDEX, NOW_MS)
    assert [(item.member, item.manifest.holdings[0].name) for item in held] == [("dex", "vault"), ("lender", "new")]
    assert len(warnings) == 1
    assert "bad.bin" in warnings[0]


def test_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert find_manifests(tmp_path / "manifests", INDEX, NOW_MS) == ((), ())


def test_more_files_than_can_be_of_members_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin_node.signed_manifests.MAX_MANIFEST_FILES", 2)
    for n in range(3):
        write_signed(tmp_path / f"{n}.bin", "lender", manifest_of("lender"), NOW_MS - 3 + n)
    held, warnings = find_manifests(tmp_path, INDEX, NOW_MS)
    assert held[0].path.name == "1.bin"
    assert warnings == (f"{tmp_path}: of 3 files only the first 2 are read",)
    assert MAX_MANIFEST_FILES > 1000


def test_import_keeps_what_is_newer_and_refuses_what_is_not(tmp_path: Path) -> None:
    kept = tmp_path / "home" / "manifests"
    old = write_signed(tmp_path / "old.bin", "lender", manifest_of("lender", "old"), NOW_MS - 1)
    new = write_signed(tmp_path / "new.bin", "lender", manifest_of("lender", "new"), NOW_MS)
    (tmp_path / "home").mkdir()
    assert import_manifest(old, kept, INDEX, NOW_MS).path == kept / "lender.bin"
    import_manifest(new, kept, INDEX, NOW_MS)
    for again in (old, new):
        with pytest.raises(ConfigError, match=r"is not newer than .*lender\.bin"):
            import_manifest(again, kept, INDEX, NOW_MS)
    held, _ = find_manifests(kept, INDEX, NOW_MS)
    assert [item.manifest.holdings[0].name for item in held] == ["new"]


def test_only_a_signed_manifest_is_overwritten(tmp_path: Path) -> None:
    keystore = tmp_path / "keystore.json"
    keystore.write_text("{}")
    signed = read_signed_manifest(write_signed(tmp_path / "a.bin", "lender", manifest_of("lender")))
    with pytest.raises(ConfigError, match=r"keystore\.json: is not a signed manifest"):
        write_signed_manifest(keystore, signed)
    assert keystore.read_text() == "{}"
    write_signed_manifest(tmp_path / "a.bin", signed)

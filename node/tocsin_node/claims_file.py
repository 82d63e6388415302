"""A snapshot of losses as CSV, and what is paid out of it with proofs (specs/recovery.md, Claims)."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tocsin_protocol.errors import RecoveryError
from tocsin_protocol.recovery.claims import MAX_CLAIMS, Claim, build_tree, pro_rata

from .errors import ConfigError

HEADER = ["account", "asset", "amount"]
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_AMOUNT = re.compile(r"[1-9][0-9]{0,77}")


def read_claims(path: Path) -> list[Claim]:
    """The claims of a CSV with the columns account, asset, amount; raises ConfigError naming the line."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(_claims(path, file))
    except OSError as exc:
        raise ConfigError(path, "", f"cannot be read: {exc.strerror}") from exc
    except (UnicodeDecodeError, csv.Error) as exc:
        raise ConfigError(path, "", f"is not CSV: {exc}") from exc


def _claims(path: Path, lines: Iterator[str]) -> Iterator[Claim]:
    rows = csv.reader(lines)
    if (found := next(rows, [])) != HEADER:
        raise ConfigError(path, "header", f"{','.join(HEADER)} is wanted", found=",".join(found), line=1)
    for row in rows:
        line = rows.line_num
        if line > MAX_CLAIMS + 1:
            raise ConfigError(path, "", f"has more than {MAX_CLAIMS} claims")
        if len(row) != len(HEADER):
            raise ConfigError(path, "", f"{len(HEADER)} columns are wanted", line=line)
        for key, value in zip(HEADER[:2], row, strict=False):
            if not _ADDRESS.fullmatch(value):
                raise ConfigError(path, key, "an address (0x and 40 hex digits) is wanted", found=value, line=line)
        if not _AMOUNT.fullmatch(row[2]):
            raise ConfigError(path, "amount", "a whole number above 0 is wanted", found=row[2], line=line)
        try:
            yield Claim(bytes.fromhex(row[0][2:]), bytes.fromhex(row[1][2:]), int(row[2]))
        except RecoveryError as exc:
            raise ConfigError(path, "amount", str(exc), line=line) from exc


def read_funds(claims: Sequence[Claim], texts: Sequence[str]) -> dict[bytes, int]:
    """What can be paid of each asset, from `ASSET=AMOUNT`, or `AMOUNT` where there is one asset; or ConfigError."""
    assets = {claim.asset for claim in claims}
    funds: dict[bytes, int] = {}
    for text in texts:
        name, is_named, amount = text.rpartition("=")
        if not amount.isascii() or not amount.isdecimal() or (is_named and not _ADDRESS.fullmatch(name)):
            raise ConfigError("tocsin recover claims", "--fund", "AMOUNT or ASSET=AMOUNT is wanted", found=text)
        if not is_named and len(assets) != 1:
            raise ConfigError(
                "--fund", "", f"the snapshot has {len(assets)} assets: say which, ASSET=AMOUNT", found=text
            )
        asset = bytes.fromhex(name[2:]) if is_named else next(iter(assets))
        if asset not in assets or asset in funds:
            wanted = "is given twice" if asset in funds else "is no asset of the snapshot"
            raise ConfigError("tocsin recover claims", "--fund", wanted, found=text)
        funds[asset] = int(amount)
    return funds


def claims_view(owed: Sequence[Claim], funds: dict[bytes, int]) -> dict[str, Any]:
    """Root, totals by asset, and each payout with its proof; amounts as texts, for JSON readers that round."""
    paid = pro_rata(owed, funds)
    tree = build_tree(paid)
    return {
        "root": _hex(tree.root),
        "claims": len(paid),
        "owed": _totals(owed),
        "paid": {asset: "0" for asset in _totals(owed)} | _totals(paid),
        "payouts": [
            {
                "account": _hex(claim.account),
                "asset": _hex(claim.asset),
                "amount": str(claim.amount),
                "proof": [_hex(node) for node in tree.proof(claim)],
            }
            for claim in paid
        ],
    }


def _totals(claims: Sequence[Claim]) -> dict[str, str]:
    totals: dict[bytes, int] = {}
    for claim in claims:
        totals[claim.asset] = totals.get(claim.asset, 0) + claim.amount
    return {_hex(asset): str(total) for asset, total in sorted(totals.items())}


def _hex(data: bytes) -> str:
    return "0x" + data.hex()

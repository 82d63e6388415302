"""The canonical bytes of a manifest's body (specs/exposure.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..encoding import MAX_UINT, decode_canonical, encode_canonical
from ..errors import DecodeError
from ..fields import check_unique, enum_of, id_of, list_of, map_of, uint_of
from ..ids import (
    check_account_id,
    check_asset_id,
    check_chain_id,
    check_dependency,
    check_hash,
    check_slug,
)
from ..taxonomy import SubjectKind
from .manifest import (
    LINK_SUBJECTS,
    MAX_DEPENDENCIES,
    MAX_HOLDING_SUBJECTS,
    MAX_HOLDINGS,
    MAX_LINKS,
    MAX_TOKENS,
    SHARE_WHOLE_PPM,
    Amount,
    AmountSource,
    Dependency,
    Holding,
    HoldingKind,
    Link,
    Manifest,
    PriceBounds,
    SubjectId,
    Token,
    TokenKind,
)

MAX_MANIFEST_BYTES = 64 * 1024

_T = TypeVar("_T")

_CHECKS: dict[SubjectKind, Callable[[str], str]] = {
    SubjectKind.CHAIN: check_chain_id,
    SubjectKind.ACCOUNT: check_account_id,
    SubjectKind.ASSET: check_asset_id,
    SubjectKind.CODE_HASH: check_hash,
    SubjectKind.DEPENDENCY: check_dependency,
    SubjectKind.LINEAGE: check_slug,
}


def encode_manifest(manifest: Manifest) -> bytes:
    """The canonical body of a manifest; raises DecodeError naming a field out of bounds."""
    body = encode_canonical(
        {
            "dependencies": [_dependency_row(dependency) for dependency in manifest.dependencies],
            "holdings": [
                [h.name, str(h.kind), [[str(s.kind), s.value] for s in h.subjects], _amount_row(h.amount)]
                for h in manifest.holdings
            ],
            "protocol": manifest.protocol,
            "tokens": [[t.asset, str(t.kind), t.holding] for t in manifest.tokens],
        }
    )
    decode_manifest(body)
    return body


def decode_manifest(body: bytes) -> Manifest:
    """Open a body; raises DecodeError naming the field that is wrong."""
    value = decode_canonical(body, max_bytes=MAX_MANIFEST_BYTES)
    fields = map_of("manifest", value, ("dependencies", "holdings", "protocol", "tokens"))
    manifest = Manifest(
        protocol=id_of("protocol", fields["protocol"], check_slug),
        holdings=_rows("holdings", fields["holdings"], 1, MAX_HOLDINGS, _holding),
        tokens=_rows("tokens", fields["tokens"], 0, MAX_TOKENS, _token),
        dependencies=_rows("dependencies", fields["dependencies"], 0, MAX_DEPENDENCIES, _dependency),
    )
    check_unique("holding", [h.name for h in manifest.holdings], ordered=True)
    check_unique("token", [t.asset for t in manifest.tokens], ordered=True)
    check_unique("link", [(d.holding, d.link, d.subject) for d in manifest.dependencies], ordered=True)
    _check_names(manifest)
    _check_links(manifest)
    return manifest


def _check_names(manifest: Manifest) -> None:
    # [EXPOSURE] Tokens and dependencies name holdings of the same manifest.
    known = {holding.name for holding in manifest.holdings} | {""}
    for where, name in (
        *((f"token {token.asset}", token.holding) for token in manifest.tokens),
        *((f"dependency {d.link} {d.subject.value}", d.holding) for d in manifest.dependencies),
    ):
        if name not in known:
            raise DecodeError(f"{where} names {name!r}, which is no holding of {manifest.protocol!r}")


def _check_links(manifest: Manifest) -> None:
    # [EXPOSURE] A manifest makes at most MAX_LINKS links: what names no holding makes one for each.
    named = [token.holding for token in manifest.tokens] + [dependency.holding for dependency in manifest.dependencies]
    links = sum(1 if name else len(manifest.holdings) for name in named)
    if links > MAX_LINKS:
        raise DecodeError(f"tokens and dependencies make {links} links where at most {MAX_LINKS} are allowed")


def _rows(where: str, value: Any, least: int, most: int, decode: Callable[[str, Any], _T]) -> tuple[_T, ...]:
    return tuple(decode(f"{where}[{i}]", row) for i, row in enumerate(list_of(where, value, least, most)))


def _holding(where: str, value: Any) -> Holding:
    name, kind, subjects, amount = list_of(where, value, 4, 4)
    rows = _rows(f"{where}.subjects", subjects, 1, MAX_HOLDING_SUBJECTS, _own_subject)
    check_unique(f"{where} subject", rows, ordered=True)
    return Holding(
        id_of(f"{where}.name", name, check_slug),
        enum_of(f"{where}.kind", kind, HoldingKind),
        rows,
        _amount(f"{where}.amount", amount),
    )


def _own_subject(where: str, value: Any) -> SubjectId:
    subject = _subject(where, value)
    if subject.chain is None:
        raise DecodeError(f"{where} is {subject.kind}, not account or asset")
    return subject


def _token(where: str, value: Any) -> Token:
    asset, kind, holding = list_of(where, value, 3, 3)
    return Token(
        id_of(f"{where}.asset", asset, check_asset_id),
        enum_of(f"{where}.kind", kind, TokenKind),
        _name_or_none(f"{where}.holding", holding),
    )


def _dependency(where: str, value: Any) -> Dependency:
    holding, link_text, subject_row, provider, share, amount, bounds = list_of(where, value, 7, 7)
    link = enum_of(f"{where}.link", link_text, Link)
    subject = _subject(f"{where}.subject", subject_row)
    # [EXPOSURE] A dependency's subject is of a kind that its link allows.
    if subject.kind not in LINK_SUBJECTS.get(link, ()):
        raise DecodeError(f"{where}: link {link} takes no {subject.kind}")
    dependency = Dependency(
        holding=_name_or_none(f"{where}.holding", holding),
        link=link,
        subject=subject,
        provider=_name_or_none(f"{where}.provider", provider),
        share_ppm=uint_of(f"{where}.share", share, 1, SHARE_WHOLE_PPM),
        amount=_amount(f"{where}.amount", amount),
        bounds=_bounds(f"{where}.bounds", bounds),
    )
    # [EXPOSURE] An amount belongs to one holding, and bounds to an oracle, which has them always.
    if dependency.amount is not None and not dependency.holding:
        raise DecodeError(f"{where}.amount stands though no holding is named")
    if (dependency.bounds is not None) != (link is Link.ORACLE):
        raise DecodeError(f"{where}.bounds {'stand' if dependency.bounds else 'lack'} at link {link}")
    return dependency


def _subject(where: str, value: Any) -> SubjectId:
    kind_text, text = list_of(where, value, 2, 2)
    kind = enum_of(f"{where} kind", kind_text, SubjectKind)
    return SubjectId(kind, id_of(where, text, _CHECKS[kind]))


def _name_or_none(where: str, value: Any) -> str:
    return "" if type(value) is str and not value else id_of(where, value, check_slug)


def _amount(where: str, value: Any) -> Amount | None:
    if value == [] and type(value) is list:
        return None
    micro_usd, read_ms, source = list_of(where, value, 3, 3)
    return Amount(uint_of(where, micro_usd), uint_of(where, read_ms), enum_of(where, source, AmountSource))


def _bounds(where: str, value: Any) -> PriceBounds | None:
    if value == [] and type(value) is list:
        return None
    low, high, max_age_ms = list_of(where, value, 3, 3)
    low = uint_of(f"{where} low", low)
    return PriceBounds(low, uint_of(f"{where} high", high, low, MAX_UINT), uint_of(f"{where} age", max_age_ms, 1))


def _amount_row(amount: Amount | None) -> list[Any]:
    return [] if amount is None else [amount.micro_usd, amount.read_ms, str(amount.source)]


def _dependency_row(dependency: Dependency) -> list[Any]:
    bounds = dependency.bounds
    return [
        dependency.holding,
        str(dependency.link),
        [str(dependency.subject.kind), dependency.subject.value],
        dependency.provider,
        dependency.share_ppm,
        _amount_row(dependency.amount),
        [] if bounds is None else [bounds.low_micro_usd, bounds.high_micro_usd, bounds.max_age_ms],
    ]

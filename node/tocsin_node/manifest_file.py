"""What we hold and hang on: manifest.toml, read into the core's Manifest; deploy/manifest.example.toml has it all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.errors import DecodeError, ExposureError
from tocsin_protocol.exposure.manifest import (
    LINK_SUBJECTS,
    SHARE_WHOLE_PPM,
    Amount,
    Dependency,
    Holding,
    Link,
    Manifest,
    PriceBounds,
    Token,
)
from tocsin_protocol.exposure.manifest_encoding import encode_manifest
from tocsin_protocol.roster import RosterIndex

from .amounts import AmountReading, Balance
from .clock import now_ms
from .config import NodeConfig
from .errors import ConfigError
from .exposure import Exposure, make_exposure
from .manifest_notes import find_manifest_notes
from .manifest_sections import (
    MICRO,
    AmountSection,
    BoundsSection,
    ManifestDocument,
    subject_of,
)
from .signed_manifests import find_manifests
from .toml_files import TomlFile, open_toml, suggest
from .toml_lines import Location

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LoadedExposure:
    """Our exposure, what it is made of, and what the operator should be told about that."""

    exposure: Exposure
    others: tuple[Manifest, ...]
    readings: tuple[AmountReading, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """Our manifest, and which of its amounts the chain can be asked for."""

    manifest: Manifest
    readings: tuple[AmountReading, ...]


def load_exposure(config: NodeConfig, roster: RosterIndex, clock: Callable[[], int] = now_ms) -> LoadedExposure:
    """Our own manifest, and those of the other members that were imported; raises ConfigError about our own.

    What is wrong with another's is a warning: nobody can stop our node with a bad manifest.
    """
    file = read_manifest_file(config.exposure.manifest, config.node.member)
    own = file.manifest
    held, warnings = find_manifests(config.manifests_dir, roster, clock())
    others = tuple(item.manifest for item in held if item.manifest.protocol != own.protocol)
    notes = find_manifest_notes(own, [manifest.protocol for manifest in others], clock())
    try:
        return LoadedExposure(make_exposure(own, others), others, file.readings, (*notes, *warnings))
    except ExposureError as exc:
        warnings = (*warnings, f"the manifests of others do not fit together, so none of them is used: {exc}")
    try:
        return LoadedExposure(make_exposure(own), (), file.readings, (*notes, *warnings))
    except ExposureError as exc:
        raise ConfigError(config.exposure.manifest or config.node.data_dir, "", str(exc)) from exc


def load_manifest(path: Path | None, member: str | None = None) -> Manifest:
    """The manifest of `read_manifest_file`."""
    return read_manifest_file(path, member).manifest


def read_manifest_file(path: Path | None, member: str | None = None) -> ManifestFile:
    """Read our manifest; no path: one that names no holding, as a file without [[holding]] does.

    With `member` it must be that member's. Raises ConfigError naming line and key.
    """
    if path is None:
        return ManifestFile(Manifest(member or "", (), (), ()), ())
    file = open_toml(path)
    document = file.check(ManifestDocument)
    if member is not None and document.protocol != member:
        raise file.error(("protocol",), f"{member!r}, the member of this node, is wanted")
    reader = _Reader(file, document)
    return ManifestFile(reader.read(), tuple(_readings(document)))


def _readings(document: ManifestDocument) -> Iterator[AmountReading]:
    for holding in document.holding:
        if holding.amount is not None and holding.amount.balances:
            yield AmountReading((holding.name,), _balances(holding.amount))
    for item in document.dependency:
        if item.amount is not None and item.amount.balances:
            yield AmountReading((item.holding, item.link, item.subject), _balances(item.amount))


def _balances(section: AmountSection) -> tuple[Balance, ...]:
    return tuple(
        Balance(item.account, item.asset, item.decimals, round(item.usd_each * MICRO)) for item in section.balances
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    file: TomlFile
    document: ManifestDocument

    def read(self) -> Manifest:
        document = self.document
        self._check_once("holding", "name", [section.name for section in document.holding])
        self._check_once("token", "asset", [section.asset for section in document.token])
        links = [(section.holding, section.link, section.subject) for section in document.dependency]
        self._check_once("dependency", "subject", links)
        if not document.holding and (document.token or document.dependency):
            raise self.file.error(("holding",), "is missing: of what are these the tokens and dependencies?")
        manifest = Manifest(
            document.protocol,
            tuple(sorted(map(self._holding, range(len(document.holding))), key=lambda holding: holding.name)),
            tuple(sorted(map(self._token, range(len(document.token))), key=lambda token: token.asset)),
            tuple(
                sorted(
                    map(self._dependency, range(len(document.dependency))),
                    key=lambda dependency: (dependency.holding, dependency.link, dependency.subject),
                )
            ),
        )
        if manifest.holdings:
            self._check_whole(manifest)
        return manifest

    def _check_whole(self, manifest: Manifest) -> None:
        try:
            encode_manifest(manifest)
        except DecodeError as exc:
            raise self.file.error((), str(exc)) from exc

    def _holding(self, place: int) -> Holding:
        section, where = self.document.holding[place], ("holding", place)
        subjects = [subject_of(text) for text in section.subjects]
        for n, subject in enumerate(subjects):
            if subject.chain is None:
                raise self.file.error((*where, "subjects", n), "an account or asset of our own is wanted")
            if subject in subjects[:n]:
                raise self.file.error((*where, "subjects", n), "stands twice")
        amount = self._amount((*where, "amount"), section.amount)
        return Holding(section.name, section.kind, tuple(sorted(subjects)), amount)

    def _token(self, place: int) -> Token:
        section = self.document.token[place]
        self._check_holding(("token", place, "holding"), section.holding)
        return Token(section.asset, section.kind, section.holding)

    def _dependency(self, place: int) -> Dependency:
        section, where = self.document.dependency[place], ("dependency", place)
        self._check_holding((*where, "holding"), section.holding)
        subject, link = subject_of(section.subject), Link(section.link)
        if subject.kind not in LINK_SUBJECTS[link]:
            wanted = " or ".join(sorted(LINK_SUBJECTS[link]))
            raise self.file.error((*where, "subject"), f"is of kind {subject.kind}; {section.link} takes {wanted}")
        if section.amount is not None and not section.holding:
            raise self.file.error((*where, "amount"), "belongs to one holding: name it with holding = …")
        if (section.bounds is None) is (link is Link.ORACLE):
            needs = "is missing: what prices does the holding accept?" if link is Link.ORACLE else "is for oracles only"
            raise self.file.error((*where, "bounds"), needs)
        return Dependency(
            holding=section.holding,
            link=link,
            subject=subject,
            provider=section.provider or "",
            share_ppm=max(1, round(section.share_percent * SHARE_WHOLE_PPM / 100)),
            amount=self._amount((*where, "amount"), section.amount),
            bounds=self._bounds((*where, "bounds"), section.bounds),
        )

    def _amount(self, where: Location, section: AmountSection | None) -> Amount | None:
        if section is None:
            return None
        read_ms = (section.read - _EPOCH) // timedelta(milliseconds=1)
        if read_ms < 0:
            raise self.file.error((*where, "read"), "a time after 1970 is wanted")
        return Amount(min(MAX_UINT, round(section.usd * MICRO)), read_ms, section.source)

    def _bounds(self, where: Location, section: BoundsSection | None) -> PriceBounds | None:
        if section is None:
            return None
        if section.low_usd > section.high_usd:
            raise self.file.error((*where, "low_usd"), f"is above high_usd = {section.high_usd}")
        low, high = (min(MAX_UINT, round(usd * MICRO)) for usd in (section.low_usd, section.high_usd))
        return PriceBounds(low, high, section.max_age_s * 1000)

    def _check_holding(self, where: Location, name: str) -> None:
        known = [section.name for section in self.document.holding]
        if name and name not in known:
            raise self.file.error(where, "is no [[holding]] of this file" + suggest(name, known))

    def _check_once(self, table: str, key: str, names: Sequence[object]) -> None:
        for place, name in enumerate(names):
            if name in names[:place]:
                raise self.file.error((table, place, key), f"stands in another [[{table}]] already")

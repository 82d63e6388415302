"""What every object of ours has, and the objects that all the others lean on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..ids import address_of
from ..model import Signal, Subject
from ..taxonomy import Role, SubjectKind, Tlp
from .marking import TLP_MARKINGS
from .naming import SPEC_VERSION, checksum_address, observable_id, stix_id, stix_time

Object = dict[str, Any]

PROPERTY_EXTENSION = "extension-definition--f9221490-e7c4-5d8a-9dbd-1db9c3c9ab36"
WALLET_EXTENSION = "extension-definition--34c96368-6bcf-5274-9447-ccc1bd562d88"
EXTENSION_VERSION = "1.0.0"
# When version 1 of the mapping was written: what never changes bears this time on every node.
MAPPING_MS = 1_767_225_600_000
KILL_CHAIN = "tocsin"
# Whose part in an attack makes an address worth watching for. A recipient may be a white-hat.
HOSTILE_ROLES = frozenset((Role.ATTACKER, Role.TOOL))

AUTHOR = stix_id("identity", "tocsin")
_SCHEMA = "specs/stix.md of the Tocsin project: the property is the signal's, spelt as it is there"


@dataclass(frozen=True, slots=True)
class Statement:
    """A signal with who made it, and the id of its incident's object in the circle that is told of it."""

    digest: bytes
    network: bytes
    publisher: bytes
    member: str
    organisation: str
    lane: int
    sequence: int
    signal: Signal
    incident: str

    @property
    def identity(self) -> str:
        """The id of its member's identity."""
        return identity_id(self.network, self.member or self.publisher.hex())

    @property
    def issued(self) -> str:
        """When it was issued."""
        return stix_time(self.signal.issued_ms)


def identity_id(network: bytes, member: str) -> str:
    """The id of a member of a network."""
    return stix_id("identity", network.hex(), member)


def identity_object(network: bytes, member: str, organisation: str) -> Object:
    """A member; whoever the roster has no more is known by his publisher's address."""
    return {
        "type": "identity",
        "spec_version": SPEC_VERSION,
        "id": identity_id(network, member),
        "created": stix_time(MAPPING_MS),
        "modified": stix_time(MAPPING_MS),
        "name": organisation or member,
        "identity_class": "organization",
    }


def fixed_objects() -> list[Object]:
    """The author of the extensions, and their definitions."""
    author = {
        "type": "identity",
        "spec_version": SPEC_VERSION,
        "id": AUTHOR,
        "created": stix_time(MAPPING_MS),
        "modified": stix_time(MAPPING_MS),
        "name": "Tocsin",
        "identity_class": "system",
    }
    wallet = "an account on a blockchain; value: its address, in the letter case of EIP-55 on EVM chains"
    return [
        author,
        _extension(PROPERTY_EXTENSION, "Tocsin signal", _SCHEMA, "property-extension"),
        _extension(WALLET_EXTENSION, "Cryptocurrency wallet", wallet, "new-sco"),
    ]


def _extension(extension: str, name: str, schema: str, kind: str) -> Object:
    return {
        "type": "extension-definition",
        "spec_version": SPEC_VERSION,
        "id": extension,
        "created_by_ref": AUTHOR,
        "created": stix_time(MAPPING_MS),
        "modified": stix_time(MAPPING_MS),
        "name": name,
        "description": schema,
        "schema": schema,
        "version": EXTENSION_VERSION,
        "extension_types": [kind],
    }


def head(kind: str, object_id: str, created: str, *, by: str, tlp: Tlp) -> Object:
    """What stands first in each of our own objects."""
    return {
        "type": kind,
        "spec_version": SPEC_VERSION,
        "id": object_id,
        "created_by_ref": by,
        "created": created,
        "modified": created,
        "object_marking_refs": [TLP_MARKINGS[tlp]],
    }


def property_extension(fields: Object) -> Object:
    """Our extension with what is to be told; what is empty is left out."""
    told = {name: value for name, value in fields.items() if value not in (None, "", [], {})}
    return {PROPERTY_EXTENSION: {"extension_type": "property-extension", **told}}


def wallet_value(subject: Subject) -> str | None:
    """The address that a subject is known by elsewhere; None where it has none."""
    # [STIX] Accounts and the contracts of assets are wallets; the chain stands in our extension, never in the wallet.
    if subject.kind is SubjectKind.ACCOUNT:
        return checksum_address(address_of(subject.value))
    if subject.kind is SubjectKind.ASSET and subject.value.split("/", 1)[1].startswith("erc"):
        return checksum_address(address_of(subject.value))
    return None


def wallet_object(value: str, tlp: Tlp) -> Object:
    """An address as an observable."""
    return {
        "type": "cryptocurrency-wallet",
        "spec_version": SPEC_VERSION,
        "id": observable_id("cryptocurrency-wallet", value=value),
        "value": value,
        "object_marking_refs": [TLP_MARKINGS[tlp]],
        "extensions": {WALLET_EXTENSION: {"extension_type": "new-sco"}},
    }


def software_object(dependency: str, tlp: Tlp) -> Object:
    """A dependency, `name version`, as an observable."""
    name, _, version = dependency.partition(" ")
    return {
        "type": "software",
        "spec_version": SPEC_VERSION,
        "id": observable_id("software", name=name, version=version),
        "name": name,
        "version": version,
        "object_marking_refs": [TLP_MARKINGS[tlp]],
    }


def observable_of(subject: Subject, tlp: Tlp) -> Object | None:
    """What a subject is as an observable; None for chains, code hashes and families of forks."""
    if subject.kind is SubjectKind.DEPENDENCY:
        return software_object(subject.value, tlp)
    value = wallet_value(subject)
    return None if value is None else wallet_object(value, tlp)


def relationship(source: str, kind: str, target: str, created: str, *, by: str, tlp: Tlp, words: str = "") -> Object:
    """A relationship; of one source, kind, target and words there is one."""
    made = head("relationship", stix_id("relationship", source, kind, target, words), created, by=by, tlp=tlp)
    made |= {"relationship_type": kind, "source_ref": source, "target_ref": target}
    return made | {"description": words} if words else made


def transaction_references(signal: Signal) -> list[Object]:
    """The transactions that a signal names as evidence."""
    # [STIX] A transaction is told as an external reference, as no platform keeps transactions as observables.
    named = {
        (e.chain, e.reference): None
        for e in signal.evidence
        if e.reference.startswith("0x") and len(e.reference) == len("0x") + 64
    }
    return [{"source_name": f"{chain} transaction", "external_id": reference} for chain, reference in named]

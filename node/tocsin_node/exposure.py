"""What hangs on what, as this node knows it: its own manifest and those of others, made ready for decisions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from tocsin_protocol.exposure.graph_building import build_graph
from tocsin_protocol.exposure.manifest import CODE_LINKS, Link, Manifest
from tocsin_protocol.exposure.manifest_encoding import encode_manifest
from tocsin_protocol.exposure.spread import Spread, prepare_spread


@dataclass(frozen=True, slots=True)
class Exposure:
    """A graph made ready, our own holdings and subjects in it, and what tells one version from another.

    `bodies` are the manifests that it was made from, our own first; one that names no holding is empty.
    """

    spread: Spread
    own: Manifest
    fingerprint: bytes
    bodies: tuple[bytes, ...]

    @property
    def holdings(self) -> tuple[str, ...]:
        """The scopes that levers can cover."""
        return tuple(holding.name for holding in self.own.holdings)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Our own subjects, as signals name them."""
        return tuple(subject.value for holding in self.own.holdings for subject in holding.subjects)

    @property
    def watched(self) -> tuple[str, ...]:
        """Our own subjects, and those of others that our value hangs on: what is said of one is heard together.

        Not whole chains and not code: these tie what has nothing to do with one another.
        """
        own = [subject for holding in self.own.holdings for subject in holding.subjects]
        hung_on = [d.subject for d in self.own.dependencies if d.link not in CODE_LINKS and d.link is not Link.CHAIN]
        # A token is its contract, whichever of the two a signal names.
        names = ((subject.value, subject.key.split(" ", 1)[1]) for subject in (*own, *hung_on))
        return tuple(dict.fromkeys(name for pair in names for name in pair))

    @property
    def dependencies(self) -> frozenset[str]:
        """The subjects ours hang on, as signals name them."""
        return frozenset(dependency.subject.value for dependency in self.own.dependencies)


def make_exposure(own: Manifest, others: Sequence[Manifest] = ()) -> Exposure:
    """Raises ExposureError where the manifests do not fit together."""
    bodies = tuple(_body(manifest) for manifest in (own, *others))
    hashes = b"".join(hashlib.sha256(body).digest() for body in bodies)
    return Exposure(prepare_spread(build_graph(own, others)), own, hashlib.sha256(hashes).digest(), bodies)


def no_exposure(protocol: str) -> Exposure:
    """Of a node that has no manifest: nothing touches it."""
    return make_exposure(Manifest(protocol, (), (), ()))


def _body(manifest: Manifest) -> bytes:
    """What a manifest says; one that names no holding says nothing, and has no encoding."""
    return encode_manifest(manifest) if manifest.holdings else b""

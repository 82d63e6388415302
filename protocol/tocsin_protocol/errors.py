"""Everything `tocsin_protocol` raises on purpose."""


class ProtocolError(Exception):
    """Base of all errors of the protocol core."""


class DecodeError(ProtocolError):
    """Bytes or text that are not the one spelling of a valid value. The message names the field."""


class OversizedError(DecodeError):
    """More bytes than a message of its kind may have; nothing of it was looked at."""


class TruncatedError(DecodeError):
    """Bytes that end before their value does."""


class SpellingError(DecodeError):
    """Bytes that hold an allowed value in another spelling than its canonical one."""


class SignatureError(ProtocolError):
    """A signature that does not verify, or is not in its one spelling."""


class RosterError(ProtocolError):
    """A roster that does not follow from the one before it."""


class WrongNetworkError(RosterError):
    """A roster of another network. The message names both."""


class ProofError(ProtocolError):
    """A proof, or a head of a log, that does not show what it is held to show. The message says what."""


class PolicyError(ProtocolError):
    """A policy that cannot be applied. The message names the rule and the key."""


class BeliefError(ProtocolError):
    """A number that no belief can be worked out from: not finite, or out of its range. The message names it."""


class ExposureError(ProtocolError):
    """A number or graph that no exposure or loss can be worked out from. The message names it, and what was wanted."""


class RecoveryError(ProtocolError):
    """A stage, step or claim that recovery cannot work with. The message names it, and what was wanted."""


class RiskError(ProtocolError):
    """A risk report, or what one is made from, that cannot be right. The message names the field."""

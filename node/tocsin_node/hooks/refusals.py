"""What a revert means to whoever is woken by it."""

from __future__ import annotations

from tocsin_node.chain.abi import parse_function

IN_EFFECT = "already in effect"
NO_ROLE = "the caller does not hold the role"
NOT_OPEN = "not in a state in which this can be done"

# Errors of OpenZeppelin, of the contracts in deploy/contracts, and of what levers often stand on.
_MEANINGS = {
    "EnforcedPause()": IN_EFFECT,
    "NotAbove(uint8)": IN_EFFECT,
    "AlreadySo()": IN_EFFECT,
    "NotGuardian(address)": NO_ROLE,
    "NotRiskAdmin(address)": NO_ROLE,
    "Unauthorized()": NO_ROLE,
    "OwnableUnauthorizedAccount(address)": NO_ROLE,
    "AccessControlUnauthorizedAccount(address,bytes32)": NO_ROLE,
    "AccessManagedUnauthorized(address)": NO_ROLE,
    "AccessManagerUnauthorizedAccount(address,uint64)": NO_ROLE,
    "AccessManagerUnauthorizedCall(address,address,bytes4)": NO_ROLE,
    "AccessManagedRequiredDelay(address,uint32)": "the manager lets the caller act only after a delay",
    "TimelockUnexpectedOperationState(bytes32,bytes32)": NOT_OPEN,
    "NotListed(address)": "the asset is not listed there",
    "BadPause(uint32,uint32)": "the contract does not pause for so long",
    "AssetHalted(address)": "the breaker lets nothing of the asset leave",
    "OverLimit(address,uint256,uint256)": "more of the asset would leave than the breaker allows",
    "Refused(uint8)": "the Safe's guardian module does not allow it",
    "NoEffect(uint256,uint256)": "the Safe's guardian module took it back: the reading after it was not what is wanted",
}
_TEXTS = {
    "Pausable: paused": IN_EFFECT,
    "Ownable: caller is not the owner": NO_ROLE,
    "GS013": "the Safe's call failed: its target refused it",
    "GS020": "too few of the Safe's owners have signed",
    "GS026": "a signature is not by an owner over this transaction: the Safe has executed another meanwhile",
    "GS104": "the module is not enabled in the Safe",
}
_BY_SELECTOR = {"0x" + parse_function(error).selector.hex(): error for error in _MEANINGS}
_BY_NAME = {error.partition("(")[0]: error for error in _MEANINGS}


def name_of(revert: str) -> str:
    """Return the name of a custom error that is known here by its selector; anything else as it is."""
    error = _BY_SELECTOR.get(revert)
    return revert if error is None else error.partition("(")[0]


def meaning_of(revert: str) -> str | None:
    """Return what a decoded revert means, None where that is not known."""
    name = name_of(revert)
    if name in _BY_NAME:
        return _MEANINGS[_BY_NAME[name]]
    if name.startswith("AccessControl: account"):
        return NO_ROLE
    return _TEXTS.get(name)


def explain(revert: str) -> str:
    """Return the name of a revert, with what it means where that is known."""
    meaning = meaning_of(revert)
    return name_of(revert) if meaning is None else f"{name_of(revert)}: {meaning}"


def describe(revert: str) -> str:
    """Return a sentence about a revert of a simulation."""
    said = "the simulation reverts with"
    is_in_effect = meaning_of(revert) == IN_EFFECT
    return f"{IN_EFFECT}: {said} {name_of(revert)}" if is_in_effect else f"{said} {explain(revert)}"

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
    """Return the error's name where only its selector is known."""
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


def describe(revert: str) -> str:
    """Return a sentence about a revert of a simulation."""
    meaning = meaning_of(revert)
    said = f"the simulation reverts with {name_of(revert)}"
    if meaning == IN_EFFECT:
        return f"{IN_EFFECT}: {said}"
    return said if meaning is None else f"{said}: {meaning}"

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Level, Restriction, Restrictions} from "./Level.sol";

/// Turns attestations of k of n members of the mesh into a level that a protocol's own contract reads (SignalGated).
/// No node needs a key with power: anyone may carry the signatures here. It calls nobody. See specs/contracts.md.
contract TocsinSignalGate is EIP712, Ownable2Step {
    using Restrictions for Restriction;

    uint256 public constant MAX_ATTESTERS = 32;
    uint64 public constant MAX_ATTESTATION_SECONDS = 1 hours;
    uint64 public constant MAX_HALT_SECONDS = 7 days;
    /// EIP-2098: r, then s with the parity in its highest bit.
    uint256 public constant SIGNATURE_BYTES = 64;
    bytes32 public constant ATTESTATION_TYPEHASH = keccak256(
        "Attestation(bytes32 scope,uint64 epoch,bytes32 incident,uint8 level,uint64 issued,uint64 expires)"
    );

    /// What may be closed: armed when `haltSeconds` is not 0. Its epoch counts how often the owner armed or disarmed it.
    struct Scope {
        Restriction restriction;
        uint64 haltSeconds;
    }

    uint256 public threshold;
    mapping(address account => bool) public isAttester;
    address[] private _attesters;
    mapping(bytes32 scope => Scope) private _scopes;

    error BadAttesters(string reason);
    error BadHalt(uint64 found, uint64 most);
    error NotArmed(bytes32 scope);
    error BadLevel(uint8 found);
    error NotInTime(uint64 issued, uint64 expires, uint256 found);
    error BadSignatures(uint256 foundBytes, uint256 wantedAtLeast);
    error NotAscending(uint256 position);
    error NotAttester(uint256 position, address signer);

    event AttestersSet(address[] attesters, uint256 threshold);
    event Armed(bytes32 indexed scope, uint64 epoch, uint64 haltSeconds);
    event Disarmed(bytes32 indexed scope, uint64 epoch);
    event Attested(bytes32 indexed scope, uint64 epoch, bytes32 indexed incident, Level level, uint64 haltedUntil, address by);

    constructor(address owner_, address[] memory attesters_, uint256 threshold_)
        EIP712("TocsinSignalGate", "1")
        Ownable(owner_)
    {
        _setAttesters(attesters_, threshold_);
    }

    /// Replaces all of them.
    function setAttesters(address[] calldata attesters_, uint256 threshold_) external onlyOwner {
        _setAttesters(attesters_, threshold_);
    }

    // [GATE] Only the owner arms, disarms and opens; each makes what was attested before worthless.
    function arm(bytes32 scope, uint64 haltSeconds) external onlyOwner {
        if (haltSeconds == 0 || haltSeconds > MAX_HALT_SECONDS) revert BadHalt(haltSeconds, MAX_HALT_SECONDS);
        emit Armed(scope, _renew(scope, haltSeconds), haltSeconds);
    }

    function disarm(bytes32 scope) external onlyOwner {
        emit Disarmed(scope, _renew(scope, 0));
    }

    /// Raises the level of a scope. `signatures` are of the attesters' own `digest`, 64 bytes each, by ascending address.
    function attest(
        bytes32 scope,
        bytes32 incident,
        uint8 level,
        uint64 issued,
        uint64 expires,
        bytes calldata signatures
    ) external {
        Scope storage held = _scopes[scope];
        // [GATE] A scope that is not armed is not closed.
        if (held.haltSeconds == 0) revert NotArmed(scope);
        // [GATE] An attestation restricts or halts; no other level can be attested.
        if (level != uint8(Level.RESTRICTED) && level != uint8(Level.HALTED)) revert BadLevel(level);
        // [GATE] It counts from `issued` to `expires`, which are at most MAX_ATTESTATION_SECONDS apart.
        if (block.timestamp < issued || block.timestamp > expires || expires - issued > MAX_ATTESTATION_SECONDS) {
            revert NotInTime(issued, expires, block.timestamp);
        }
        _check(digest(scope, incident, level, issued, expires), signatures);
        held.restriction.raiseTo(Level(level), held.haltSeconds);
        emit Attested(scope, held.restriction.epoch, incident, Level(level), held.restriction.haltedUntil, msg.sender);
    }

    /// What attesters sign: EIP-712, bound to this chain, this gate, the scope and its epoch.
    function digest(bytes32 scope, bytes32 incident, uint8 level, uint64 issued, uint64 expires)
        public
        view
        returns (bytes32)
    {
        // [GATE] A signature is for one chain, gate, scope, epoch, incident, level and time.
        return _hashTypedDataV4(
            keccak256(
                abi.encode(ATTESTATION_TYPEHASH, scope, _scopes[scope].restriction.epoch, incident, level, issued, expires)
            )
        );
    }

    function levelOf(bytes32 scope) external view returns (Level) {
        return _scopes[scope].restriction.level();
    }

    /// When the halt ends or ended, in seconds; 0 when there was none in this epoch.
    function haltedUntil(bytes32 scope) external view returns (uint64) {
        return _scopes[scope].restriction.haltedUntil;
    }

    /// The epoch to sign for, and how long a halt would last; 0 seconds when the scope is not armed.
    function armOf(bytes32 scope) external view returns (uint64 epoch, uint64 haltSeconds) {
        return (_scopes[scope].restriction.epoch, _scopes[scope].haltSeconds);
    }

    function attesters() external view returns (address[] memory) {
        return _attesters;
    }

    function _check(bytes32 digest_, bytes calldata signatures) private view {
        // [GATE] Whole signatures, and no fewer than the threshold in force.
        if (signatures.length % SIGNATURE_BYTES != 0 || signatures.length < threshold * SIGNATURE_BYTES) {
            revert BadSignatures(signatures.length, threshold * SIGNATURE_BYTES);
        }
        address last = address(0);
        for (uint256 i = 0; i < signatures.length; i += SIGNATURE_BYTES) {
            bytes32 r = bytes32(signatures[i:i + 32]);
            bytes32 vs = bytes32(signatures[i + 32:i + 64]);
            // [GATE] Compact signatures with a low s: no signature has a second spelling.
            address signer = ECDSA.recover(digest_, r, vs);
            // [GATE] Signers ascend by address: none counts twice.
            if (signer <= last) revert NotAscending(i / SIGNATURE_BYTES);
            // [GATE] Each of them is an attester now.
            if (!isAttester[signer]) revert NotAttester(i / SIGNATURE_BYTES, signer);
            last = signer;
        }
    }

    function _renew(bytes32 scope, uint64 haltSeconds) private returns (uint64) {
        Scope storage held = _scopes[scope];
        held.restriction.reset();
        held.haltSeconds = haltSeconds;
        return held.restriction.epoch;
    }

    function _setAttesters(address[] memory attesters_, uint256 threshold_) private {
        // [GATE] There are 1 to MAX_ATTESTERS attesters by ascending address, and the threshold is one they can reach.
        if (attesters_.length > MAX_ATTESTERS) revert BadAttesters("more than MAX_ATTESTERS");
        if (threshold_ == 0 || threshold_ > attesters_.length) revert BadAttesters("threshold");
        for (uint256 i = 0; i < _attesters.length; i++) isAttester[_attesters[i]] = false;
        address last = address(0);
        for (uint256 i = 0; i < attesters_.length; i++) {
            if (attesters_[i] <= last) revert BadAttesters("not ascending");
            last = attesters_[i];
            isAttester[last] = true;
        }
        (_attesters, threshold) = (attesters_, threshold_);
        emit AttestersSet(attesters_, threshold_);
    }
}

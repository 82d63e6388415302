// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Level, Restriction, Restrictions} from "./Level.sol";

/// A pause that ends by itself, for a protocol's own contract to inherit. See specs/contracts.md.
abstract contract ExpiringPause is Ownable2Step {
    using Restrictions for Restriction;

    uint32 public constant MAX_PAUSE_SECONDS = 7 days;

    address public guardian;
    Restriction private _pause;

    error NotGuardian(address caller);
    error BadPause(uint32 found, uint32 most);
    error Closed(Level level);

    event GuardianSet(address indexed guardian);
    event LevelRaised(Level level, uint64 haltedUntil, address indexed by);
    event LevelReset(address indexed by);

    constructor(address owner_, address guardian_) Ownable(owner_) {
        guardian = guardian_;
        emit GuardianSet(guardian_);
        _pause.reset();
    }

    modifier onlyGuardian() {
        // [PAUSE] The guardian and the owner raise the level; nobody else does.
        if (msg.sender != guardian && msg.sender != owner()) revert NotGuardian(msg.sender);
        _;
    }

    modifier whenNotHalted() {
        if (level() == Level.HALTED) revert Closed(Level.HALTED);
        _;
    }

    modifier whenNormal() {
        if (level() != Level.NORMAL) revert Closed(level());
        _;
    }

    /// Halts for so many seconds, and restricts after that.
    function pauseFor(uint32 seconds_) external onlyGuardian {
        // [PAUSE] A pause lasts 1 to MAX_PAUSE_SECONDS seconds.
        if (seconds_ == 0 || seconds_ > MAX_PAUSE_SECONDS) revert BadPause(seconds_, MAX_PAUSE_SECONDS);
        _pause.raiseTo(Level.HALTED, seconds_);
        emit LevelRaised(Level.HALTED, _pause.haltedUntil, msg.sender);
    }

    function restrict() external onlyGuardian {
        _pause.raiseTo(Level.RESTRICTED, 0);
        emit LevelRaised(Level.RESTRICTED, 0, msg.sender);
    }

    // [PAUSE] Only the owner reopens and names the guardian.
    function reset() external onlyOwner {
        _pause.reset();
        emit LevelReset(msg.sender);
    }

    function setGuardian(address guardian_) external onlyOwner {
        guardian = guardian_;
        emit GuardianSet(guardian_);
    }

    function level() public view returns (Level) {
        return _pause.level();
    }

    function paused() external view returns (bool) {
        return level() == Level.HALTED;
    }

    /// When the latest halt ends or ended, in seconds; 0 when there was none since the owner reset.
    function haltedUntil() external view returns (uint64) {
        return _pause.haltedUntil;
    }
}

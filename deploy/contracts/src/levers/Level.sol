// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// How far something is closed. RESTRICTED is whatever its contract still allows then, for instance to leave but not to enter.
enum Level {
    NORMAL,
    RESTRICTED,
    HALTED
}

/// The highest level since the owner last reset, when a halt ends, and how often the owner reset. One slot, and never
/// empty once it was reset: to close then costs the same each time.
struct Restriction {
    Level reached;
    uint64 haltedUntil;
    uint64 epoch;
}

/// The one state machine of everything here that closes: up by a signal or a guardian, half-way down by time, down by the owner.
library Restrictions {
    error NotAbove(Level reached);

    function raiseTo(Restriction storage restriction, Level to, uint64 haltSeconds) internal {
        // [LEVEL] A level is only raised, and each is reached once until the owner resets.
        if (to <= restriction.reached) revert NotAbove(restriction.reached);
        restriction.reached = to;
        if (to == Level.HALTED) restriction.haltedUntil = uint64(block.timestamp) + haltSeconds;
    }

    function reset(Restriction storage restriction) internal {
        (restriction.reached, restriction.haltedUntil) = (Level.NORMAL, 0);
        restriction.epoch += 1;
    }

    function level(Restriction storage restriction) internal view returns (Level) {
        Level reached = restriction.reached;
        // [LEVEL] A halt lapses by itself to RESTRICTED, and time never leads to NORMAL.
        if (reached == Level.HALTED && block.timestamp >= restriction.haltedUntil) return Level.RESTRICTED;
        return reached;
    }
}

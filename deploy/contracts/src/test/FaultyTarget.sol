// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// Pauses badly, in the way that `setMode` says. Anyone may call anything.
contract FaultyTarget {
    enum Mode {
        WORKS,
        REVERTS_WITH_TEXT,
        REVERTS_WITH_ERROR,
        REVERTS_WITHOUT_REASON,
        PANICS,
        BURNS_ALL_GAS,
        DOES_NOTHING,
        VIEW_REVERTS,
        VIEW_IS_SHORT
    }

    Mode public mode;
    bool private _isPaused;

    error TooHot(uint256 degrees);

    function setMode(Mode mode_) external {
        mode = mode_;
    }

    function pause() external {
        if (mode == Mode.REVERTS_WITH_TEXT) revert("the lever is stuck");
        if (mode == Mode.REVERTS_WITH_ERROR) revert TooHot(451);
        if (mode == Mode.REVERTS_WITHOUT_REASON) revert();
        if (mode == Mode.PANICS) assert(false);
        if (mode == Mode.BURNS_ALL_GAS) assembly { invalid() }
        if (mode != Mode.DOES_NOTHING) _isPaused = true;
    }

    function unpause() external {
        _isPaused = false;
    }

    function paused() external view returns (bool) {
        if (mode == Mode.VIEW_REVERTS) revert("not now");
        if (mode == Mode.VIEW_IS_SHORT) assembly { return(0, 31) }
        return _isPaused;
    }
}

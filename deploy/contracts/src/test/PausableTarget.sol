// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardianPausable} from "../GuardianPausable.sol";

/// OpenZeppelin Pausable: the guardian pauses, the owner starts again. What users do is `work`.
contract PausableTarget is GuardianPausable {
    uint256 public done;

    constructor(address owner_, address guardian_) GuardianPausable(owner_, guardian_) {}

    function work() external whenNotPaused {
        done += 1;
    }

    /// Two words that a wallet may get wrong: it takes none of them.
    function pauseWith(address, bytes32) external {
        if (msg.sender != guardian) revert NotGuardian(msg.sender);
        _pause();
    }
}

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
}

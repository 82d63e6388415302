// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ExpiringPause} from "../levers/ExpiringPause.sol";

/// A protocol with a pause that ends by itself: halted nothing goes, restricted one may only withdraw.
contract ExpiringTarget is ExpiringPause {
    uint256 public deposited;
    uint256 public withdrawn;

    constructor(address owner_, address guardian_) ExpiringPause(owner_, guardian_) {}

    function deposit() external whenNormal {
        deposited += 1;
    }

    function withdraw() external whenNotHalted {
        withdrawn += 1;
    }
}

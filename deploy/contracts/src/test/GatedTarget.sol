// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SignalGated} from "../levers/SignalGated.sol";
import {TocsinSignalGate} from "../levers/TocsinSignalGate.sol";

/// A protocol that a signal gate closes: halted nothing goes, restricted one may only withdraw.
contract GatedTarget is SignalGated {
    uint256 public deposited;
    uint256 public withdrawn;

    constructor(TocsinSignalGate gate_, bytes32 scope) SignalGated(gate_, scope) {}

    function deposit() external whenGateNormal {
        deposited += 1;
    }

    function withdraw() external whenGateNotHalted {
        withdrawn += 1;
    }
}

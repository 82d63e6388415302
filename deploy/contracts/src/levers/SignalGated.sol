// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Level} from "./Level.sol";
import {TocsinSignalGate} from "./TocsinSignalGate.sol";

/// For a protocol's own contract to inherit: it asks the gate in each call whether it may go on. See specs/contracts.md.
abstract contract SignalGated {
    TocsinSignalGate public immutable gate;
    bytes32 public immutable gateScope;

    error ClosedBySignals(Level level);

    constructor(TocsinSignalGate gate_, bytes32 scope) {
        gate = gate_;
        gateScope = scope;
    }

    modifier whenGateNotHalted() {
        _requireBelow(Level.HALTED);
        _;
    }

    modifier whenGateNormal() {
        _requireBelow(Level.RESTRICTED);
        _;
    }

    function _requireBelow(Level closed) private view {
        Level found = gate.levelOf(gateScope);
        if (found >= closed) revert ClosedBySignals(found);
    }
}

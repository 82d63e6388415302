// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// OpenZeppelin's manager of roles, as it is.
contract TestAccessManager is AccessManager {
    constructor(address admin) AccessManager(admin) {}
}

/// Each function is for the role that the manager gives it; until it gives one, for the manager's admin.
contract ManagedTarget is AccessManaged, Pausable {
    uint256 public done;
    uint256 public cap = 1_000;

    constructor(address manager) AccessManaged(manager) {}

    function work() external restricted whenNotPaused {
        done += 1;
    }

    function pause() external restricted {
        _pause();
    }

    function unpause() external restricted {
        _unpause();
    }

    function setCap(uint256 cap_) external restricted {
        cap = cap_;
    }
}

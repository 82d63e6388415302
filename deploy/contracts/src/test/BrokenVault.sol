// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {TocsinBreaker} from "../levers/TocsinBreaker.sol";

/// Anybody may withdraw anything; what is left to protect it is the breaker that it reports to.
contract BrokenVault {
    using SafeERC20 for IERC20;

    IERC20 public immutable asset;
    TocsinBreaker public immutable breaker;

    constructor(IERC20 asset_, TocsinBreaker breaker_) {
        (asset, breaker) = (asset_, breaker_);
    }

    function deposit(uint256 amount) external {
        breaker.onTokenInflow(address(asset), amount);
        asset.safeTransferFrom(msg.sender, address(this), amount);
    }

    function withdraw(uint256 amount) external {
        breaker.onTokenOutflow(address(asset), amount);
        asset.safeTransfer(msg.sender, amount);
    }
}

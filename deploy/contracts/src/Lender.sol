// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {GuardianPausable} from "./GuardianPausable.sol";

/// A lender whose receipts are worth one unit of the asset each. Its shape is that of March 2023: an account may lever
/// itself, and every exit checks the account's health except `donate`, so an account can make itself insolvent on purpose
/// and be liquidated, at the discount, by its own accomplice. DELIBERATELY FLAWED: for the demo and the tests only.
contract Lender is ERC20, GuardianPausable {
    using SafeERC20 for IERC20;

    uint256 public constant COLLATERAL_PERCENT = 95;
    uint256 public constant LIQUIDATION_PERCENT = 80;
    uint8 public constant EXITS = 2;
    uint8 public constant NORMAL = 6;

    IERC20 public immutable asset;
    mapping(address account => uint256 amount) public debtOf;

    /// How far the owner lets people back in: 2 out only; 3, 4, 5 new exposure up to 1, 5, 25 % of the receipts; 6 all.
    uint8 private _opening = NORMAL;
    uint256 private _roomLeft;
    bool public donationsStopped;

    event Opened(uint8 stage);

    error Unhealthy(address account);
    error Healthy(address account);
    error NoRoom(uint256 wanted, uint256 left);
    error NoSuchStage(uint8 stage);
    error DonationsStopped();

    constructor(IERC20 asset_, address owner_, address guardian_)
        ERC20("Demo Lender Receipt", "lUSD")
        GuardianPausable(owner_, guardian_)
    {
        asset = asset_;
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// 0 while paused, else how far it is open.
    function stage() external view returns (uint8) {
        return paused() ? 0 : _opening;
    }

    /// Only the owner opens, stage by stage, and may close again to exits without the guardian.
    function openTo(uint8 stage_) external onlyOwner {
        if (stage_ < EXITS || stage_ > NORMAL) revert NoSuchStage(stage_);
        uint256 percent = stage_ == EXITS ? 0 : stage_ == 3 ? 1 : stage_ == 4 ? 5 : 25;
        _opening = stage_;
        _roomLeft = totalSupply() * percent / 100;
        emit Opened(stage_);
    }

    /// Takes the flaw out of reach, for good.
    function stopDonations() external onlyOwner {
        donationsStopped = true;
    }

    function isHealthy(address account) public view returns (bool) {
        return balanceOf(account) * COLLATERAL_PERCENT >= debtOf[account] * 100;
    }

    function deposit(uint256 amount) external whenNotPaused {
        _useRoom(amount);
        asset.safeTransferFrom(msg.sender, address(this), amount);
        _mint(msg.sender, amount);
    }

    function withdraw(uint256 amount) external whenNotPaused {
        _burn(msg.sender, amount);
        _requireHealthy(msg.sender);
        asset.safeTransfer(msg.sender, amount);
    }

    /// Borrows and deposits what was borrowed, in one step.
    function lever(uint256 amount) external whenNotPaused {
        _useRoom(amount);
        _mint(msg.sender, amount);
        debtOf[msg.sender] += amount;
        _requireHealthy(msg.sender);
    }

    /// The flaw: gives receipts to the reserves and forgets to ask whether the giver can afford it.
    function donate(uint256 amount) external whenNotPaused {
        if (donationsStopped) revert DonationsStopped();
        _burn(msg.sender, amount);
    }

    /// Takes over an unhealthy account's receipts for a share of its debt; the rest of the debt is the lender's loss.
    function liquidate(address account) external whenNotPaused {
        if (isHealthy(account)) revert Healthy(account);
        uint256 receipts = balanceOf(account);
        debtOf[account] = 0;
        debtOf[msg.sender] += receipts * LIQUIDATION_PERCENT / 100;
        _transfer(account, msg.sender, receipts);
        _requireHealthy(msg.sender);
    }

    /// Receipts move freely while the lender is paused, so that whoever holds them elsewhere is not locked in; a debtor's do not.
    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (from != address(0) && to != address(0)) _requireHealthy(from);
    }

    function _useRoom(uint256 amount) private {
        if (_opening == NORMAL) return;
        if (amount > _roomLeft) revert NoRoom(amount, _roomLeft);
        _roomLeft -= amount;
    }

    function _requireHealthy(address account) private view {
        if (!isHealthy(account)) revert Unhealthy(account);
    }
}

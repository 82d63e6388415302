// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {IRiskOracle, RiskReport, RiskState, RiskStatus} from "./RiskReports.sol";

/// A reference consumer: a pool that sells cover of one subject while the reports allow it. It shows how quoting is closed
/// and reopened by the oracle alone; what is paid for claims is left to whoever builds on it. See specs/contracts.md.
contract CoverPool is Ownable2Step, ReentrancyGuard {
    uint256 public constant MAX_COVER_DAYS = 365;

    uint256 private constant BPS = 10_000;

    struct Policy {
        address holder;
        uint256 cover;
        uint64 ends;
    }

    IRiskOracle public immutable oracle;
    bytes32 public immutable subject;
    /// What cover costs in quiet times, in basis points a year.
    uint256 public immutable rateBps;
    /// What the policies in force could cost.
    uint256 public covered;
    Policy[] private _policies;

    error Closed(RiskState state);
    error BadTerm(uint256 found, uint256 most);
    error NoCapacity(uint256 wanted, uint256 open);
    error TooLittlePaid(uint256 found, uint256 wanted);
    error NotOver(uint256 policy);
    error StillCovered(uint256 covered, uint256 left);
    error NotSent();

    event Bought(uint256 indexed policy, address indexed holder, uint256 cover, uint256 premium, uint64 ends);
    event Ended(uint256 indexed policy);

    constructor(address owner_, IRiskOracle oracle_, bytes32 subject_, uint256 rateBps_) Ownable(owner_) {
        (oracle, subject, rateBps) = (oracle_, subject_, rateBps_);
    }

    /// Capital comes from anyone who sends it; it is the owner's to take out again.
    receive() external payable {}

    function isOpen() external view returns (bool) {
        return _isOpen(oracle.statusOf(subject));
    }

    /// The premium of so much cover for so many days; reverts when none is sold.
    function quote(uint256 cover, uint256 termDays) public view returns (uint256 premium) {
        RiskStatus memory status = oracle.statusOf(subject);
        // [POOL] Nothing is quoted while the state is unknown, confirmed, contained or recovering.
        if (!_isOpen(status)) revert Closed(status.state);
        if (termDays == 0 || termDays > MAX_COVER_DAYS) revert BadTerm(termDays, MAX_COVER_DAYS);
        // [POOL] No more is covered than the share of the pool that the oracle leaves open.
        uint256 open = _open(status);
        if (cover == 0 || cover > open) revert NoCapacity(cover, open);
        // [POOL] The premium is the rate times the oracle's multiplier, rounded up, and never more than the cover.
        premium = _ceil(cover * rateBps * termDays * status.multiplierBps, BPS * BPS * 365);
        if (premium > cover) premium = cover;
    }

    /// Buys cover; what is paid above the premium comes back.
    function buy(uint256 cover, uint256 termDays) public payable nonReentrant returns (uint256 policy) {
        return _buy(cover, termDays);
    }

    /// The same with the reports that make the quote a fresh one: who needs it pays for it.
    function buyWith(uint256 cover, uint256 termDays, RiskReport[] calldata reports, bytes calldata signatures)
        external
        payable
        nonReentrant
        returns (uint256 policy)
    {
        oracle.submit(reports, signatures);
        return _buy(cover, termDays);
    }

    /// Anyone may end a policy whose time is over.
    function end(uint256 policy) external {
        Policy storage held = _policies[policy];
        // [POOL] A policy in force ends by time alone, whatever the oracle says.
        if (held.cover == 0 || block.timestamp < held.ends) revert NotOver(policy);
        covered -= held.cover;
        held.cover = 0;
        emit Ended(policy);
    }

    /// Takes capital out.
    function withdraw(uint256 amount) external onlyOwner nonReentrant {
        // [POOL] Capital that policies in force could cost stays.
        if (amount > address(this).balance || address(this).balance - amount < covered) {
            revert StillCovered(covered, address(this).balance);
        }
        _send(msg.sender, amount);
    }

    function policyOf(uint256 policy) external view returns (Policy memory) {
        return _policies[policy];
    }

    function _buy(uint256 cover, uint256 termDays) private returns (uint256 policy) {
        uint256 premium = quote(cover, termDays);
        if (msg.value < premium) revert TooLittlePaid(msg.value, premium);
        uint64 ends = uint64(block.timestamp + termDays * 1 days);
        policy = _policies.length;
        _policies.push(Policy(msg.sender, cover, ends));
        covered += cover;
        emit Bought(policy, msg.sender, cover, premium, ends);
        if (msg.value > premium) _send(msg.sender, msg.value - premium);
    }

    function _isOpen(RiskStatus memory status) private pure returns (bool) {
        return status.state < RiskState.RECOVERING && status.capacityBps > 0;
    }

    function _open(RiskStatus memory status) private view returns (uint256) {
        // What is being paid in this call is nobody's capital yet.
        uint256 capital = address(this).balance - msg.value;
        uint256 most = capital * status.capacityBps / BPS;
        return most > covered ? most - covered : 0;
    }

    function _send(address to, uint256 amount) private {
        (bool isSent,) = to.call{value: amount}("");
        if (!isSent) revert NotSent();
    }

    function _ceil(uint256 value, uint256 by) private pure returns (uint256) {
        return value == 0 ? 0 : (value - 1) / by + 1;
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRiskOracle, RiskState, RiskStatus} from "./RiskReports.sol";

/// One number of one subject in the shape of AggregatorV3, for consumers that read such feeds: the share of its capacity
/// that is open, or the multiplier of its premium, each in basis points. See specs/contracts.md.
contract RiskFeed {
    enum Answer {
        CAPACITY,
        MULTIPLIER
    }

    uint8 public constant decimals = 4;
    uint256 public constant version = 1;
    IRiskOracle public immutable oracle;
    bytes32 public immutable subject;
    Answer public immutable kind;

    error NoDataPresent();

    constructor(IRiskOracle oracle_, bytes32 subject_, Answer kind_) {
        (oracle, subject, kind) = (oracle_, subject_, kind_);
    }

    function description() external view returns (string memory) {
        return kind == Answer.CAPACITY ? "Tocsin capacity" : "Tocsin premium multiplier";
    }

    function latestRoundData()
        public
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        RiskStatus memory status = oracle.statusOf(subject);
        if (status.state == RiskState.UNKNOWN) {
            // [RISKFEED] Where the state is UNKNOWN, the capacity is 0 as of time 0, and there is no multiplier.
            if (kind == Answer.MULTIPLIER) revert NoDataPresent();
            return (0, 0, 0, 0, 0);
        }
        // [RISKFEED] A round is the highest epoch that as many reports as the threshold reach, its time that of the oldest.
        roundId = uint80(status.epoch);
        answer = int256(uint256(kind == Answer.CAPACITY ? status.capacityBps : status.multiplierBps));
        updatedAt = status.observedMs / 1_000;
        return (roundId, answer, updatedAt, updatedAt, roundId);
    }

    /// The latest round alone is kept.
    function getRoundData(uint80 wanted) external view returns (uint80, int256, uint256, uint256, uint80) {
        (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound) = latestRoundData();
        // [RISKFEED] Of earlier rounds there is no data.
        if (wanted != roundId || roundId == 0) revert NoDataPresent();
        return (roundId, answer, startedAt, updatedAt, answeredInRound);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// How a subject stands. Of two states the higher is the worse, and UNKNOWN, which no report says, the worst of all.
enum RiskState {
    NONE,
    FALSE_ALARM,
    RESOLVED,
    SUSPECTED,
    RECOVERING,
    CONTAINED,
    CONFIRMED,
    UNKNOWN
}

/// What a signer says of a subject: specs/risk.md. Money in micro-USD, times in ms.
struct RiskReport {
    bytes32 subject;
    bytes32 incident;
    RiskState state;
    bytes32 category;
    uint8 severity;
    uint32 posteriorPpm;
    uint64 tvlAtRisk;
    uint64 lossObserved;
    uint64 lossP50;
    uint64 lossP90;
    uint64 lossP99;
    uint64 drainRate;
    uint64 hazardRate;
    uint32 multiplierBps;
    uint16 capacityBps;
    uint64 epoch;
    uint64 observed;
    uint64 expires;
    bytes32 previous;
    bytes32 evidenceRoot;
    bytes32 modelHash;
}

/// What consumers go by. `untilMs`: when it is UNKNOWN unless reports come; `observedMs`: the oldest report in it; `epoch`:
/// the highest that as many reports as the threshold reach.
struct RiskStatus {
    RiskState state;
    uint32 posteriorPpm;
    uint32 multiplierBps;
    uint16 capacityBps;
    uint8 fresh;
    uint64 epoch;
    uint64 observedMs;
    uint64 untilMs;
}

/// What underwriters reckon with: medians of the fresh reports.
struct RiskLosses {
    bytes32 incident;
    uint64 tvlAtRisk;
    uint64 lossObserved;
    uint64 lossP50;
    uint64 lossP90;
    uint64 lossP99;
    uint64 drainRate;
    uint64 hazardRate;
}

interface IRiskOracle {
    function submit(RiskReport[] calldata reports, bytes calldata signatures) external;
    function statusOf(bytes32 subject) external view returns (RiskStatus memory);
    function lossesOf(bytes32 subject) external view returns (RiskLosses memory);
}

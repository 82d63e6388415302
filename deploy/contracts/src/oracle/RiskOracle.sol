// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IRiskOracle, RiskLosses, RiskReport, RiskState, RiskStatus} from "./RiskReports.sol";

/// Keeps the latest report of each signer about each subject, and answers with what k of n of them come to. Anyone may
/// carry reports here, in the very transaction that needs them. See specs/contracts.md.
contract RiskOracle is IRiskOracle, EIP712, Ownable2Step {
    uint256 public constant MAX_SIGNERS = 32;
    uint64 public constant MAX_LIFETIME_MS = 60_000;
    uint64 public constant MAX_AHEAD_MS = 30_000;
    uint32 public constant MAX_MULTIPLIER_BPS = 1_000_000_000;
    /// EIP-2098: r, then s with the parity in its highest bit.
    uint256 public constant REPORT_SIGNATURE_BYTES = 64;
    bytes32 public constant REPORT_TYPEHASH = keccak256(
        "RiskReport(bytes32 subject,bytes32 incident,uint8 state,bytes32 category,uint8 severity,uint32 posteriorPpm,"
        "uint64 tvlAtRisk,uint64 lossObserved,uint64 lossP50,uint64 lossP90,uint64 lossP99,uint64 drainRate,"
        "uint64 hazardRate,uint32 multiplierBps,uint16 capacityBps,uint64 epoch,uint64 observed,uint64 expires,"
        "bytes32 previous,bytes32 evidenceRoot,bytes32 modelHash)"
    );

    uint32 private constant PPM = 1_000_000;
    uint16 private constant BPS = 10_000;

    /// What consumers go by, in one slot: times in tenths of a second.
    struct Word {
        RiskState state;
        uint32 posteriorPpm;
        uint32 multiplierBps;
        uint16 capacityBps;
        uint64 epoch;
        uint40 observed;
        uint40 expires;
    }

    /// The rest of a report that is kept.
    struct Amounts {
        uint64 tvlAtRisk;
        uint64 lossP50;
        uint64 lossP90;
        uint64 lossP99;
        uint64 lossObserved;
        uint64 drainRate;
        uint64 hazardRate;
        bytes32 incident;
    }

    uint256 public threshold;
    address[] private _signers;
    mapping(address account => bool) public isSigner;
    mapping(address account => bool) public isEquivocator;
    mapping(bytes32 subject => mapping(address signer => Word)) private _words;
    mapping(bytes32 subject => mapping(address signer => Amounts)) private _amounts;

    error BadSigners(string reason);
    error BadSignatures(uint256 foundBytes, uint256 wanted);
    error NotAscending(uint256 position);
    error NotSigner(uint256 position, address signer);
    error Equivocator(uint256 position, address signer);
    error NotInTime(uint256 position, uint64 observed, uint64 expires, uint256 nowMs);
    error BadReport(uint256 position, string reason);
    error IllegalMove(uint256 position, RiskState from, RiskState to);
    error NoEquivocation();

    event SignersSet(address[] signers, uint256 threshold);
    event Reported(bytes32 indexed subject, address indexed signer, uint64 epoch, RiskState state, bytes32 digest);
    event Equivocated(address indexed signer, bytes32 indexed subject, uint64 epoch);

    constructor(address owner_, address[] memory signers_, uint256 threshold_)
        EIP712("Tocsin RiskOracle", "1")
        Ownable(owner_)
    {
        _setSigners(signers_, threshold_);
    }

    /// Replaces all of them; who equivocated stays out for good.
    function setSigners(address[] calldata signers_, uint256 threshold_) external onlyOwner {
        _setSigners(signers_, threshold_);
    }

    /// Takes one report of each of some signers, by ascending signer; 64 bytes of signature for each. They may be about
    /// different subjects.
    function submit(RiskReport[] calldata reports, bytes calldata signatures) external {
        // [ORACLE] Each report comes with one whole signature.
        if (signatures.length != reports.length * REPORT_SIGNATURE_BYTES) {
            revert BadSignatures(signatures.length, reports.length * REPORT_SIGNATURE_BYTES);
        }
        address last = address(0);
        for (uint256 i = 0; i < reports.length; i++) {
            RiskReport calldata report = reports[i];
            bytes32 digest = digestOf(report);
            address signer = _recover(digest, signatures, i);
            // [ORACLE] Signers ascend by address: none counts twice.
            if (signer <= last) revert NotAscending(i);
            last = signer;
            // [ORACLE] Each of them is a signer now, and never told two stories.
            if (!isSigner[signer]) revert NotSigner(i, signer);
            if (isEquivocator[signer]) revert Equivocator(i, signer);
            _take(i, report, signer, digest);
        }
    }

    /// Excludes a signer for good who signed two reports of one epoch about one subject. Anyone may show that.
    function showEquivocation(RiskReport calldata one, RiskReport calldata other, bytes calldata signatures) external {
        if (signatures.length != 2 * REPORT_SIGNATURE_BYTES) {
            revert BadSignatures(signatures.length, 2 * REPORT_SIGNATURE_BYTES);
        }
        (bytes32 first, bytes32 second) = (digestOf(one), digestOf(other));
        address signer = _recover(first, signatures, 0);
        // [ORACLE] Two different reports of one signer, subject and epoch exclude him for good.
        if (
            first == second || one.subject != other.subject || one.epoch != other.epoch
                || signer != _recover(second, signatures, 1) || !isSigner[signer]
        ) revert NoEquivocation();
        isEquivocator[signer] = true;
        emit Equivocated(signer, one.subject, one.epoch);
    }

    /// What signers sign: EIP-712, bound to this chain and this contract.
    function digestOf(RiskReport calldata report) public view returns (bytes32) {
        // [ORACLE] A signature is for one chain and one contract, and for every field.
        return _hashTypedDataV4(keccak256(abi.encode(REPORT_TYPEHASH, report)));
    }

    function statusOf(bytes32 subject) external view returns (RiskStatus memory status) {
        (Word[] memory fresh,, uint256 count) = _fresh(subject);
        // [ORACLE] With fewer fresh reports than the threshold the state is UNKNOWN, capacity 0, the multiplier the highest.
        if (count < threshold) {
            (status.state, status.multiplierBps, status.fresh) = (RiskState.UNKNOWN, MAX_MULTIPLIER_BPS, uint8(count));
            return status;
        }
        uint256[] memory values = new uint256[](count);
        status.fresh = uint8(count);
        status.state = RiskState(_stateOf(fresh, count));
        for (uint256 i = 0; i < count; i++) values[i] = fresh[i].posteriorPpm;
        // [ORACLE] Every other number is the median; of two in the middle the lower capacity, else the higher number.
        status.posteriorPpm = uint32(_sorted(values)[count / 2]);
        for (uint256 i = 0; i < count; i++) values[i] = fresh[i].multiplierBps;
        status.multiplierBps = uint32(_sorted(values)[count / 2]);
        for (uint256 i = 0; i < count; i++) values[i] = fresh[i].capacityBps;
        // [ORACLE] What is recovering or worse has no capacity, whatever the median.
        if (status.state < RiskState.RECOVERING) status.capacityBps = uint16(_sorted(values)[(count - 1) / 2]);
        for (uint256 i = 0; i < count; i++) values[i] = fresh[i].epoch;
        // One liar alone can neither raise a round, out of which a consumer might never find back, nor hold it down.
        status.epoch = uint64(_sorted(values)[count - threshold]);
        for (uint256 i = 0; i < count; i++) values[i] = fresh[i].observed;
        status.observedMs = uint64(_sorted(values)[0]) * 100;
        for (uint256 i = 0; i < count; i++) values[i] = fresh[i].expires;
        status.untilMs = uint64(_sorted(values)[count - threshold]) * 100;
    }

    function lossesOf(bytes32 subject) external view returns (RiskLosses memory losses) {
        (Word[] memory fresh, address[] memory by, uint256 count) = _fresh(subject);
        if (count < threshold) return losses;
        Amounts[] memory said = new Amounts[](count);
        for (uint256 i = 0; i < count; i++) said[i] = _amounts[subject][by[i]];
        uint256[] memory values = new uint256[](count);
        for (uint256 i = 0; i < count; i++) values[i] = said[i].tvlAtRisk;
        losses.tvlAtRisk = uint64(_sorted(values)[count / 2]);
        for (uint256 i = 0; i < count; i++) values[i] = said[i].lossObserved;
        losses.lossObserved = uint64(_sorted(values)[count / 2]);
        for (uint256 i = 0; i < count; i++) values[i] = said[i].lossP50;
        losses.lossP50 = uint64(_sorted(values)[count / 2]);
        for (uint256 i = 0; i < count; i++) values[i] = said[i].lossP90;
        losses.lossP90 = uint64(_sorted(values)[count / 2]);
        for (uint256 i = 0; i < count; i++) values[i] = said[i].lossP99;
        losses.lossP99 = uint64(_sorted(values)[count / 2]);
        for (uint256 i = 0; i < count; i++) values[i] = said[i].drainRate;
        losses.drainRate = uint64(_sorted(values)[count / 2]);
        for (uint256 i = 0; i < count; i++) values[i] = said[i].hazardRate;
        losses.hazardRate = uint64(_sorted(values)[count / 2]);
        losses.incident = _incidentOf(fresh, said, count);
    }

    /// The latest report of one signer, whether or not it is fresh: where his next one has to go on.
    function heldOf(bytes32 subject, address signer)
        external
        view
        returns (uint64 epoch, RiskState state, bytes32 incident, uint64 expiresMs)
    {
        Word storage held = _words[subject][signer];
        return (held.epoch, held.state, _amounts[subject][signer].incident, uint64(held.expires) * 100);
    }

    function signers() external view returns (address[] memory) {
        return _signers;
    }

    function _take(uint256 position, RiskReport calldata report, address signer, bytes32 digest) private {
        _check(position, report);
        Word storage held = _words[report.subject][signer];
        // [ORACLE] Epochs of a signer rise from report to report about a subject: one that is not newer changes nothing.
        if (report.epoch <= held.epoch) return;
        Amounts storage said = _amounts[report.subject][signer];
        // [ORACLE] Nothing leads back to NONE, and in one incident nothing that was more back to SUSPECTED.
        bool isBack = report.state == RiskState.NONE && held.state != RiskState.NONE;
        bool isFading = report.state == RiskState.SUSPECTED && held.state != RiskState.SUSPECTED
            && report.incident == said.incident;
        if (isBack || isFading) revert IllegalMove(position, held.state, report.state);
        _words[report.subject][signer] = Word({
            state: report.state,
            posteriorPpm: report.posteriorPpm,
            multiplierBps: report.multiplierBps,
            capacityBps: report.capacityBps,
            epoch: report.epoch,
            observed: uint40(report.observed / 100),
            expires: uint40(report.expires / 100)
        });
        _amounts[report.subject][signer] = Amounts({
            tvlAtRisk: report.tvlAtRisk,
            lossP50: report.lossP50,
            lossP90: report.lossP90,
            lossP99: report.lossP99,
            lossObserved: report.lossObserved,
            drainRate: report.drainRate,
            hazardRate: report.hazardRate,
            incident: report.incident
        });
        emit Reported(report.subject, signer, report.epoch, report.state, digest);
    }

    function _check(uint256 position, RiskReport calldata report) private view {
        uint256 nowMs = block.timestamp * 1_000;
        // [ORACLE] A report is taken from MAX_AHEAD_MS before it was observed until it expires, MAX_LIFETIME_MS on at most.
        if (
            report.observed > nowMs + MAX_AHEAD_MS || report.expires <= nowMs || report.expires <= report.observed
                || report.expires - report.observed > MAX_LIFETIME_MS
        ) revert NotInTime(position, report.observed, report.expires, nowMs);
        // [ORACLE] Losses rise from the median over the 90th to the 99th percentile, up to the value at risk.
        if (report.lossP50 > report.lossP90 || report.lossP90 > report.lossP99 || report.lossP99 > report.tvlAtRisk) {
            revert BadReport(position, "losses");
        }
        if (report.lossObserved > report.tvlAtRisk) revert BadReport(position, "lossObserved");
        // [ORACLE] Shares are at most the whole, a multiplier is at least 1, and from RECOVERING on there is no capacity.
        if (report.posteriorPpm > PPM) revert BadReport(position, "posteriorPpm");
        if (report.multiplierBps < BPS || report.multiplierBps > MAX_MULTIPLIER_BPS) {
            revert BadReport(position, "multiplierBps");
        }
        uint16 most = report.state >= RiskState.RECOVERING ? 0 : BPS;
        if (report.capacityBps > most) revert BadReport(position, "capacityBps");
        // [ORACLE] No report says UNKNOWN; NONE names no incident, every other state names one.
        if (report.state == RiskState.UNKNOWN) revert BadReport(position, "state");
        if ((report.state == RiskState.NONE) != (report.incident == 0)) revert BadReport(position, "incident");
    }

    function _recover(bytes32 digest, bytes calldata signatures, uint256 place) private pure returns (address) {
        uint256 start = place * REPORT_SIGNATURE_BYTES;
        // [ORACLE] Compact signatures with a low s: no signature has a second spelling.
        return ECDSA.recover(digest, bytes32(signatures[start:start + 32]), bytes32(signatures[start + 32:start + 64]));
    }

    /// The reports that count and whose they are, at the front of the arrays.
    function _fresh(bytes32 subject) private view returns (Word[] memory found, address[] memory by, uint256 count) {
        uint256 most = _signers.length;
        (found, by) = (new Word[](most), new address[](most));
        for (uint256 i = 0; i < most; i++) {
            address signer = _signers[i];
            Word memory held = _words[subject][signer];
            // [ORACLE] What a signer said counts while he is one, and while it is fresh.
            if (held.expires <= block.timestamp * 10 || isEquivocator[signer]) continue;
            (found[count], by[count]) = (held, signer);
            count++;
        }
    }

    function _stateOf(Word[] memory fresh, uint256 count) private view returns (uint256) {
        uint256[] memory values = new uint256[](count);
        for (uint256 i = 0; i < count; i++) values[i] = uint256(fresh[i].state);
        // [ORACLE] The state is the worst that as many signers as the threshold report, or worse.
        return _sorted(values)[count - threshold];
    }

    function _incidentOf(Word[] memory fresh, Amounts[] memory said, uint256 count)
        private
        view
        returns (bytes32 incident)
    {
        uint256 state = _stateOf(fresh, count);
        uint256 most = 0;
        for (uint256 i = 0; state > uint256(RiskState.NONE) && i < count; i++) {
            if (uint256(fresh[i].state) < state) continue;
            uint256 named = 0;
            for (uint256 j = 0; j < count; j++) {
                if (uint256(fresh[j].state) >= state && said[j].incident == said[i].incident) named++;
            }
            // [ORACLE] The incident is that which most of those name, of as many the lowest id.
            if (named > most || (named == most && said[i].incident < incident)) {
                (most, incident) = (named, said[i].incident);
            }
        }
    }

    /// Sorts in place, ascending: there are at most MAX_SIGNERS.
    function _sorted(uint256[] memory values) private pure returns (uint256[] memory) {
        for (uint256 i = 1; i < values.length; i++) {
            uint256 value = values[i];
            uint256 j = i;
            for (; j > 0 && values[j - 1] > value; j--) values[j] = values[j - 1];
            values[j] = value;
        }
        return values;
    }

    function _setSigners(address[] memory signers_, uint256 threshold_) private {
        // [ORACLE] There are 1 to MAX_SIGNERS signers by ascending address, and the threshold is one they can reach.
        if (signers_.length > MAX_SIGNERS) revert BadSigners("more than MAX_SIGNERS");
        if (threshold_ == 0 || threshold_ > signers_.length) revert BadSigners("threshold");
        for (uint256 i = 0; i < _signers.length; i++) isSigner[_signers[i]] = false;
        address last = address(0);
        for (uint256 i = 0; i < signers_.length; i++) {
            if (signers_[i] <= last) revert BadSigners("not ascending");
            last = signers_[i];
            isSigner[last] = true;
        }
        (_signers, threshold) = (signers_, threshold_);
        emit SignersSet(signers_, threshold_);
    }
}

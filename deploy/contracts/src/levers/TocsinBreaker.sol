// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ExpiringPause} from "./ExpiringPause.sol";
import {Level, Restriction, Restrictions} from "./Level.sol";

/// A reference circuit breaker after ERC-7265: protocols report what comes and goes, and what would leave too fast is refused.
/// The window is counted as the node counts it (protocol/tocsin_protocol/outflow.py). See specs/contracts.md.
contract TocsinBreaker is ExpiringPause {
    using Restrictions for Restriction;
    using SafeCast for int256;
    using SafeCast for uint256;

    uint256 public constant BPS = 10_000;
    /// Ticks in a window. Bounds what one call may have to settle.
    uint32 public constant MAX_TICKS = 48;

    /// One slot. Times in seconds, `minOutflow` in the asset's smallest unit.
    struct Params {
        uint32 windowSeconds;
        uint32 tickSeconds;
        uint32 tripSeconds;
        uint16 maxOutflowBps;
        uint16 restrictedBps;
        uint128 minOutflow;
    }

    /// Net inflow (negative: outflow) of the tick that starts at `start`.
    struct Tick {
        uint64 start;
        int128 net;
    }

    /// `settled` is the balance at the start of the window, `net` the sum of the ticks since; these are [head, tail).
    struct Asset {
        Params params;
        int128 settled;
        int128 net;
        uint64 head;
        uint64 tail;
        Restriction restriction;
        mapping(uint64 position => Tick) ticks;
    }

    mapping(address protocol => bool) public isProtocol;
    mapping(address asset => Asset) private _assets;

    error NotProtocol(address caller);
    error NotListed(address asset);
    error BadParams(string key);
    error AssetHalted(address asset);
    error OverLimit(address asset, uint256 netOutflow, uint256 limit);

    event ProtocolSet(address indexed protocol, bool isProtocol);
    event AssetListed(address indexed asset, Params params, uint256 balance);
    event AssetLevelRaised(address indexed asset, Level level, uint64 haltedUntil, address indexed by);
    event AssetLevelReset(address indexed asset, address indexed by);

    constructor(address owner_, address guardian_) ExpiringPause(owner_, guardian_) {}

    modifier onlyProtocol() {
        // [BREAKER] Only a protocol that the owner named reports flows.
        if (!isProtocol[msg.sender]) revert NotProtocol(msg.sender);
        _;
    }

    function setProtocol(address protocol, bool isProtocol_) external onlyOwner {
        isProtocol[protocol] = isProtocol_;
        emit ProtocolSet(protocol, isProtocol_);
    }

    /// Begins, or begins anew, with what is held now.
    function list(address asset, Params calldata params, uint256 balance) external onlyOwner {
        // [BREAKER] Parameters that cannot be kept are refused.
        if (params.tickSeconds == 0 || params.tickSeconds > params.windowSeconds) revert BadParams("tickSeconds");
        if (params.windowSeconds > uint256(params.tickSeconds) * MAX_TICKS) revert BadParams("windowSeconds");
        if (params.maxOutflowBps == 0 || params.maxOutflowBps > BPS) revert BadParams("maxOutflowBps");
        if (params.restrictedBps > params.maxOutflowBps) revert BadParams("restrictedBps");
        if (params.tripSeconds == 0 || params.tripSeconds > MAX_PAUSE_SECONDS) revert BadParams("tripSeconds");
        Asset storage held = _assets[asset];
        held.params = params;
        held.settled = balance.toInt256().toInt128();
        held.net = 0;
        held.head = held.tail;
        held.restriction.reset();
        emit AssetListed(asset, params, balance);
    }

    function onTokenInflow(address asset, uint256 amount) external onlyProtocol {
        _add(_settle(asset), amount.toInt256().toInt128());
    }

    function onTokenOutflow(address asset, uint256 amount) external onlyProtocol {
        Asset storage held = _settle(asset);
        // [BREAKER] While an asset or the whole is halted nothing leaves; what comes is counted.
        if (levelOf(asset) == Level.HALTED) revert AssetHalted(asset);
        _add(held, -amount.toInt256().toInt128());
        (uint256 netOutflow, uint256 limit) = (_netOutflow(held.net), _limit(held, held.settled, levelOf(asset)));
        // [BREAKER] What would take the window's net outflow above the limit is refused.
        if (netOutflow > limit) revert OverLimit(asset, netOutflow, limit);
    }

    /// Halts one asset for its `tripSeconds`; after that its restricted limit holds.
    function trip(address asset) external onlyGuardian {
        _raise(asset, Level.HALTED);
    }

    /// Puts one asset under its restricted limit.
    function tighten(address asset) external onlyGuardian {
        _raise(asset, Level.RESTRICTED);
    }

    function resetAsset(address asset) external onlyOwner {
        _listed(asset).restriction.reset();
        emit AssetLevelReset(asset, msg.sender);
    }

    /// An asset is as closed as itself or the whole, whichever is more.
    function levelOf(address asset) public view returns (Level) {
        (Level own, Level whole) = (_listed(asset).restriction.level(), level());
        return own > whole ? own : whole;
    }

    /// What a call in this block would find: the window's net outflow, the limit, and the balance it is a share of.
    function reading(address asset) external view returns (uint256 netOutflow, uint256 limit, int256 settled) {
        Asset storage held = _listed(asset);
        (int128 settled_, int128 net,) = _settled(held);
        return (_netOutflow(net), _limit(held, settled_, levelOf(asset)), settled_);
    }

    function paramsOf(address asset) external view returns (Params memory) {
        return _listed(asset).params;
    }

    function assetHaltedUntil(address asset) external view returns (uint64) {
        return _listed(asset).restriction.haltedUntil;
    }

    function _raise(address asset, Level to) private {
        Asset storage held = _listed(asset);
        held.restriction.raiseTo(to, held.params.tripSeconds);
        emit AssetLevelRaised(asset, to, held.restriction.haltedUntil, msg.sender);
    }

    function _limit(Asset storage held, int128 settled, Level found) private view returns (uint256) {
        uint256 base = settled > 0 ? uint256(uint128(settled)) : 0;
        // [BREAKER] Restricted, the limit is the smaller share alone; halted, it is nothing.
        if (found == Level.HALTED) return 0;
        if (found == Level.RESTRICTED) return base * held.params.restrictedBps / BPS;
        // [BREAKER] The limit is a share of the balance at the window's start, or the least amount where that is more.
        uint256 share = base * held.params.maxOutflowBps / BPS;
        return share > held.params.minOutflow ? share : held.params.minOutflow;
    }

    /// What the balance, the net flow and the first tick are once the ticks that are over have joined the balance.
    function _settled(Asset storage held) private view returns (int128 settled, int128 net, uint64 head) {
        (settled, net, head) = (held.settled, held.net, held.head);
        // [BREAKER] Ticks that began a window ago or earlier join the balance that the limit is a share of.
        while (head < held.tail && held.ticks[head].start + held.params.windowSeconds <= block.timestamp) {
            int128 flow = held.ticks[head].net;
            (settled, net, head) = (settled + flow, net - flow, head + 1);
        }
    }

    function _settle(address asset) private returns (Asset storage held) {
        held = _listed(asset);
        (held.settled, held.net, held.head) = _settled(held);
    }

    function _add(Asset storage held, int128 flow) private {
        uint64 start = uint64(block.timestamp - block.timestamp % held.params.tickSeconds);
        uint64 tail = held.tail;
        if (tail == held.head || held.ticks[tail - 1].start != start) {
            held.ticks[tail] = Tick(start, flow);
            held.tail = tail + 1;
        } else {
            held.ticks[tail - 1].net += flow;
        }
        held.net += flow;
    }

    function _listed(address asset) private view returns (Asset storage held) {
        held = _assets[asset];
        // [BREAKER] An asset that is not listed does not move.
        if (held.params.windowSeconds == 0) revert NotListed(asset);
    }

    function _netOutflow(int128 net) private pure returns (uint256) {
        return net < 0 ? uint256(-int256(net)) : 0;
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// What of a Safe (1.4.1 and 1.5.0) a module needs.
interface ISafe {
    function execTransactionFromModuleReturnData(address to, uint256 value, bytes calldata data, uint8 operation)
        external
        returns (bool success, bytes memory returned);
    function isModuleEnabled(address module) external view returns (bool);
}

/// Lets guardian keys make one Safe restrict its protocol, and do nothing else. See specs/contracts.md.
contract TocsinGuardianModule {
    uint64 public constant MAX_GRANT_SECONDS = 366 days;
    uint8 public constant MAX_ARGUMENTS = 16;
    uint8 private constant _CALL = 0;

    /// What the call does to what is read: sets it to `bound`, or moves it towards `bound` and not beyond.
    enum Direction {
        SWITCH,
        LOWER,
        RAISE
    }

    enum Verdict {
        ALLOWED,
        IN_EFFECT,
        NO_GRANT,
        EXPIRED,
        NO_SCOPE,
        WRONG_ARGUMENTS,
        NO_CODE,
        UNREADABLE,
        NOT_TIGHTER,
        NO_BUDGET,
        MODULE_DISABLED
    }

    /// A view of `source` that takes the first `arguments` words of the call; `word` is which word of its answer counts.
    struct Reading {
        address source;
        bytes4 getter;
        uint8 arguments;
        uint8 word;
    }

    /// One argument that must have one value.
    struct Pin {
        uint8 position;
        bytes32 value;
    }

    /// One function with `arguments` words. LOWER and RAISE move the argument at `moved`.
    struct Scope {
        address target;
        bytes4 selector;
        uint8 arguments;
        Direction direction;
        uint8 moved;
        Reading reading;
        uint256 bound;
        Pin[] pins;
    }

    /// One slot. At most `calls` in a window, which begins with the first of them.
    struct Grant {
        uint64 validUntil;
        uint64 windowStart;
        uint32 windowSeconds;
        uint16 calls;
        uint16 used;
    }

    ISafe public immutable safe;
    uint256 public scopeCount;
    mapping(uint256 id => Scope) private _scopes;
    mapping(address guardian => Grant) private _grants;

    error NotSafe(address caller);
    error BadSafe(address safe);
    error BadGrant(string key);
    error BadScope(string key);
    error NoSuchScope(uint256 id);
    error NoSuchGrant(address guardian);
    error Refused(Verdict verdict);
    error NoEffect(uint256 found, uint256 wanted);

    event Granted(address indexed guardian, uint64 validUntil, uint32 windowSeconds, uint16 calls);
    event Revoked(address indexed guardian);
    event ScopeAllowed(uint256 indexed id, Scope scope);
    event ScopeDisallowed(uint256 indexed id);
    event Restricted(address indexed guardian, uint256 indexed id, bytes32[] arguments, uint16 callsLeft);
    event AlreadyInEffect(address indexed guardian, uint256 indexed id, bytes32[] arguments);

    constructor(ISafe safe_) {
        if (address(safe_).code.length == 0) revert BadSafe(address(safe_));
        safe = safe_;
    }

    modifier onlySafe() {
        // [MODULE] Only the Safe grants, revokes, allows and disallows, and it does so at once.
        if (msg.sender != address(safe)) revert NotSafe(msg.sender);
        _;
    }

    /// Lets a guardian use the scopes, with a fresh budget.
    function grant(address guardian, uint64 validUntil, uint32 windowSeconds, uint16 calls) external onlySafe {
        // [MODULE] A grant ends within MAX_GRANT_SECONDS and has a budget.
        if (guardian == address(0)) revert BadGrant("guardian");
        if (validUntil <= block.timestamp || validUntil > block.timestamp + MAX_GRANT_SECONDS) {
            revert BadGrant("validUntil");
        }
        if (windowSeconds == 0) revert BadGrant("windowSeconds");
        if (calls == 0) revert BadGrant("calls");
        _grants[guardian] = Grant(validUntil, 0, windowSeconds, calls, 0);
        emit Granted(guardian, validUntil, windowSeconds, calls);
    }

    function revoke(address guardian) external onlySafe {
        if (_grants[guardian].validUntil == 0) revert NoSuchGrant(guardian);
        delete _grants[guardian];
        emit Revoked(guardian);
    }

    /// Returns the id by which guardians name the scope; ids are not used again.
    function allow(Scope calldata scope) external onlySafe returns (uint256 id) {
        // [MODULE] A scope's target is a contract, and neither the Safe nor this module.
        if (scope.target == address(safe) || scope.target == address(this)) revert BadScope("target");
        if (scope.target.code.length == 0) revert BadScope("target");
        // [MODULE] A scope says how its effect is read, and every position it names is there.
        if (scope.reading.source.code.length == 0) revert BadScope("reading.source");
        if (scope.reading.arguments > scope.arguments) revert BadScope("reading.arguments");
        if (scope.arguments > MAX_ARGUMENTS) revert BadScope("arguments");
        if (scope.direction != Direction.SWITCH && scope.moved >= scope.arguments) revert BadScope("moved");
        for (uint256 i = 0; i < scope.pins.length; i++) {
            if (scope.pins[i].position >= scope.arguments) revert BadScope("pins.position");
            if (i > 0 && scope.pins[i].position <= scope.pins[i - 1].position) revert BadScope("pins.position");
        }
        id = ++scopeCount;
        _scopes[id] = scope;
        emit ScopeAllowed(id, scope);
    }

    function disallow(uint256 id) external onlySafe {
        if (_scopes[id].target == address(0)) revert NoSuchScope(id);
        delete _scopes[id];
        emit ScopeDisallowed(id);
    }

    /// Makes the Safe call a scope's function with these argument words; false when that is in effect already.
    /// Reverts with Refused, with NoEffect, or with the reason of the target or the Safe.
    function execute(uint256 id, bytes32[] calldata arguments) external returns (bool isDone) {
        Verdict verdict = _judge(msg.sender, id, arguments);
        // [MODULE] What is in effect already is not called again and costs nothing of the budget.
        if (verdict == Verdict.IN_EFFECT) {
            emit AlreadyInEffect(msg.sender, id, arguments);
            return false;
        }
        if (verdict != Verdict.ALLOWED) revert Refused(verdict);
        uint16 callsLeft = _charge(_grants[msg.sender]);
        Scope storage scope = _scopes[id];
        // [MODULE] The Safe calls with no value and never delegates.
        (bool success, bytes memory returned) = safe.execTransactionFromModuleReturnData(
            scope.target, 0, abi.encodePacked(scope.selector, arguments), _CALL
        );
        if (!success) _revertWith(returned);
        // [MODULE] A call that does not bring about its effect is undone, and costs nothing of the budget.
        (bool isRead, uint256 found) = _read(scope.reading, arguments);
        uint256 wanted = scope.direction == Direction.SWITCH ? scope.bound : uint256(arguments[scope.moved]);
        if (!isRead || found != wanted) revert NoEffect(found, wanted);
        emit Restricted(msg.sender, id, arguments, callsLeft);
        return true;
    }

    /// What `execute` would say to this guardian now, the calls left until `windowEnds` (0: no window has begun), and
    /// the end of his grant (0: he has none). Times in seconds.
    function probe(address guardian, uint256 id, bytes32[] calldata arguments)
        external
        view
        returns (Verdict verdict, uint16 callsLeft, uint64 windowEnds, uint64 validUntil)
    {
        Grant storage given = _grants[guardian];
        verdict = safe.isModuleEnabled(address(this)) ? _judge(guardian, id, arguments) : Verdict.MODULE_DISABLED;
        windowEnds = _isWindowOpen(given) ? given.windowStart + given.windowSeconds : 0;
        return (verdict, _callsLeft(given), windowEnds, given.validUntil);
    }

    function scopeOf(uint256 id) external view returns (Scope memory) {
        if (_scopes[id].target == address(0)) revert NoSuchScope(id);
        return _scopes[id];
    }

    function _judge(address guardian, uint256 id, bytes32[] calldata arguments) private view returns (Verdict) {
        Grant storage given = _grants[guardian];
        // [MODULE] Only a guardian whose grant has not ended acts.
        if (given.validUntil == 0) return Verdict.NO_GRANT;
        if (block.timestamp >= given.validUntil) return Verdict.EXPIRED;
        Scope storage scope = _scopes[id];
        // [MODULE] Only a function of a target that the Safe allowed is called.
        if (scope.target == address(0)) return Verdict.NO_SCOPE;
        // [MODULE] Arguments are whole words, as many as the scope says, and each pinned one has its value.
        if (!_fits(scope, arguments)) return Verdict.WRONG_ARGUMENTS;
        // [MODULE] Where no code is, nothing is called.
        if (scope.target.code.length == 0) return Verdict.NO_CODE;
        // [MODULE] What cannot be read is not acted on.
        (bool isRead, uint256 current) = _read(scope.reading, arguments);
        if (!isRead) return Verdict.UNREADABLE;
        if (scope.direction == Direction.SWITCH) {
            if (current == scope.bound) return Verdict.IN_EFFECT;
        } else {
            uint256 next = uint256(arguments[scope.moved]);
            if (next == current) return Verdict.IN_EFFECT;
            // [MODULE] What may be lowered only falls, down to the bound; what may be raised only rises, up to it.
            bool isLower = scope.direction == Direction.LOWER;
            if (isLower && (next > current || next < scope.bound)) return Verdict.NOT_TIGHTER;
            if (!isLower && (next < current || next > scope.bound)) return Verdict.NOT_TIGHTER;
        }
        // [MODULE] A guardian makes at most his calls in a window, and nobody else's calls count.
        return _callsLeft(given) == 0 ? Verdict.NO_BUDGET : Verdict.ALLOWED;
    }

    function _fits(Scope storage scope, bytes32[] calldata arguments) private view returns (bool) {
        if (arguments.length != scope.arguments) return false;
        for (uint256 i = 0; i < scope.pins.length; i++) {
            if (arguments[scope.pins[i].position] != scope.pins[i].value) return false;
        }
        return true;
    }

    function _read(Reading storage reading, bytes32[] calldata arguments) private view returns (bool, uint256) {
        (bool success, bytes memory returned) =
            reading.source.staticcall(abi.encodePacked(reading.getter, arguments[:reading.arguments]));
        uint256 start = uint256(reading.word) * 32;
        if (!success || returned.length < start + 32) return (false, 0);
        uint256 value;
        assembly ("memory-safe") {
            value := mload(add(add(returned, 32), start))
        }
        return (true, value);
    }

    function _charge(Grant storage given) private returns (uint16 callsLeft) {
        if (!_isWindowOpen(given)) (given.windowStart, given.used) = (uint64(block.timestamp), 0);
        given.used += 1;
        return given.calls - given.used;
    }

    function _callsLeft(Grant storage given) private view returns (uint16) {
        return _isWindowOpen(given) ? given.calls - given.used : given.calls;
    }

    function _isWindowOpen(Grant storage given) private view returns (bool) {
        return given.windowStart != 0 && block.timestamp < given.windowStart + given.windowSeconds;
    }

    function _revertWith(bytes memory reason) private pure {
        assembly ("memory-safe") {
            revert(add(reason, 32), mload(reason))
        }
    }
}

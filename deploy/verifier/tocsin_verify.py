#!/usr/bin/env python3
"""Checks a case file, or a proof of one entry (C2SP tlog-proof), of a Tocsin node without Tocsin.

It needs Python 3.11 or newer, and the package `cryptography`.

    python3 tocsin_verify.py FILE --key LOG-KEY
    python3 tocsin_verify.py FILE --policy POLICY-FILE

A case file holds entries of a node's log, the way from each to the root of the log's Merkle tree, a head signed by the
log over that root, and the signals that the entries are about. What is checked, in this order:

  1. the head is signed by the log's key, and cosigned by as many witnesses as the policy wants;
  2. each entry is in the tree of that head, in its place;
  3. each signal is signed by its publisher's Ethereum key;
  4. each signal is one that an entry of the log speaks of.

A proof file has one entry and no signals: of it 1 and 2 are checked. If all holds, the entries are printed in their
order, and the exit code is 0. At the first fault it is printed, and the exit code is 1. Whose keys the log's and the
witnesses' are is for you to know: have them from those who hold them.
The formats are in specs/audit-log.md, specs/encoding.md and specs/signal.md of the project.
"""

import argparse
import base64
import binascii
import hashlib
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_NOTE_BYTES = 65_536
MAX_SIGNATURES = 100
MAX_POLICY_BYTES, MAX_POLICY_LINES = 65_536, 1024
MAX_ENTRIES = 4096
MAX_ENTRY_BYTES = 65_535
MAX_PROOF_BYTES, MAX_PROOF_HASHES = 262_144, 63
PROOF_HEADING = b"c2sp.org/tlog-proof@v1"
# Of a list or a map of anything but the case file itself.
MAX_ITEMS = 256
KINDS = {"signal", "verdict", "incident", "evidence", "basis", "decision", "adjudication", "report"}
KINDS |= {"action", "outcome", "alarm", "roster", "equivocation", "operator", "node", "anchor"}
MAX_INTEGER = 2**53 - 1
LAST_DATE_MS = 253_402_300_799_000  # the end of the year 9999


class Fault(Exception):
    """Something that does not hold; the message says what."""


def check(holds, message):
    if not holds:
        raise Fault(message)


# --- Merkle tree (RFC 6962, RFC 9162 section 2.1.3.2) ----------------------------------------------------------------


def sha256(data):
    return hashlib.sha256(data).digest()


def check_inclusion(index, size, entry, path, root):
    check(0 <= index < size, f"entry {index} is not in a tree of {size}")
    place, last, found = index, size - 1, sha256(b"\x00" + entry)
    for sibling in path:
        check(last > 0, f"entry {index}: the path is too long")
        if place & 1 or place == last:
            found = sha256(b"\x01" + sibling + found)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found = sha256(b"\x01" + found + sibling)
        place, last = place >> 1, last >> 1
    check(last == 0, f"entry {index}: the path is too short")
    check(found == root, f"entry {index} is not under the signed root")


# --- Signed notes and cosignatures (C2SP signed-note, tlog-checkpoint, tlog-cosignature) -----------------------------


def read_base64(text, what):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Fault(f"{what} is not base64") from None
    check(base64.b64encode(data).decode() == text, f"{what} is not in the one spelling of base64")
    return data


def check_name(name):
    check(re.fullmatch(r"[!-*,-~]{1,256}", name), f"{name[:80]!r} is no name of a key")
    return name


def read_key(text):
    """(name, id, algorithm, 32 bytes) of `<name>+<id>+<base64>`; algorithm 1 signs, 4 cosigns."""
    parts = text.split("+", 2)
    check(len(parts) == 3, "a key has the parts name, id and base64")
    name, material = check_name(parts[0]), read_base64(parts[2], "a key")
    check(len(material) == 33 and material[0] in (1, 4), f"the key of {name} is no Ed25519 key")
    key_id = sha256(name.encode() + b"\n" + material)[:4]
    check(parts[1] == key_id.hex(), f"the key of {name} has the id of another")
    return name, key_id, material[0], material[1:]


def open_note(data, keys):
    """The text of a note and those of the keys that signed it; a false signature of a known key is a fault."""
    check(len(data) <= MAX_NOTE_BYTES, "the head is too long")
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise Fault("the head is not UTF-8") from None
    check(not any(c < " " and c != "\n" for c in whole), "the head has control characters")
    text, gap, tail = whole.rpartition("\n\n")
    check(gap and tail.endswith("\n"), "the head has no signatures")
    lines, signers = tail[:-1].split("\n"), {}
    check(len(lines) <= MAX_SIGNATURES, "the head has too many signatures")
    for line in lines:
        check(line.startswith("\u2014 "), "a signature line of the head begins otherwise than it should")
        name, _, encoded = line[2:].partition(" ")
        signature = read_base64(encoded, "a signature")
        check(len(signature) > 4, "a signature is too short")
        for key in keys:
            if key[:2] == (check_name(name), signature[:4]):
                check_note_signature(key, text + "\n", signature[4:])
                signers[key] = signature[4:]
    return text + "\n", signers


def check_note_signature(key, text, signature):
    name, _, algorithm, public = key
    message = text.encode()
    if algorithm == 4:
        check(len(signature) == 72, f"the cosignature of {name} has another length than it should")
        seconds, signature = int.from_bytes(signature[:8], "big"), signature[8:]
        check(seconds <= MAX_INTEGER, f"the cosignature of {name} has an impossible time")
        message = f"cosignature/v1\ntime {seconds}\n".encode() + message
    check(len(signature) == 64, f"the signature of {name} has another length than it should")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Fault(f"the signature of {name} does not verify") from None


def read_size(text):
    check(re.fullmatch(r"0|[1-9][0-9]{0,15}", text) and int(text) <= MAX_INTEGER, "a size or an index is no number")
    return int(text)


def judge_head(data, policy):
    """(origin, size, root, names of cosigners) of a head that the policy takes."""
    logs, witnesses, groups, quorum = policy
    text, signers = open_note(data, [*logs, *witnesses.values()])
    lines = text.split("\n")
    check(len(lines) == 4 and lines[3] == "", "the head has more or less than three lines")
    origin, size, root = check_name(lines[0]), read_size(lines[1]), read_base64(lines[2], "the root")
    check(len(root) == 32, "the root is not 32 bytes")
    check(size > 0 or root == sha256(b""), "the root of an empty log is another")
    check(origin in {key[0] for key in signers if key[2] == 1}, f"the head of {origin} is not signed by its log")
    met = {name for name, key in witnesses.items() if key in signers}
    cosigners = sorted(met)
    for name, (least, members) in groups.items():
        if len(met.intersection(members)) >= least:
            met.add(name)
    check(
        quorum == "none" or quorum in met, f"the head is cosigned by {cosigners or 'nobody'}: not the quorum {quorum}"
    )
    return origin, size, root, cosigners


# --- Policies (C2SP tlog-policy) -------------------------------------------------------------------------------------


def utf8(text):
    try:
        return text.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise Fault("policy: a key that is not UTF-8") from None


def read_policy(data):
    """(keys of logs, witnesses by name, groups by name, quorum)."""
    logs, witnesses, groups, quorums, members_of_groups = [], {}, {}, [], set()
    check(not re.search(rb"[^\x09\x0a\x20-\x7e\x80-\xff]", data), "the policy has control characters")
    lines = data.decode("latin-1").split("\n")
    check(len(data) <= MAX_POLICY_BYTES and len(lines) <= MAX_POLICY_LINES, "the policy is too long")
    for line in lines:
        words = re.split(r"[ \t]+", line.strip(" \t"))
        if words[0] == "" or words[0].startswith("#"):
            continue
        known = {"none", *witnesses, *groups}
        match words:
            case ["log", text] | ["log", text, _]:
                key = read_key(utf8(text))
                check(key[2] == 1 and key[3] not in [log[3] for log in logs], f"policy: {line!r}")
                logs.append(key)
            case ["witness", name, text] | ["witness", name, text, _]:
                key = read_key(utf8(text))
                taken = [witness[3] for witness in witnesses.values()]
                check(key[2] == 4 and name not in known and key[3] not in taken, f"policy: {line!r}")
                witnesses[name] = key
            case ["group", name, least, *members] if members:
                check(name not in known and known.issuperset(members) and "none" not in members, f"policy: {line!r}")
                check(len(set(members)) == len(members), f"policy: {line!r}")
                check(members_of_groups.isdisjoint(members), f"policy: {line!r}")
                members_of_groups.update(members)
                count = {"any": 1, "all": len(members)}.get(least)
                if count is None:
                    check(re.fullmatch(r"[1-9][0-9]{0,3}", least), f"policy: {line!r}")
                    count = int(least)
                check(count <= len(members), f"policy: {line!r}")
                groups[name] = (count, members)
            case ["quorum", name]:
                check(name in known, f"policy: {line!r}")
                quorums.append(name)
            case _:
                raise Fault(f"policy: {line!r}")
    check(logs and len(quorums) == 1, "the policy has no log, or not exactly one quorum")
    return logs, witnesses, groups, quorums[0]


# --- Canonical msgpack (specs/encoding.md): one value, one spelling --------------------------------------------------


def decode(data, most=MAX_ITEMS):
    """The value; no list and no map in it has more than so many items."""
    value, end = decode_at(data, 0, 0, most)
    check(end == len(data), "bytes after the value")
    return value


def take(data, at, count):
    check(at + count <= len(data), "bytes end before their value does")
    return data[at : at + count], at + count


def decode_at(data, at, depth, most):
    head, at = take(data, at, 1)
    code = head[0]
    if code <= 0x7F:
        return code, at
    if code in (0xC2, 0xC3):
        return code == 0xC3, at
    if 0xCC <= code <= 0xCF:
        return decode_sized(data, at, 1 << (code - 0xCC), 0x7F)
    if 0xA0 <= code <= 0xBF or 0xD9 <= code <= 0xDB:
        length, at = (code & 0x1F, at) if code <= 0xBF else decode_sized(data, at, 1 << (code - 0xD9), 31)
        raw, at = take(data, at, length)
        try:
            return raw.decode(), at
        except UnicodeDecodeError:
            raise Fault("text that is not UTF-8") from None
    if 0xC4 <= code <= 0xC6:
        length, at = decode_sized(data, at, 1 << (code - 0xC4), -1)
        return take(data, at, length)
    check(depth < 8, "nested too deeply")
    if 0x90 <= code <= 0x9F or code in (0xDC, 0xDD):
        length, at = (code & 0x0F, at) if code <= 0x9F else decode_sized(data, at, 2 << (code - 0xDC), 15)
        check(length <= most, f"a list of more than {most} items")
        items = []
        for _ in range(length):
            item, at = decode_at(data, at, depth + 1, most)
            items.append(item)
        return items, at
    check(0x80 <= code <= 0x8F or code in (0xDE, 0xDF), f"the type 0x{code:02x} is not allowed")
    length, at = (code & 0x0F, at) if code <= 0x8F else decode_sized(data, at, 2 << (code - 0xDE), 15)
    check(length <= most, f"a map of more than {most} items")
    pairs, previous = {}, None
    for _ in range(length):
        key, at = decode_at(data, at, depth + 1, most)
        check(type(key) is str and (previous is None or key > previous), "keys are not texts in rising order")
        pairs[key], at = decode_at(data, at, depth + 1, most)
        previous = key
    return pairs, at


def decode_sized(data, at, size, below):
    """An integer of so many bytes that a shorter form could not have held."""
    raw, at = take(data, at, size)
    value = int.from_bytes(raw, "big")
    shorter = below if size == 1 or (size == 2 and below == 15) else (1 << (4 * size)) - 1
    check(shorter < value <= MAX_INTEGER, "a number that is not in its shortest form, or out of range")
    return value, at


def list_of(value, count, what):
    check(type(value) is list and (count is None or len(value) == count), f"{what} is not the list it should be")
    return value


def typed(value, kind, what):
    check(type(value) is kind, f"{what} is not the value it should be")
    return value


# --- Ethereum: Keccak-256, EIP-712, recovery of a signer (SEC 1, section 4.1.6) --------------------------------------

LANES = [(x, y) for x in range(5) for y in range(5)]
WORD = (1 << 64) - 1


def rotate(value, count):
    return ((value << count) | (value >> (64 - count))) & WORD if count else value


def round_constants():
    register = 1
    for _ in range(24):
        constant = 0
        for bit in range(7):
            constant |= (register & 1) << ((1 << bit) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        yield constant


def offsets():
    x, y, table = 1, 0, {(0, 0): 0}
    for step in range(24):
        table[x, y] = (step + 1) * (step + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return table


ROUND_CONSTANTS, OFFSETS = list(round_constants()), offsets()


def permute(state):
    for constant in ROUND_CONSTANTS:
        columns = [state[x, 0] ^ state[x, 1] ^ state[x, 2] ^ state[x, 3] ^ state[x, 4] for x in range(5)]
        mixed = [columns[(x - 1) % 5] ^ rotate(columns[(x + 1) % 5], 1) for x in range(5)]
        moved = {(y, (2 * x + 3 * y) % 5): rotate(state[x, y] ^ mixed[x], OFFSETS[x, y]) for x, y in LANES}
        state = {(x, y): moved[x, y] ^ (~moved[(x + 1) % 5, y] & moved[(x + 2) % 5, y]) for x, y in LANES}
        state[0, 0] ^= constant
    return state


def keccak256(data):
    rate, state = 136, dict.fromkeys(LANES, 0)
    padded = bytearray(data + b"\x01" + bytes(-(len(data) + 1) % rate))
    padded[-1] |= 0x80
    for begin in range(0, len(padded), rate):
        for n in range(rate // 8):
            state[n % 5, n // 5] ^= int.from_bytes(padded[begin + 8 * n : begin + 8 * n + 8], "little")
        state = permute(state)
    return b"".join(state[n % 5, n // 5].to_bytes(8, "little") for n in range(4))


FIELD = 2**256 - 2**32 - 977
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
GENERATOR = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def add(one, other):
    """Points of secp256k1; None is the point at infinity."""
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % FIELD == 0:
        return None
    slope = 3 * x1 * x1 * pow(2 * y1, -1, FIELD) if one == other else (y2 - y1) * pow(x2 - x1, -1, FIELD)
    x = (slope * slope - x1 - x2) % FIELD
    return x, (slope * (x1 - x) - y1) % FIELD


def multiply(point, factor):
    product = None
    while factor:
        if factor & 1:
            product = add(product, point)
        point, factor = add(point, point), factor >> 1
    return product


def recover_address(digest, signature):
    """The address whose key made a compact signature (EIP-2098: r, then s with the parity in its highest bit)."""
    r, packed = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    parity, s = packed >> 255, packed & ((1 << 255) - 1)
    check(0 < r < ORDER and 0 < s <= ORDER // 2, "a signature out of range, or with a high s")
    square = (pow(r, 3, FIELD) + 7) % FIELD
    y = pow(square, (FIELD + 1) // 4, FIELD)
    check(y * y % FIELD == square, "a signature of no point")
    y = y if y % 2 == parity else FIELD - y
    inverse = pow(r, -1, ORDER)
    key = add(
        multiply((r, y), s * inverse % ORDER),
        multiply(GENERATOR, -int.from_bytes(digest, "big") * inverse % ORDER),
    )
    check(key is not None, "a signature of no key")
    return keccak256(key[0].to_bytes(32, "big") + key[1].to_bytes(32, "big"))[12:]


DOMAIN_TYPE = b"EIP712Domain(string name,string version,bytes32 salt)"
SIGNAL_TYPE = b"Signal(address publisher,uint8 lane,uint64 sequence,bytes32 previous,bytes32 body)"


def signal_digest(network, publisher, lane, sequence, previous, body):
    domain = keccak256(keccak256(DOMAIN_TYPE) + keccak256(b"Tocsin") + keccak256(b"1") + network)
    numbers = lane.to_bytes(32, "big") + sequence.to_bytes(32, "big")
    struct = keccak256(SIGNAL_TYPE) + publisher.rjust(32, b"\0") + numbers + previous + keccak256(body)
    return keccak256(b"\x19\x01" + domain + keccak256(struct))


# --- The case file ---------------------------------------------------------------------------------------------------


def open_signal(network, data):
    """(digest, publisher, body) of a signal that its publisher signed."""
    version, publisher, lane, sequence, previous, body, signature = list_of(decode(data), 7, "a signal")
    for value, length in ((publisher, 20), (previous, 32), (signature, 64)):
        check(len(typed(value, bytes, "a field of a signal")) == length, "a field of a signal has another length")
    check(type(version) is int and version == 1, "a signal of another version")
    check(type(lane) is int and lane in (0, 1) and type(sequence) is int and sequence > 0, "a signal out of place")
    check((sequence == 1) == (previous == bytes(32)), "a signal whose predecessor cannot be")
    check(1 <= len(typed(body, bytes, "the body of a signal")) <= 16 * 1024, "a signal of another length")
    digest = signal_digest(network, publisher, lane, sequence, previous, body)
    signer = recover_address(digest, signature)
    check(signer == publisher, f"the signal {digest.hex()} is signed by 0x{signer.hex()}, not by its publisher")
    return digest, publisher, body


def open_entry(entry):
    check(len(entry) <= MAX_ENTRY_BYTES, "an entry is too long")
    at_ms, kind, reference, detail = list_of(decode(entry), 4, "an entry")
    typed(detail, dict, "the detail of an entry")
    check(len(typed(reference, bytes, "what an entry is about")) <= 32, "what an entry is about is too long")
    check(typed(kind, str, "the kind of an entry") in KINDS, f"an entry of the unknown kind {kind[:20]!r}")
    return typed(at_ms, int, "the time of an entry"), kind, reference, detail


def verify(data, policy):
    """What a case file shows, as lines of text; raises Fault."""
    checkpoint, items, envelopes = list_of(decode(data, MAX_ENTRIES), 3, "the case file")
    origin, size, root, cosigners = judge_head(typed(checkpoint, bytes, "the head"), policy)
    named = re.fullmatch(r"tocsin/([0-9a-f]{64})/0x([0-9a-f]{40})(?:/(?:[2-9]|[1-9][0-9]{1,2}))?", origin)
    check(named, f"{origin} is not the log of a node")
    lines = [
        f"log of 0x{named[2]} in the network {named[1]}",
        f"head of {size} entries, cosigned by {cosigners or 'nobody'}",
    ]
    entries, previous = [], -1
    for item in list_of(items, None, "the entries"):
        index, entry, path = list_of(item, 3, "an entry")
        check(typed(index, int, "an index") > previous, "the entries are not in their order, or one stands twice")
        for sibling in list_of(path, None, "a path"):
            check(len(typed(sibling, bytes, "a hash")) == 32, "a hash that is not 32 bytes")
        check_inclusion(index, size, typed(entry, bytes, "an entry"), path, root)
        entries.append((index, *open_entry(entry)))
        previous = index
    check(entries, "the case file has no entries")
    signals = [
        open_signal(bytes.fromhex(named[1]), typed(e, bytes, "a signal")) for e in list_of(envelopes, None, "signals")
    ]
    logged = {reference for _, _, kind, reference, _ in entries if kind == "signal"}
    for digest, _, _ in signals:
        check(digest in logged, f"the signal {digest.hex()} is in no entry of the case")
    for index, at_ms, kind, reference, detail in entries:
        lines.append(f"{index:>8} {time_of(at_ms)} {kind:<12} {reference.hex()[:16]:<16} {shown(detail)}")
        for digest, publisher, body in signals:
            if kind == "signal" and digest == reference:
                lines.append(f"{'':>8} said by 0x{publisher.hex()}: {shown_body(body)}")
    return lines


def open_proof(data, policy):
    """(origin, size, cosigners, index, entry) of a proof file that holds."""
    check(len(data) <= MAX_PROOF_BYTES, "the proof is too long")
    head, gap, checkpoint = data.partition(b"\n\n")
    lines = head.decode("latin-1").split("\n")
    check(gap and lines[0] == PROOF_HEADING.decode(), "the proof begins otherwise than it should")
    check(3 <= len(lines) <= 3 + MAX_PROOF_HASHES, "the proof has too few or too many lines")
    check(lines[1].startswith("extra ") and lines[2].startswith("index "), "the proof lacks its entry or its index")
    entry, index = read_base64(lines[1][6:], "the entry"), read_size(lines[2][6:])
    check(len(entry) <= MAX_ENTRY_BYTES, "the entry is too long")
    path = [read_base64(line, "a hash") for line in lines[3:]]
    check(all(len(sibling) == 32 for sibling in path), "a hash that is not 32 bytes")
    origin, size, root, cosigners = judge_head(checkpoint, policy)
    check_inclusion(index, size, entry, path, root)
    return origin, size, cosigners, index, entry


def verify_proof(data, policy):
    """What a proof file shows, as lines of text; raises Fault."""
    origin, size, cosigners, index, entry = open_proof(data, policy)
    at_ms, kind, reference, detail = open_entry(entry)
    return [
        f"log {origin}",
        f"head of {size} entries, cosigned by {cosigners or 'nobody'}",
        f"{index:>8} {time_of(at_ms)} {kind:<12} {reference.hex()[:16]:<16} {shown(detail)}",
    ]


def time_of(at_ms):
    if at_ms > LAST_DATE_MS:
        return f"{at_ms} ms"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def shown_body(body):
    """What a publisher has signed stands against him where nobody can read it, too."""
    try:
        return shown(decode(body))
    except Fault:
        return f"what cannot be read: {shown(body)}"


def shown(value):
    """JSON on one line; bytes in hex, and nothing that could steer a terminal."""
    text = json.dumps(value, ensure_ascii=True, default=lambda data: data.hex())
    return text if len(text) <= 2000 else text[:2000] + " …"


def main():
    parser = argparse.ArgumentParser(description="Checks a case file or a proof file of a Tocsin node.")
    parser.add_argument("case", type=Path)
    whom = parser.add_mutually_exclusive_group(required=True)
    whom.add_argument("--key", help="the log's key: its own word is then enough")
    whom.add_argument("--policy", type=Path, help="whose word counts, and with how many witnesses")
    asked = parser.parse_args()
    try:
        policy = ([read_key(asked.key)], {}, {}, "none") if asked.key else read_policy(read_file(asked.policy))
        data = read_file(asked.case)
        lines = (verify_proof if data.startswith(PROOF_HEADING) else verify)(data, policy)
    except (Fault, OSError) as exc:
        print(f"NOT PROVEN: {exc}")
        sys.exit(1)
    print("\n".join(["PROVEN", *lines]))


def read_file(path):
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    check(len(data) <= MAX_FILE_BYTES, f"{path} is longer than {MAX_FILE_BYTES} bytes")
    return data


if __name__ == "__main__":
    main()

// Canonical msgpack (specs/encoding.md): one value, one spelling. Maps are plain objects or Maps with text keys.

export const MAX_DEPTH = 8
// Messages with longer lists say so.
export const MAX_ITEMS = 256

export class DecodeError extends Error {}
// More bytes than a message of its kind may have.
export class OversizedError extends DecodeError {}
// Bytes that end before their value does.
export class TruncatedError extends DecodeError {}
// An allowed value in another spelling than its canonical one.
export class SpellingError extends DecodeError {}

const utf8 = new TextEncoder()
const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function encode (value) {
  const parts = []
  write(parts, value, 0)
  return Buffer.concat(parts)
}

function write (parts, value, depth) {
  if (typeof value === 'number') {
    parts.push(encodeUint(value))
  } else if (typeof value === 'boolean') {
    parts.push(Buffer.of(value ? 0xc3 : 0xc2))
  } else if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new DecodeError('text with a lone surrogate')
    const bytes = utf8.encode(value)
    parts.push(lengthHead(bytes.length, 0xa0, 32, [0xd9, 0xda, 0xdb]), bytes)
  } else if (value instanceof Uint8Array) {
    parts.push(lengthHead(value.length, null, 0, [0xc4, 0xc5, 0xc6]), value)
  } else if (Array.isArray(value)) {
    checkDepth(depth)
    parts.push(lengthHead(value.length, 0x90, 16, [null, 0xdc, 0xdd]))
    for (const item of value) write(parts, item, depth + 1)
  } else if (value !== null && typeof value === 'object') {
    checkDepth(depth)
    const entries = [...(value instanceof Map ? value : Object.entries(value))]
    entries.sort(([a], [b]) => compareText(a, b))
    parts.push(lengthHead(entries.length, 0x80, 16, [null, 0xde, 0xdf]))
    for (const [key, item] of entries) {
      if (typeof key !== 'string') throw new DecodeError('map key is not text')
      write(parts, key, depth + 1)
      write(parts, item, depth + 1)
    }
  } else {
    throw new DecodeError(`type ${typeof value} is not allowed`)
  }
}

function encodeUint (value) {
  if (!Number.isSafeInteger(value) || value < 0 || Object.is(value, -0)) {
    throw new DecodeError(`integer ${value} outside 0…2^53-1`)
  }
  if (value < 0x80) return Buffer.of(value)
  if (value < 0x100) return Buffer.of(0xcc, value)
  if (value < 0x10000) return Buffer.of(0xcd, value >> 8, value & 0xff)
  const head = Buffer.alloc(value < 2 ** 32 ? 5 : 9)
  if (head.length === 5) {
    head[0] = 0xce
    head.writeUInt32BE(value, 1)
  } else {
    head[0] = 0xcf
    head.writeBigUInt64BE(BigInt(value), 1)
  }
  return head
}

// `fixed` is the one-byte form for lengths below `fixedBelow`; `codes` are those for 1, 2 and 4 bytes of length.
function lengthHead (length, fixed, fixedBelow, codes) {
  if (length < fixedBelow) return Buffer.of(fixed | length)
  if (codes[0] !== null && length < 0x100) return Buffer.of(codes[0], length)
  if (length < 0x10000) return Buffer.of(codes[1], length >> 8, length & 0xff)
  const head = Buffer.alloc(5)
  head[0] = codes[2]
  head.writeUInt32BE(length, 1)
  return head
}

function checkDepth (depth) {
  if (depth >= MAX_DEPTH) throw new DecodeError(`nested deeper than ${MAX_DEPTH}`)
}

// Order of code points, which is the order of the UTF-8 bytes; JavaScript's own is that of UTF-16 units.
export function compareText (a, b) {
  return Buffer.compare(utf8.encode(a), utf8.encode(b))
}

export function decode (data, maxBytes, maxItems = MAX_ITEMS) {
  if (data.length > maxBytes) throw new OversizedError(`${data.length} bytes where at most ${maxBytes} are allowed`)
  const reader = { data: Buffer.from(data.buffer, data.byteOffset, data.length), at: 0, maxItems }
  const value = read(reader, 0)
  if (reader.at !== data.length) throw new SpellingError('bytes after the value')
  return value
}

function read (reader, depth) {
  const code = take(reader, 1)[0]
  if (code < 0x80) return code
  if (code < 0x90) return readMap(reader, code & 0x0f, depth)
  if (code < 0xa0) return readArray(reader, code & 0x0f, depth)
  if (code < 0xc0) return readText(reader, code & 0x1f)
  switch (code) {
    case 0xc2: return false
    case 0xc3: return true
    case 0xc4: return take(reader, readLength(reader, 1, 0))
    case 0xc5: return take(reader, readLength(reader, 2, 0x100))
    case 0xc6: return take(reader, readLength(reader, 4, 0x10000))
    case 0xcc: return readLength(reader, 1, 0x80)
    case 0xcd: return readLength(reader, 2, 0x100)
    case 0xce: return readLength(reader, 4, 0x10000)
    case 0xcf: return readUint64(reader)
    case 0xd0: return readSigned(reader, 1)
    case 0xd1: return readSigned(reader, 2)
    case 0xd2: return readSigned(reader, 4)
    case 0xd3: return readSigned(reader, 8)
    case 0xd9: return readText(reader, readLength(reader, 1, 32))
    case 0xda: return readText(reader, readLength(reader, 2, 0x100))
    case 0xdb: return readText(reader, readLength(reader, 4, 0x10000))
    case 0xdc: return readArray(reader, readLength(reader, 2, 16), depth)
    case 0xdd: return readArray(reader, readLength(reader, 4, 0x10000), depth)
    case 0xde: return readMap(reader, readLength(reader, 2, 16), depth)
    case 0xdf: return readMap(reader, readLength(reader, 4, 0x10000), depth)
  }
  throw new DecodeError(`msgpack code 0x${code.toString(16)} is not allowed`)
}

function take (reader, length) {
  if (reader.data.length - reader.at < length) throw new TruncatedError('value is cut short')
  reader.at += length
  return reader.data.subarray(reader.at - length, reader.at)
}

// A length or integer of `bytes` bytes that would not have fitted a shorter form.
function readLength (reader, bytes, least) {
  const value = take(reader, bytes).readUIntBE(0, bytes)
  if (value < least) throw new SpellingError('not in the shortest form')
  return value
}

function readUint64 (reader) {
  const value = take(reader, 8).readBigUInt64BE()
  if (value < 2n ** 32n) throw new SpellingError('not in the shortest form')
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new DecodeError('integer beyond 2^53-1')
  return Number(value)
}

// Signed forms are either negative, which is not allowed, or a second spelling.
function readSigned (reader, bytes) {
  if (take(reader, bytes)[0] >= 0x80) throw new DecodeError('negative integer')
  throw new SpellingError('not in the shortest form')
}

function readText (reader, length) {
  try {
    return text.decode(take(reader, length))
  } catch (error) {
    throw error instanceof DecodeError ? error : new DecodeError('text is not UTF-8')
  }
}

function readArray (reader, length, depth) {
  checkDepth(depth)
  checkItems(reader, length)
  const items = []
  for (let i = 0; i < length; i++) items.push(read(reader, depth + 1))
  return items
}

function checkItems (reader, length) {
  if (length > reader.maxItems) throw new DecodeError(`${length} items where at most ${reader.maxItems} are allowed`)
}

function readMap (reader, length, depth) {
  checkDepth(depth)
  checkItems(reader, length)
  const map = new Map()
  let previous = null
  for (let i = 0; i < length; i++) {
    const key = read(reader, depth + 1)
    if (typeof key !== 'string') throw new DecodeError('map key is not text')
    if (previous !== null && compareText(previous, key) >= 0) {
      throw new SpellingError('map keys are not in rising order')
    }
    previous = key
    map.set(key, read(reader, depth + 1))
  }
  return map
}

// Compiles src/*.sol with the pinned npm compiler and writes, or with --check compares, the artifacts that the wheel carries.
import { readFileSync, readdirSync, writeFileSync, existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import solc from 'solc'

const here = dirname(fileURLToPath(import.meta.url))
const out = join(here, '..', '..', 'node', 'tocsin_node', 'demo', 'contracts')
const wanted = ['Attacker', 'Dex', 'Lender', 'Token', 'Vault']

const sources = {}
for (const name of readdirSync(join(here, 'src')).sort()) {
  if (name.endsWith('.sol')) sources[`src/${name}`] = { content: readFileSync(join(here, 'src', name), 'utf8') }
}

const input = {
  language: 'Solidity',
  sources,
  settings: {
    optimizer: { enabled: true, runs: 200 },
    evmVersion: 'cancun',
    // no metadata in the bytecode, so that it depends on the sources and the compiler alone
    metadata: { bytecodeHash: 'none', appendCBOR: false },
    outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } }
  }
}

const findImports = (path) => {
  const file = join(here, 'node_modules', path)
  return existsSync(file) ? { contents: readFileSync(file, 'utf8') } : { error: `${path} not found: run npm ci` }
}

const result = JSON.parse(solc.compile(JSON.stringify(input), { import: findImports }))
const problems = result.errors ?? []
for (const problem of problems) console.error(problem.formattedMessage)
if (problems.length > 0) process.exit(1)

const check = process.argv.includes('--check')
let stale = 0
mkdirSync(out, { recursive: true })
for (const name of wanted) {
  const contract = result.contracts[`src/${name}.sol`][name]
  const artifact = { name, compiler: solc.version(), abi: contract.abi, bytecode: '0x' + contract.evm.bytecode.object }
  const text = JSON.stringify(artifact, null, 1) + '\n'
  const file = join(out, `${name}.json`)
  if (!check) {
    writeFileSync(file, text)
  } else if (!existsSync(file) || readFileSync(file, 'utf8') !== text) {
    console.error(`${file} is not what src/${name}.sol compiles to: run npm run build and commit the result`)
    stale += 1
  }
}
if (stale > 0) process.exit(1)
console.log(`${wanted.length} contracts ${check ? 'match their sources' : 'written'}`)

// Compiles src with the pinned npm compiler and writes, or with --check compares, the artifacts that are committed.
import { readFileSync, readdirSync, writeFileSync, existsSync, mkdirSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import solc from 'solc'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '..', '..')
// Which artifacts go where: what the demo deploys, what an operator deploys, what only the tests deploy.
const wanted = [
  { folder: 'src', out: 'node/tocsin_node/demo/contracts', names: ['Attacker', 'Dex', 'Lender', 'Token', 'Vault'] },
  { folder: 'src/levers', out: 'node/tocsin_node/contracts', names: ['TocsinBreaker', 'TocsinGuardianModule', 'TocsinSignalGate'] },
  { folder: 'src/oracle', out: 'node/tocsin_node/contracts', names: ['CoverPool', 'RiskFeed', 'RiskOracle'] },
  {
    folder: 'src/test',
    out: 'tests/contracts/artifacts',
    names: [
      'BrokenVault', 'ExpiringTarget', 'FaultyTarget', 'GatedTarget', 'ManagedTarget', 'MarketTarget', 'OracleTarget',
      'PausableTarget', 'ReentrantTarget', 'RefusingGuard', 'TestAccessManager', 'TestTimelock'
    ]
  }
]

const sources = {}
for (const folder of ['src', 'src/levers', 'src/oracle', 'src/test']) {
  for (const name of readdirSync(join(here, folder)).sort()) {
    if (name.endsWith('.sol')) sources[`${folder}/${name}`] = { content: readFileSync(join(here, folder, name), 'utf8') }
  }
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

const compiled = (folder, name) => {
  const file = Object.keys(result.contracts).find((path) => dirname(path) === folder && name in result.contracts[path])
  return result.contracts[file][name]
}

const check = process.argv.includes('--check')
const stale = []
let count = 0
for (const { folder, out, names } of wanted) {
  mkdirSync(join(root, out), { recursive: true })
  for (const name of names) {
    const contract = compiled(folder, name)
    const artifact = { name, compiler: solc.version(), abi: contract.abi, bytecode: '0x' + contract.evm.bytecode.object }
    const text = JSON.stringify(artifact, null, 1) + '\n'
    const file = join(root, out, `${name}.json`)
    if (!check) writeFileSync(file, text)
    else if (!existsSync(file) || readFileSync(file, 'utf8') !== text) stale.push(relative(root, file))
    count += 1
  }
}
for (const out of new Set(wanted.map((one) => one.out))) {
  const known = wanted.filter((one) => one.out === out).flatMap((one) => one.names)
  for (const file of readdirSync(join(root, out))) {
    if (file.endsWith('.json') && !known.includes(basename(file, '.json'))) stale.push(join(out, file))
  }
}
for (const file of stale) console.error(`${file} is not what the sources compile to: run npm run build and commit the result`)
if (stale.length > 0) process.exit(1)
console.log(`${count} contracts ${check ? 'match their sources' : 'written'}`)

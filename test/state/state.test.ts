/* The lock and the key themselves are tested in ../store/stores.test.ts; here is what a person at a terminal meets. */
import { EventEmitter, once } from 'node:events'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runCli } from '../../src/cli/run-cli.ts'
import { formatPublicKey, parsePublicKey, parseSecretKey } from '../../src/nix/signature.ts'
import { lockFolder } from '../../src/state/folder-lock.ts'
import { type CommandResult, runCommand } from '../lab/run-command.ts'
import { weirConfig } from '../lab/weir-config.ts'
import { startWeir } from '../lab/weir-process.ts'
import { labPublicKey, must } from '../nix/fixtures.ts'

const main = join(import.meta.dirname, '../../src/main.ts')
const packageFile = join(import.meta.dirname, '../../package.json')
const nixosKey = 'cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY='
const commands = ['serve', 'check', 'nix-conf', 'key', 'status']

type Run = (args: readonly string[], env?: NodeJS.ProcessEnv) => Promise<CommandResult>

/** A person's home of their own, and weir run in it. */
type Home = {
  readonly dir: string
  readonly stateDir: string
  readonly keyFile: string
  /** Within this process, since there are many. */
  readonly weir: Run
  /** As a process of its own. */
  readonly spawnWeir: Run
}

/* A short path, since a Unix socket's may have no more than 107 bytes. */
async function newHome(t: Test): Promise<Home> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-home-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  const stateDir = join(dir, '.local/state/weir')
  return {
    dir,
    stateDir,
    keyFile: join(stateDir, 'signing-key'),
    weir: async (args, env = {}) => {
      let [stdout, stderr] = ['', '']
      const code = await runCli(args, {
        env,
        homeDir: dir,
        cores: 1,
        out: (text) => (stdout += text),
        write: () => Promise.reject(new Error('no command here writes bytes')),
        err: (text) => (stderr += text),
        isTerminal: false,
        signals: new EventEmitter(),
      })
      return { code, stdout, stderr }
    },
    spawnWeir: (args, env = {}) =>
      runCommand(process.execPath, [main, ...args], {
        cwd: dir,
        env: { HOME: dir, ...env },
        timeoutMs: 60_000,
      }),
  }
}

const goodInfo = 'StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n'

async function serve(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** What is meant for a person says what happened, and shows no innards. */
function isForPeople(t: Test, { stderr }: CommandResult): void {
  t.match(stderr, /^weir/m)
  t.notMatch(stderr, /\n {4}at |node:internal|Error:/)
}

t.test('a stranger is told of every command', async (t) => {
  const { weir } = await newHome(t)
  const asked = await Promise.all([['--help'], ['-h'], ['help'], []].map((args) => weir(args)))
  for (const { code, stdout, stderr } of asked) {
    t.equal(code, 0)
    t.equal(stderr, '')
    t.match(stdout, /^Usage: weir COMMAND/m)
    for (const command of commands) t.match(stdout, new RegExp(`^  ${command} +\\S`, 'm'))
  }
})

t.test('each command says how it is used', async (t) => {
  const { weir } = await newHome(t)
  await Promise.all(
    commands.map(async (command) => {
      const { code, stdout } = await weir([command, '--help'])
      t.equal(code, 0)
      t.ok(stdout.startsWith(`Usage: weir ${command} [--config FILE]`), stdout)
      t.match(stdout, /^ {2}--config /m)
      t.equal((await weir(['help', command])).stdout, stdout)
    }),
  )
})

t.test("the version is the package's", async (t) => {
  const { weir } = await newHome(t)
  const { version } = JSON.parse(await readFile(packageFile, 'utf8')) as { version: string }
  t.strictSame(await weir(['--version']), { code: 0, stdout: `weir ${version}\n`, stderr: '' })
})

t.test('a process says and ends with what its command does', async (t) => {
  const { weir, spawnWeir } = await newHome(t)
  await weir(['key', 'generate'])
  const url = await serve(t, (_, response) => response.end(goodInfo))
  const env = { WEIR_UPSTREAM: JSON.stringify([{ name: 'ours', url, keys: [labPublicKey] }]) }
  const commandLines = [
    ['--help'],
    ['--version'],
    ['serv'],
    ['check', '--verbose'],
    ['key', 'show'],
    ['key', 'generate'],
    ['nix-conf'],
    ['check'],
    ['status'],
  ]
  const codes = await Promise.all(
    commandLines.map(async (args) => {
      const result = await spawnWeir(args, env)
      t.strictSame(result, await weir(args, env), args.join(' '))
      return result.code
    }),
  )
  t.strictSame(codes, [0, 0, 2, 2, 0, 1, 0, 0, 1])
})

t.test('a command line that cannot be meant ends with 2, and says what could be', async (t) => {
  const { weir, dir } = await newHome(t)
  const lines: readonly (readonly [args: readonly string[], says: RegExp])[] = [
    [['serv'], /there is no command "serv"/],
    [['--verbose'], /there is no command "--verbose"/],
    [['check', '--verbose'], /'--verbose'/],
    [['check', '--config'], /'--config <value>'/],
    [['check', 'nixos'], /takes no operands/],
    [['serve', 'now'], /takes no operands/],
    [['status', 'now'], /takes no operands/],
    [['nix-conf', 'now'], /takes no operands/],
    [['key'], /generate or show/],
    [['key', 'delete'], /generate or show/],
    [['key', 'show', 'more'], /takes one operand/],
    [['key', 'generate', '--name', 'a:b'], /"a:b" is no key name/],
    [['key', 'generate', '--name', ''], /"" is no key name/],
  ]
  await Promise.all(
    lines.map(async ([args, says]) => {
      const result = await weir(args)
      t.equal(result.code, 2, args.join(' '))
      t.equal(result.stdout, '')
      t.match(result.stderr, says)
      t.match(result.stderr, /Usage: weir/)
      isForPeople(t, result)
    }),
  )
  await t.rejects(stat(join(dir, '.local')), { code: 'ENOENT' }, 'and nothing was made')
})

t.test('a configuration that is not there or wrong ends with 1, and names the file', async (t) => {
  const { weir, dir } = await newHome(t)
  const wrong = join(dir, 'wrong.toml')
  await writeFile(wrong, '[server]\nlisten = "nowhere"\nprioriti = 3\n')
  for (const command of [['check'], ['serve'], ['status'], ['nix-conf'], ['key', 'show']]) {
    const missing = await weir([...command, '--config', join(dir, 'none.toml')])
    t.equal(missing.code, 1)
    t.match(missing.stderr, join(dir, 'none.toml'))
    isForPeople(t, missing)
    const result = await weir(command, { WEIR_CONFIG: wrong })
    t.equal(result.code, 1)
    t.match(result.stderr, /wrong\.toml, line 2, server\.listen/)
    t.match(result.stderr, /Did you mean "priority"\?/)
    isForPeople(t, result)
  }
})

/* The key. */

t.test('a key is made once, for its owner alone, and shown as clients want it', async (t) => {
  const { weir, keyFile, stateDir } = await newHome(t)
  const none = await weir(['key', 'show'])
  t.equal(none.code, 1)
  t.match(none.stderr, /weir key generate/)
  isForPeople(t, none)

  const made = await weir(['key', 'generate', '--name', 'weir.home-1'])
  t.equal(made.code, 0)
  t.equal((await stat(keyFile)).mode & 0o777, 0o600)
  t.equal((await stat(stateDir)).mode & 0o777, 0o700)
  const text = await readFile(keyFile, 'utf8')
  const secret = must(parseSecretKey(text.trim()))
  t.equal(made.stdout, `${formatPublicKey(secret.publicKey)}\n`)
  t.match(made.stdout, /^weir\.home-1:/)

  t.strictSame(await weir(['key', 'show']), { code: 0, stdout: made.stdout, stderr: '' })
  const again = await weir(['key', 'generate', '--name', 'weir.home-2'])
  t.equal(again.code, 1)
  t.equal(again.stdout, '')
  isForPeople(t, again)
  t.equal(await readFile(keyFile, 'utf8'), text, 'and is never overwritten')
  for (const { stdout, stderr } of [made, again]) {
    t.notMatch(stdout + stderr, text.slice('weir.home-1:'.length).slice(0, 40))
  }
})

t.test('a key without a name is named after the machine', async (t) => {
  const { weir } = await newHome(t)
  const { stdout } = await weir(['key', 'generate'])
  t.match(stdout, /^weir\.[0-9A-Za-z.-]+-1:/)
  t.not(parsePublicKey(stdout.trim()), null)
})

t.test('a key is made where the configuration says', async (t) => {
  const { weir, dir } = await newHome(t)
  const keyFile = join(dir, 'keys/deep/key')
  const made = await weir(['key', 'generate'], { WEIR_SIGNING__KEY_FILE: keyFile })
  t.equal(made.code, 0)
  t.equal((await stat(keyFile)).mode & 0o777, 0o600)
})

t.test(
  'a key that others may read, or that is none, stops every command that needs it',
  async (t) => {
    const { weir, keyFile } = await newHome(t)
    await weir(['key', 'generate'])
    const text = await readFile(keyFile, 'utf8')
    const using = [['key', 'show'], ['key', 'generate'], ['nix-conf'], ['serve']]
    const allRefuse = async (says: RegExp) => {
      for (const args of using) {
        const result = await weir(args, { WEIR_SERVER__LISTEN: '127.0.0.1:0' })
        t.equal(result.code, 1, args.join(' '))
        t.equal(result.stdout, '')
        t.match(result.stderr, says)
        isForPeople(t, result)
      }
    }
    await chmod(keyFile, 0o640)
    await allRefuse(/chmod 600/)
    t.equal(await readFile(keyFile, 'utf8'), text)
    await chmod(keyFile, 0o600)
    await writeFile(keyFile, 'garbage')
    await allRefuse(/is not a Nix secret key/)
    t.equal(await readFile(keyFile, 'utf8'), 'garbage')
  },
)

/* The client's lines. */

const lines = (result: CommandResult): Readonly<Record<string, string>> =>
  Object.fromEntries(
    result.stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' = ', 2) as [string, string]),
  )

t.test('a client is told to ask Weir alone, and to trust its key', async (t) => {
  const { weir } = await newHome(t)
  const without = await weir(['nix-conf'])
  t.equal(without.code, 1)
  t.equal(without.stdout, '')
  t.match(without.stderr, /weir key generate/)
  isForPeople(t, without)

  const key = (await weir(['key', 'generate'])).stdout.trim()
  for (const mode of ['add', 'replace']) {
    t.strictSame(lines(await weir(['nix-conf'], { WEIR_SIGNING__MODE: mode })), {
      substituters: 'http://127.0.0.1:8484',
      'trusted-public-keys': key,
      'narinfo-cache-negative-ttl': '60',
    })
  }
})

t.test(
  "where the upstreams' signatures are kept, a client is told to trust their keys",
  async (t) => {
    const { weir } = await newHome(t)
    await weir(['key', 'generate'])
    const upstreams = [
      { name: 'a', url: 'https://a.example', keys: [nixosKey, labPublicKey] },
      { name: 'b', url: 'https://b.example', keys: [labPublicKey] },
    ]
    const env = { WEIR_SIGNING__MODE: 'keep', WEIR_UPSTREAM: JSON.stringify(upstreams) }
    t.equal(
      lines(await weir(['nix-conf'], env))['trusted-public-keys'],
      `${nixosKey} ${labPublicKey}`,
    )
  },
)

t.test('a client is given an address that it can reach', async (t) => {
  const { weir } = await newHome(t)
  await weir(['key', 'generate'])
  const addressAt = async (listen: string, ...args: string[]) =>
    lines(await weir(['nix-conf', ...args], { WEIR_SERVER__LISTEN: listen }))['substituters']
  t.equal(await addressAt('[::1]:8484'), 'http://[::1]:8484')
  t.equal(await addressAt('192.168.1.7:80'), 'http://192.168.1.7:80')
  for (const everywhere of ['0.0.0.0:8484', '[::]:8484']) {
    t.match(await addressAt(everywhere), /^http:\/\/[^0:[\]][^:[\]]*:8484$/)
  }
  t.equal(
    await addressAt('unix:/run/weir.sock', '--url', 'https://weir.example.org'),
    'https://weir.example.org',
  )
  const socket = await weir(['nix-conf'], { WEIR_SERVER__LISTEN: 'unix:/run/weir.sock' })
  t.equal(socket.code, 1)
  t.match(socket.stderr, /--url/)
  isForPeople(t, socket)
})

t.test('an address that is none cannot be meant', async (t) => {
  const { weir } = await newHome(t)
  await weir(['key', 'generate'])
  const result = await weir(['nix-conf', '--url', 'nonsense'])
  t.equal(result.code, 2)
  t.equal(result.stdout, '')
  isForPeople(t, result)
})

/* The check. */

/** Where nobody listens. */
async function nobody(): Promise<string> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return `http://127.0.0.1:${port}`
}

type UpstreamTable = {
  readonly name: string
  readonly url: string
  readonly [key: string]: unknown
}

const check = ({ weir }: Home, ...upstreams: readonly UpstreamTable[]) =>
  weir(['check'], {
    WEIR_UPSTREAM: JSON.stringify(upstreams.map((each) => ({ keys: [labPublicKey], ...each }))),
    WEIR_TIMEOUTS__HEADERS: '500ms',
  })

type CheckRow = readonly [title: string, listener: RequestListener, code: number, says: RegExp]

const checks: readonly CheckRow[] = [
  [
    'a good upstream',
    (request, response) => {
      response.writeHead(request.url === '/nix-cache-info' ? 200 : 404).end(goodInfo)
    },
    0,
    /: answers; may vouch: lab\.test-1$/m,
  ],
  [
    'an upstream of another store',
    (_, response) => response.end(goodInfo.replace('/nix/', '/gnu/')),
    1,
    /is for the store \/gnu\/store, and Weir serves \/nix\/store/,
  ],
  [
    'a web page',
    (_, response) => response.end('<!doctype html>\n<p>Log in</p>\n'),
    1,
    /nix-cache-info is malformed/,
  ],
  [
    'an empty answer of another kind',
    (_, response) => response.end('Priority: high\n'),
    1,
    /nix-cache-info is malformed/,
  ],
  ['no cache', (_, response) => response.writeHead(404).end(), 1, /has no nix-cache-info/],
  ['an error', (_, response) => response.writeHead(500).end(), 1, /does not answer: status 500/],
  ['a black hole', () => undefined, 1, /does not answer: /],
  [
    'an endless answer',
    (_, response) => {
      response.end(Buffer.alloc(100_000, 'x'))
    },
    1,
    /does not answer: more than 65536 bytes/,
  ],
]

t.test('the check of upstreams', async (t) => {
  const home = await newHome(t)
  await Promise.all(
    checks.map(async ([title, listener, code, says]) => {
      const url = await serve(t, listener)
      const result = await check(home, { name: 'ours', url })
      t.equal(result.code, code, title)
      t.match(result.stdout, /^configuration: built-in defaults: good$/m)
      t.ok(result.stdout.includes(`upstream ours (${url}): `))
      t.match(result.stdout, says)
      t.equal(result.stderr, '')

      const optional = await check(home, { name: 'ours', url, optional: true })
      t.equal(optional.code, 0, `${title}, optional`)
      t.match(optional.stdout, says)
      if (code !== 0) t.match(optional.stdout, /it is optional/)
    }),
  )
})

t.test('the check says of every upstream what it is, and fails for one', async (t) => {
  const home = await newHome(t)
  const good = () => serve(t, (_, response) => response.end(goodInfo))
  const all = [
    { name: 'good', url: await good() },
    { name: 'keyless', url: await good(), keys: [] },
    { name: 'gone', url: await nobody(), optional: true },
  ]
  const passing = await check(home, ...all)
  t.equal(passing.code, 0)
  t.match(passing.stdout, /^upstream good .*: answers; may vouch: lab\.test-1$/m)
  t.match(passing.stdout, /^upstream keyless .*: answers; without keys/m)
  t.match(passing.stdout, /^ {2}warning: The upstream "keyless" has no keys/m)
  t.match(passing.stdout, /^upstream gone .*: does not answer: .*ECONNREFUSED.* \(it is optional/m)
  const failing = await check(home, ...all, { name: 'needed', url: await nobody() })
  t.equal(failing.code, 1)
  t.match(failing.stdout, /^upstream needed .*: does not answer: .*ECONNREFUSED/m)
  t.match(failing.stdout, /^upstream good .*: answers/m)
  await t.rejects(stat(join(home.dir, '.local')), { code: 'ENOENT' }, 'nothing was made')
})

t.test('the check goes by the configured store', async (t) => {
  const { spawnWeir, dir } = await newHome(t)
  const url = await serve(t, (_, response) => response.end(goodInfo.replace('/nix/', '/gnu/')))
  const file = join(dir, 'weir.toml')
  const extra = { server: { store_dir: '/gnu/store' } }
  const upstreams = [{ name: 'ours', url, keys: [labPublicKey] }]
  const config = weirConfig({
    cacheDir: `${dir}/cache`,
    stateDir: `${dir}/state`,
    upstreams,
    extra,
  })
  await writeFile(file, config)
  const result = await spawnWeir(['check', '--config', 'weir.toml'])
  t.equal(result.code, 0)
  t.ok(result.stdout.startsWith(`configuration: ${file}: good\n`))
})

/* A server, or none. */

t.test('the status of no server ends with 1 and says so', async (t) => {
  const { weir, stateDir } = await newHome(t)
  const result = await weir(['status'])
  t.strictSame(result, { code: 1, stdout: '', stderr: `weir: no weir runs on ${stateDir}\n` })
})

t.test('the status of a path that no socket can have is explained', async (t) => {
  const { weir, dir } = await newHome(t)
  const result = await weir(['status'], { WEIR_STATE__DIR: join(dir, 'x'.repeat(120)) })
  t.equal(result.code, 1)
  isForPeople(t, result)
})

t.test('a server is not started on folders that another uses', async (t) => {
  const { spawnWeir, dir, stateDir } = await newHome(t)
  const cacheDir = join(dir, '.cache/weir')
  const env = { WEIR_SERVER__LISTEN: '127.0.0.1:0' }
  for (const taken of [stateDir, cacheDir]) {
    await mkdir(taken, { recursive: true })
    using locks = new DisposableStack()
    locks.use(lockFolder(taken))
    const result = await spawnWeir(['serve'], env)
    t.equal(result.code, 1)
    t.ok(result.stderr.includes(`another weir uses ${taken}`), result.stderr)
    isForPeople(t, result)
  }
})

t.test('a server that was killed leaves nothing in the way of the next', async (t) => {
  const home = await newHome(t)
  const url = await serve(t, (_, response) => response.end(goodInfo))
  const config = weirConfig({
    cacheDir: join(home.dir, 'cache'),
    stateDir: home.stateDir,
    upstreams: [{ name: 'ours', url, keys: [labPublicKey] }],
  })
  {
    await using first = await startWeir({ config })
    const status = await home.weir(['status'])
    t.equal(status.code, 0)
    t.match(status.stdout, new RegExp(`^address +${first.url}$`, 'm'))
    t.match(status.stdout, new RegExp(`^process +${first.pid}, up \\d+ s$`, 'm'))
    t.match(status.stdout, /^upstreams +ours$/m)
    t.equal(lines(await home.weir(['nix-conf']))['substituters'], first.url)
    await first.kill()
  }
  t.equal((await home.weir(['status'])).code, 1, 'its socket is there, and nobody behind it')
  await using second = await startWeir({ config })
  t.equal((await home.weir(['status'])).code, 0)
  t.equal(await second.stop(), 0)
  t.equal((await home.weir(['status'])).code, 1)
})

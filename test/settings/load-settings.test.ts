import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { formatPublicKey } from '../../src/nix/signature.ts'
import { formatDuration, parseDuration } from '../../src/settings/duration.ts'
import { parseHostPattern } from '../../src/settings/host-name.ts'
import { keysOfTable, listKnownKeys } from '../../src/settings/known-keys.ts'
import { formatListenAddress, parseListenAddress } from '../../src/settings/listen-address.ts'
import { type LoadSettingsOptions, loadSettings } from '../../src/settings/load-settings.ts'
import {
  formatJsonSchema,
  REGENERATE_COMMAND,
  updateReference,
} from '../../src/settings/reference.ts'
import { minFreeBytes } from '../../src/settings/min-free.ts'
import { type Settings } from '../../src/settings/settings.ts'
import { SettingsError } from '../../src/settings/settings-error.ts'
import { parseS3Url } from '../../src/settings/s3-url.ts'
import { formatSize, parseSize } from '../../src/settings/size.ts'

const ROOT = join(import.meta.dirname, '../..')
const FULL = join(ROOT, 'config/weir.full.toml')
const MINIMAL = join(ROOT, 'config/weir.minimal.toml')
const NIXOS_KEY = 'cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY='
const SEED = 20_240_611

function load(options: Partial<LoadSettingsOptions> = {}) {
  return loadSettings({ env: {}, homeDir: '/home/ada', cores: 16, ...options })
}

/** Settings as plain data: keys as their texts. */
function plain({ upstreams, importKeys, ...rest }: Settings) {
  return {
    ...rest,
    importKeys: importKeys.map(formatPublicKey),
    upstreams: upstreams.map((each) => ({ ...each, keys: each.keys.map(formatPublicKey) })),
  }
}

const PLAIN_UPSTREAM = {
  optional: false,
  redirectHosts: [],
  tier: 0,
  private: false,
  insecureUnsigned: false,
  equivalent: null,
  mirrors: [],
  credentials: { tokenFile: null, user: null, passwordFile: null, headers: [] },
  tls: { caFile: null, certificateFile: null, certificateKeyFile: null },
  timeouts: { connectMs: 5000, headersMs: 10_000, idleMs: 30_000, narinfoMs: 10_000 },
  negativeTtlMs: 30_000,
  maxConnections: 32,
}

const DEFAULTS = {
  server: {
    listen: { kind: 'tcp', host: '127.0.0.1', port: 8484 },
    storeDir: '/nix/store',
    priority: 30,
    hosts: [],
    exposePrivate: false,
    metrics: true,
    drainTimeoutMs: 30_000,
  },
  cache: {
    dir: '/home/ada/.cache/weir',
    maxBytes: 20 * 1024 ** 3,
    lowWatermark: 95,
    minFree: { kind: 'auto' },
  },
  state: { dir: '/home/ada/.local/state/weir' },
  signing: { mode: 'add', keyFile: '/home/ada/.local/state/weir/signing-key' },
  nar: {
    verifyFirstBytes: 16 * 1024 ** 2,
    encoding: 'zstd',
    zstdLevel: 1,
    workers: 8,
    maxTransfers: 24,
    readAhead: 4,
    maxNarBytes: 64 * 1024 ** 3,
  },
  timeouts: { connectMs: 5000, headersMs: 10_000, idleMs: 30_000, narinfoMs: 10_000 },
  network: { mode: 'online', proxy: 'environment', caFile: null, netrcFile: null },
  log: { level: 'info', format: 'auto' },
  policy: { unmatched: 'allow', enforce: true, realisations: false },
  importKeys: [],
  upstreams: [
    { ...PLAIN_UPSTREAM, name: 'nixos', url: 'https://cache.nixos.org', keys: [NIXOS_KEY] },
  ],
  rules: [],
  blocks: [],
}

/** For each variable: a value unlike the default, and the setting that it becomes. */
const SAMPLES: Readonly<
  Record<string, readonly [string, (settings: Settings) => unknown, unknown]>
> = {
  WEIR_SERVER__LISTEN: ['[::1]:0', (s) => s.server.listen, { kind: 'tcp', host: '::1', port: 0 }],
  WEIR_SERVER__STORE_DIR: ['/gnu/store', (s) => s.server.storeDir, '/gnu/store'],
  WEIR_SERVER__PRIORITY: ['5', (s) => s.server.priority, 5],
  WEIR_SERVER__HOSTS: ['["Weir.Example", "::1"]', (s) => s.server.hosts, ['weir.example', '[::1]']],
  WEIR_SERVER__EXPOSE_PRIVATE: ['true', (s) => s.server.exposePrivate, true],
  WEIR_SERVER__METRICS: ['false', (s) => s.server.metrics, false],
  WEIR_SERVER__DRAIN_TIMEOUT: ['0s', (s) => s.server.drainTimeoutMs, 0],
  WEIR_CACHE__DIR: ['/srv/./cache/', (s) => s.cache.dir, '/srv/cache'],
  WEIR_CACHE__MAX_SIZE: ['200GiB', (s) => s.cache.maxBytes, 200 * 1024 ** 3],
  WEIR_CACHE__LOW_WATERMARK: ['80', (s) => s.cache.lowWatermark, 80],
  WEIR_CACHE__MIN_FREE: ['7%', (s) => s.cache.minFree, { kind: 'percent', percent: 7 }],
  WEIR_STATE__DIR: ['~/state', (s) => s.state.dir, '/home/ada/state'],
  WEIR_SIGNING__MODE: ['replace', (s) => s.signing.mode, 'replace'],
  WEIR_SIGNING__KEY_FILE: ['/run/key', (s) => s.signing.keyFile, '/run/key'],
  WEIR_NAR__VERIFY_FIRST: ['0', (s) => s.nar.verifyFirstBytes, 0],
  WEIR_NAR__ENCODING: ['upstream', (s) => s.nar.encoding, 'upstream'],
  WEIR_NAR__ZSTD_LEVEL: ['19', (s) => s.nar.zstdLevel, 19],
  WEIR_NAR__WORKERS: ['3', (s) => s.nar.workers, 3],
  WEIR_NAR__MAX_TRANSFERS: ['1', (s) => s.nar.maxTransfers, 1],
  WEIR_NAR__READ_AHEAD: ['0', (s) => s.nar.readAhead, 0],
  WEIR_NAR__MAX_NAR_SIZE: ['1TB', (s) => s.nar.maxNarBytes, 1e12],
  WEIR_TIMEOUTS__CONNECT: ['500ms', (s) => s.timeouts.connectMs, 500],
  WEIR_TIMEOUTS__HEADERS: ['1m', (s) => s.timeouts.headersMs, 60_000],
  WEIR_TIMEOUTS__IDLE: ['1h', (s) => s.timeouts.idleMs, 3_600_000],
  WEIR_TIMEOUTS__NARINFO: ['7s', (s) => s.timeouts.narinfoMs, 7000],
  WEIR_NETWORK__MODE: ['offline', (s) => s.network.mode, 'offline'],
  WEIR_NETWORK__PROXY: ['HTTP://Proxy:80/', (s) => s.network.proxy, 'http://proxy'],
  WEIR_NETWORK__CA_FILE: ['/etc/ca.pem', (s) => s.network.caFile, '/etc/ca.pem'],
  WEIR_NETWORK__NETRC_FILE: ['~/.netrc', (s) => s.network.netrcFile, '/home/ada/.netrc'],
  WEIR_LOG__LEVEL: ['trace', (s) => s.log.level, 'trace'],
  WEIR_LOG__FORMAT: ['json', (s) => s.log.format, 'json'],
  WEIR_POLICY__UNMATCHED: ['deny', (s) => s.policy.unmatched, 'deny'],
  WEIR_POLICY__ENFORCE: ['false', (s) => s.policy.enforce, false],
  WEIR_POLICY__REALISATIONS: ['true', (s) => s.policy.realisations, true],
  WEIR_IMPORT__KEYS: [`["${NIXOS_KEY}"]`, (s) => plain(s).importKeys, [NIXOS_KEY]],
  WEIR_UPSTREAM: [
    `[{"name": "b", "url": "HTTP://B.example:80/x//", "keys": ["${NIXOS_KEY}"], "optional": true, "redirect_hosts": ["C.example:81"], "tier": 9, "private": true, "insecure_unsigned": true, "equivalent": "g", "mirrors": ["https://M.example/"], "user": "u", "password_file": "/p", "headers": {"X-A": "a{env:B}{file:/c}"}, "ca_file": "/ca", "certificate_file": "/cert", "certificate_key_file": "/key", "connect_timeout": "1s", "headers_timeout": "2s", "idle_timeout": "3s", "narinfo_timeout": "4s", "negative_ttl": "0s", "max_connections": 7}]`,
    (s) => plain(s).upstreams,
    [
      {
        name: 'b',
        url: 'http://b.example/x',
        keys: [NIXOS_KEY],
        optional: true,
        redirectHosts: ['c.example:81'],
        tier: 9,
        private: true,
        insecureUnsigned: true,
        equivalent: 'g',
        mirrors: ['https://m.example'],
        credentials: {
          tokenFile: null,
          user: 'u',
          passwordFile: '/p',
          headers: [
            {
              name: 'x-a',
              parts: [
                { kind: 'text', text: 'a' },
                { kind: 'env', name: 'B' },
                { kind: 'file', path: '/c' },
              ],
            },
          ],
        },
        tls: { caFile: '/ca', certificateFile: '/cert', certificateKeyFile: '/key' },
        timeouts: { connectMs: 1000, headersMs: 2000, idleMs: 3000, narinfoMs: 4000 },
        negativeTtlMs: 0,
        maxConnections: 7,
      },
    ],
  ],
  WEIR_RULE: [
    '[{"name": "r", "packages": ["nix"], "from": ["nixos"]}]',
    (s) => s.rules,
    [
      {
        name: 'r',
        packages: new Set(['nix']),
        paths: [],
        from: ['nixos'],
        signedBy: null,
        agree: 1,
        onDivergence: 'serve',
      },
    ],
  ],
  WEIR_BLOCK: [
    '[{"package": "xz", "reason": "r"}]',
    (s) => s.blocks,
    [{ blocked: { kind: 'package', package: 'xz', versions: null }, reason: 'r' }],
  ],
}

t.test('without a file and variables the built-in defaults hold', async (t) => {
  const { settings, source, warnings } = await load()
  t.strictSame(plain(settings), DEFAULTS)
  t.equal(source, 'built-in defaults')
  t.strictSame(warnings, [])
  t.equal((await load({ cores: 2 })).settings.nar.workers, 2, 'one worker a core, up to 8')
})

t.test(
  'a floor of free space is a size, a part of the file system, or a little of either',
  async (t) => {
    const disk = 100 * 1024 ** 3
    const floors: readonly (readonly [string, number, number])[] = [
      ['auto', disk, 1024 ** 3],
      ['auto', 1024 ** 3, Math.floor(0.05 * 1024 ** 3)],
      ['10GiB', disk, 10 * 1024 ** 3],
      ['5%', disk, 5 * 1024 ** 3],
      ['0', disk, 0],
    ]
    for (const [text, totalBytes, expected] of floors) {
      const { settings } = await load({ env: { WEIR_CACHE__MIN_FREE: text } })
      t.equal(minFreeBytes(settings.cache.minFree, totalBytes), expected, text)
    }
  },
)

t.test('the XDG folders are used where they are absolute', async (t) => {
  const env = { XDG_CACHE_HOME: '/x/cache', XDG_STATE_HOME: 'relative' }
  const { settings } = await load({ env })
  t.equal(settings.cache.dir, '/x/cache/weir')
  t.equal(settings.state.dir, '/home/ada/.local/state/weir')
})

t.test('every key has a variable, which outranks the file', async (t) => {
  t.strictSame(
    listKnownKeys().map(({ variable }) => variable),
    Object.keys(SAMPLES),
    'a new key needs a sample here',
  )
  for (const [variable, [text, pick, expected]] of Object.entries(SAMPLES)) {
    const { settings } = await load({ configFile: FULL, env: { [variable]: text } })
    t.strictSame(pick(settings), expected, variable)
    t.notSame(pick((await load()).settings), expected, `${variable} differs from the default`)
  }
})

t.test('a bad value in any variable is blamed on the variable', async (t) => {
  for (const { variable } of listKnownKeys()) {
    const error: unknown = await load({ env: { [variable]: 'bad/value' } }).catch((e: unknown) => e)
    t.ok(error instanceof SettingsError && error.problems.length === 1, variable)
    t.equal(error instanceof SettingsError && error.problems[0]?.source, variable)
  }
})

t.test('an empty variable counts as not set', async (t) => {
  const env = {
    WEIR_CONFIG: '',
    WEIR_SERVER__LISTEN: '',
    WEIR_UPSTREAM: '',
    WEIR_NAR__WORKERS: undefined,
  }
  t.strictSame(plain((await load({ env })).settings), DEFAULTS)
})

t.test('environment over file over defaults, and --config over WEIR_CONFIG', async (t) => {
  const dir = t.testdir({
    'a.toml': '[server]\npriority = 1\n[log]\nlevel = "warn"\n',
    'b.toml': '[server]\npriority = 2\n',
  })
  const env = { WEIR_CONFIG: join(dir, 'b.toml'), WEIR_LOG__LEVEL: 'debug' }
  const byVariable = await load({ env })
  t.equal(byVariable.source, join(dir, 'b.toml'))
  t.equal(byVariable.settings.server.priority, 2)
  const { settings, source } = await load({ env, configFile: join(dir, 'a.toml') })
  t.equal(source, join(dir, 'a.toml'))
  t.equal(settings.server.priority, 1)
  t.equal(settings.log.level, 'debug')
  t.equal(settings.log.format, 'auto')
})

t.test('paths in a file are relative to its folder', async (t) => {
  const dir = t.testdir({
    'weir.toml':
      '[cache]\ndir = "cache/"\n[state]\ndir = "../state"\n[signing]\nkey_file = "~/key"\n',
  })
  const { settings } = await load({ configFile: join(dir, 'weir.toml') })
  t.equal(settings.cache.dir, join(dir, 'cache'))
  t.equal(settings.state.dir, join(dir, '../state'))
  t.equal(settings.signing.keyFile, '/home/ada/key')
})

t.test('JSON says the same as TOML', async (t) => {
  const file = {
    server: { listen: 'unix:/run/weir.sock' },
    nar: { verify_first: 0 },
    upstream: [{ name: 'a', url: 'http://127.0.0.1:1/' }],
  }
  const dir = t.testdir({ 'weir.json': JSON.stringify(file) })
  const { settings, warnings } = await load({ configFile: join(dir, 'weir.json') })
  t.strictSame(settings.server.listen, { kind: 'unix', path: '/run/weir.sock' })
  t.equal(settings.nar.verifyFirstBytes, 0)
  t.strictSame(settings.upstreams, [
    { ...PLAIN_UPSTREAM, name: 'a', url: 'http://127.0.0.1:1', keys: [] },
  ])
  t.strictSame(warnings, ['The upstream "a" has no keys: it gives only content-addressed paths.'])
})

t.test('an upstream may be a folder, an S3 bucket or a cache at Cachix', async (t) => {
  const urls: readonly (readonly [string, string])[] = [
    ['file:///mnt/a%20b//', 'file:///mnt/a%20b'],
    ['FILE:///mnt/x/../cache', 'file:///mnt/cache'],
    ['cachix:nix-community', 'https://nix-community.cachix.org'],
    ['s3://acme-cache', 's3://acme-cache'],
    ['s3://acme-cache/', 's3://acme-cache'],
    [
      's3://acme?scheme=http&profile=a+b&endpoint=minio:9000',
      's3://acme?endpoint=minio%3A9000&profile=a%2Bb&scheme=http',
    ],
  ]
  for (const [written, read] of urls) {
    const { settings } = await load({
      env: { WEIR_UPSTREAM: JSON.stringify([{ name: 'a', url: written }]) },
    })
    t.equal(settings.upstreams[0]?.url, read)
  }
})

t.test('the keys of an S3 URL that only Nix goes by are warned of', async (t) => {
  const url = 's3://acme?region=eu-west-1&secret-key=/k&parallel-compression=true'
  const { warnings } = await load({
    env: { WEIR_UPSTREAM: JSON.stringify([{ name: 'a', url, insecure_unsigned: true }]) },
  })
  t.match(
    warnings.join('\n'),
    'The upstream "a" has a URL with "parallel-compression", "secret-key": Weir only reads',
  )
})

t.test('an S3 URL leads where Nix would look', (t) => {
  const roots: readonly (readonly [string, string])[] = [
    ['s3://acme', 'https://acme.s3.us-east-1.amazonaws.com'],
    ['s3://acme?region=cn-north-1', 'https://acme.s3.cn-north-1.amazonaws.com.cn'],
    ['s3://a.b.c?region=eu-west-1', 'https://s3.eu-west-1.amazonaws.com/a.b.c'],
    ['s3://acme?endpoint=minio:9000&scheme=http', 'http://minio:9000/acme'],
    ['s3://acme?endpoint=http://minio:9000/', 'http://minio:9000/acme'],
    ['s3://acme?endpoint=minio.example&addressing-style=virtual', 'https://acme.minio.example'],
    ['s3://acme?addressing-style=path', 'https://s3.us-east-1.amazonaws.com/acme'],
  ]
  for (const [url, root] of roots) t.equal(parseS3Url(url).root, root)
  t.end()
})

t.test('mirrors may share a key', async (t) => {
  const upstream = ['a', 'b'].map((name) => ({
    name,
    url: `https://${name}.example`,
    keys: [NIXOS_KEY],
  }))
  const { settings } = await load({ env: { WEIR_UPSTREAM: JSON.stringify(upstream) } })
  t.equal(settings.upstreams.length, 2)
})

t.test('the example files load as they are and say what the defaults are', async (t) => {
  for (const configFile of [FULL, MINIMAL]) {
    const { settings, warnings } = await load({ configFile })
    t.strictSame(plain(settings), DEFAULTS)
    t.strictSame(warnings, [])
  }
  const text = await readFile(FULL, 'utf8')
  const paths = listKnownKeys().filter(({ path }) => path.length === 2)
  for (const key of [
    ...paths.map(({ path }) => String(path[1])),
    ...['upstream', 'rule', 'block'].flatMap((list) => keysOfTable([list, 0])),
  ]) {
    t.match(
      text,
      new RegExp(`\\n# [^\\n]+\\n(?:# |#   )?${key} = `),
      `${key} is there, with a sentence above it`,
    )
  }
  const dir = t.testdir()
  await mkdir(join(dir, 'config'))
  await writeFile(join(dir, 'config/weir.toml'), text.replaceAll(/^# (?=[a-z_]+ = )/gm, ''))
  const { settings } = await load({ configFile: join(dir, 'config/weir.toml') })
  t.strictSame(plain(settings), DEFAULTS, 'what is commented out is right as well')
  // One of the examples is instead of another.
  const alone = text.replace(/^# {3}token_file.*\n/m, '')
  await writeFile(join(dir, 'config/weir.toml'), alone.replaceAll(/^# {3}(?=[[a-z])/gm, ''))
  const examples = await load({ configFile: join(dir, 'config/weir.toml') })
  t.equal(examples.settings.upstreams[0]?.equivalent, 'official')
  t.equal(examples.settings.rules.length, 1, 'and so are the examples')
  t.strictSame(examples.settings.blocks.map(({ blocked }) => blocked.kind).toSorted(), [
    'hash',
    'key',
    'nar-hash',
    'package',
    'path',
  ])
  const isOfFile = (warning: string) => warning.includes('there is no such file')
  t.strictSame(
    examples.warnings.filter((warning) => !isOfFile(warning)),
    [],
  )
})

t.test('the files that a configuration names are looked at, and not needed to load', async (t) => {
  const dir = t.testdir({ open: 'geheim', shut: 'geheim', group: 'geheim', ca: 'pem', folder: {} })
  const at = (name: string) => join(dir, name)
  await Promise.all([
    ...['open', 'ca'].map((name) => chmod(at(name), 0o644)),
    ...['shut', 'group'].map((name) => chmod(at(name), name === 'shut' ? 0o600 : 0o640)),
  ])
  const file = {
    network: { ca_file: at('ca'), netrc_file: at('missing') },
    upstream: [
      { ...{ name: 'a', url: 'https://a.example', keys: [NIXOS_KEY] }, token_file: at('open') },
      {
        ...{ name: 'b', url: 'https://b.example', keys: [NIXOS_KEY], user: 'u' },
        password_file: at('shut'),
        headers: { 'X-A': `{file:${at('group')}}`, 'X-B': `{file:${at('folder')}}` },
      },
    ],
  }
  await writeFile(at('weir.json'), JSON.stringify(file))
  const { warnings } = await load({ configFile: at('weir.json') })
  t.strictSame(warnings, [
    `network.netrc_file ${at('missing')}: there is no such file; what needs it fails until it is there.`,
    `upstream[0].token_file ${at('open')}: every user of this machine may read it: chmod o-r it.`,
    `upstream[1].headers.x-b ${at('folder')}: it is no file.`,
  ])
})

t.test('what is generated from the schema is current', async (t) => {
  const advice = `run: ${REGENERATE_COMMAND}`
  const schema = await readFile(join(ROOT, 'config/weir.schema.json'), 'utf8')
  t.equal(schema, formatJsonSchema(), advice)
  const documentation = await readFile(join(ROOT, 'docs/configuration.md'), 'utf8')
  t.equal(documentation, updateReference(documentation), advice)
  const undescribed = schema.split('\n').filter((line) => /"description": ""/.test(line))
  t.strictSame(undescribed, [])
  t.ok(
    listKnownKeys().every(({ description }) => description !== ''),
    'every key is described',
  )
})

t.test('sizes and durations come back as they were written', async (t) => {
  const amounts = fc.oneof(
    fc.nat(),
    fc.maxSafeNat(),
    fc.nat(4096).map((n) => n * 1024 ** 3),
  )
  const checked = fc.property(
    amounts,
    (amount) =>
      parseSize(formatSize(amount)) === amount && parseDuration(formatDuration(amount)) === amount,
  )
  fc.assert(checked, { seed: SEED, numRuns: 500 })
  t.strictSame(['1', '5 GB', '1kB', '0B', '64KiB'].map(parseSize), [1, 5e9, 1000, 0, 65_536])
  for (const text of [
    '',
    '-1',
    '1.5GiB',
    '1gb',
    'GiB',
    '1e3',
    '9007199254740992',
    '9999TiB9',
    '8193TiB',
  ]) {
    t.equal(parseSize(text), null, text)
  }
  for (const text of ['', '30', '-1s', '1d', '1.5s', '9007199254740991h']) {
    t.equal(parseDuration(text), null, text)
  }
})

t.test('addresses are read strictly and come back as they were written', async (t) => {
  for (const text of [
    '127.0.0.1:8484',
    '[::1]:0',
    'localhost:65535',
    '0.0.0.0:80',
    '[::]:1',
    'unix:/run/weir.sock',
  ]) {
    const address = parseListenAddress(text)
    t.equal(address === null ? null : formatListenAddress(address), text)
  }
  const bad = [
    ':1',
    '::1:80',
    '::1',
    '[::1]',
    'a:65536',
    'a:-1',
    'a:01',
    'a:',
    'a',
    'unix:',
    'unix:run/x',
    'unix:/',
    'http://a:1',
    'a/b:1',
    '[a]:1',
    '*:1',
  ]
  for (const text of [...bad, `unix:/${'x'.repeat(107)}`])
    t.equal(parseListenAddress(text), null, text)
  for (const [text, host] of [
    ['A.example', 'a.example'],
    ['a:1', 'a:1'],
    ['10.0.0.1:443', '10.0.0.1:443'],
    ['::1', '[::1]'],
    ['[0:0::1]:2', '[::1]:2'],
  ] as const) {
    t.equal(parseHostPattern(text), host)
  }
  for (const text of [
    '',
    'https://a',
    'a/b',
    'a:0',
    '*.a',
    'a..b',
    'u@a',
    'a b',
    '[fe80::1%eth0]',
    '0x7f.1',
  ]) {
    t.equal(parseHostPattern(text), null, text)
  }
})

import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { parse } from 'smol-toml'
import t, { type Test } from 'tap'
import { checkAccess } from '../../src/settings/access-checks.ts'
import { checkDocument } from '../../src/settings/check-document.ts'
import { composeDraft } from '../../src/settings/draft.ts'
import { type KeyPath, valueAt } from '../../src/settings/key-path.ts'
import { keysOfTable, listKnownKeys } from '../../src/settings/known-keys.ts'
import { loadSettings } from '../../src/settings/load-settings.ts'
import { locateKeys } from '../../src/settings/locate-keys.ts'
import { readConfigFile } from '../../src/settings/read-config-file.ts'
import { type Environment } from '../../src/settings/read-environment.ts'
import { formatSettingsError, SettingsError } from '../../src/settings/settings-error.ts'

const KEY = 'cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY='
const OTHER_KEY = 'cache.nixos.org-1:7NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY='
const SECRET =
  'GEP40RR4u+ZLRxRJBTgVzxmcDOOXeunlT+ldk6zJe3Zd6WLgDxSfOa7SPBCAKAYf7eW3YaHlZJvCwVi1b9HYTw=='
const KEY_ALLOWED = `a public key, NAME:BASE64 with 32 bytes, such as "${KEY}"`
const SEED = 20_240_612

const alone = { env: {}, homeDir: '/home/ada', cores: 4 }

type Given = { readonly env?: Environment; readonly configFile?: string; readonly homeDir?: string }

async function fail({
  env = {},
  configFile,
  homeDir = '/home/ada',
}: Given): Promise<SettingsError> {
  try {
    await loadSettings({ env, configFile, homeDir, cores: 4 })
  } catch (error) {
    if (error instanceof SettingsError) return error
    throw error
  }
  throw new Error('the configuration was accepted')
}

/** The message for a file's text, with the file's path as FILE. */
async function explain(t: Test, text: string | Buffer, name = 'weir.toml'): Promise<string> {
  const dir = t.testdir({ [name]: text })
  const error = await fail({ configFile: join(dir, name) })
  return formatSettingsError(error).replaceAll(join(dir, name), 'FILE').replaceAll(dir, 'DIR')
}

function upstream(...lines: readonly string[]): string {
  return ['[[upstream]]', 'name = "a"', 'url = "https://a.example"', ...lines, ''].join('\n')
}

t.test('the ten most common mistakes are explained to a stranger', async (t) => {
  const allowedAt =
    'Allowed: server, cache, state, signing, nar, timeouts, network, log, traces, policy, import, upstream, rule, block.'
  const messages: readonly (readonly [string, string])[] = [
    [
      '[server]\nlistne = "127.0.0.1:1"\n',
      'FILE, line 2, server.listne: found an unknown key.\n' +
        '  Did you mean "listen"? Allowed: listen, store_dir, priority, hosts, expose_private, page, admin_api, metrics, drain_timeout.',
    ],
    [
      'listen = "127.0.0.1:1"\n',
      `FILE, line 1, listen: found an unknown key.\n  Did you mean "server.listen"? ${allowedAt}`,
    ],
    [
      '\n[upstream]\nname = "a"\n',
      'FILE, line 2, upstream: found a table.\n' +
        '  Allowed: a list of tables: each is headed [[upstream]], in double brackets.',
    ],
    [
      '[cache]\nmax_size = "200 gigs"\n',
      'FILE, line 2, cache.max_size: found "200 gigs".\n' +
        '  Allowed: a size such as "200GiB", "20GB" or "512MiB", or a whole number of bytes, at least 1.',
    ],
    [
      '[cache]\nmin_free = "95%"\n',
      'FILE, line 2, cache.min_free: found "95%".\n' +
        '  Allowed: "auto", a part of the file system such as "5%" (0 to 90), a size such as "10GiB", or a whole number of bytes.',
    ],
    [
      '[timeouts]\nidle = 30\n',
      'FILE, line 2, timeouts.idle: found 30.\n' +
        '  Allowed: a duration such as "500ms", "30s", "5m" or "1h", from 1ms to 24h.',
    ],
    [
      '[server]\nlisten = "8484"\n',
      'FILE, line 2, server.listen: found "8484".\n' +
        '  Allowed: "HOST:PORT", "[IPV6]:PORT" or "unix:/ABSOLUTE/PATH" (at most 107 bytes), with a port from 0 to 65535.',
    ],
    [
      upstream(
        `keys = [\n  "${KEY}", # fine\n  "b:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShg=="\n]`,
      ),
      `FILE, line 6, upstream[0].keys[1]: found "b:…", which has 31 bytes instead of 32.\n  Allowed: ${KEY_ALLOWED}.`,
    ],
    [
      '[[upstream]]\nname = "a"\n',
      'FILE, line 1, upstream[0].url: found nothing.\n' +
        '  Allowed: the URL of a binary cache, such as "https://cache.nixos.org", "cachix:NAME", "s3://BUCKET?region=REGION" or "file:///FOLDER".',
    ],
    [
      '[log]\nlevel = "info\n',
      'FILE, line 2: found something that is not TOML at column 14 (control characters are not allowed in strings).\n' +
        '  Allowed: TOML, as described at https://toml.io.',
    ],
    [
      '[cache]\ndir = "x"\n[state]\ndir = "x/state"\n',
      'FILE, line 4, state.dir: found cache.dir "DIR/x" and state.dir "DIR/x/state".\n' +
        '  Allowed: two folders, neither of them inside the other.',
    ],
  ]
  for (const [text, message] of messages) t.equal(await explain(t, text), message)
})

t.test('all mistakes are told at once, in the order of the file, a paragraph each', async (t) => {
  const text = '[signing]\nmode = "ad"\n[nar]\nzstd_level = 20\nwrokers = 1\n[log]\nlevel = 5\n'
  t.equal(
    await explain(t, text),
    [
      'FILE, line 2, signing.mode: found "ad".\n  Allowed: "add", "replace", "keep".',
      'FILE, line 4, nar.zstd_level: found 20.\n  Allowed: a whole number from 1 to 19.',
      'FILE, line 5, nar.wrokers: found an unknown key.\n' +
        '  Did you mean "workers"? Allowed: verify_first, encoding, zstd_level, workers, max_transfers, read_ahead, max_nar_size.',
      'FILE, line 7, log.level: found 5.\n' +
        '  Allowed: "trace", "debug", "info", "warn", "error", "fatal", "silent".',
    ].join('\n\n'),
  )
})

t.test('a file that is not there or not readable says who named it', async (t) => {
  const dir = t.testdir({ folder: {}, 'locked.toml': '', 'bytes.toml': Buffer.of(0xff, 0xfe) })
  const missing = join(dir, 'missing.toml')
  const byOption = await fail({ configFile: missing, env: { WEIR_CONFIG: dir } })
  t.equal(byOption.code, 'not-found')
  t.equal(
    formatSettingsError(byOption),
    `${missing} (named by --config): found no such file.\n  Allowed: the path of a TOML or JSON file that Weir may read.`,
  )
  const byVariable = await fail({ env: { WEIR_CONFIG: missing } })
  t.match(byVariable.message, 'missing.toml (named by WEIR_CONFIG): found no such file.')
  const folder = await fail({ configFile: join(dir, 'folder') })
  t.equal(folder.code, 'unreadable')
  t.match(folder.message, 'found a folder')
  t.equal((await fail({ configFile: join(dir, 'bytes.toml') })).code, 'syntax')
  if (process.getuid?.() === 0) return
  await chmod(join(dir, 'locked.toml'), 0)
  t.equal((await fail({ configFile: join(dir, 'locked.toml') })).code, 'unreadable')
})

t.test('JSON mistakes are told without the text around them', async (t) => {
  t.equal(
    await explain(t, `{"keys": ${SECRET}}`, 'weir.json'),
    'FILE: found something that is not JSON.\n  Allowed: one JSON object, as its name ends in .json.',
  )
  t.match(await explain(t, '[]', 'weir.json'), 'FILE: found an empty list.')
  t.match(await explain(t, '{"log": {"level": null}}', 'weir.json'), 'FILE, log.level: found null.')
})

t.test('a variable that is unknown or wrong is named, besides mistakes in the file', async (t) => {
  const dir = t.testdir({ 'weir.toml': '[nar]\nworkers = 0\n' })
  const env = {
    WEIR_SERVER_LISTEN: '127.0.0.1:1',
    WEIR_SERVER__HOSTS: 'weir.example',
    WEIR_LOG__LEVEL: 'loud',
    WEIR_UPSTREAM: '[{"name": "a", "url": "https://a.example", "keys": ["b"]}]',
  }
  const error = await fail({ env, configFile: join(dir, 'weir.toml') })
  t.strictSame(formatSettingsError(error).split('\n\n'), [
    'WEIR_SERVER_LISTEN: found an environment variable that Weir does not know.\n' +
      '  Did you mean "WEIR_SERVER__LISTEN"? Allowed: WEIR_CONFIG, or WEIR_SECTION__KEY for a key of the configuration, as in WEIR_SERVER__LISTEN.',
    'WEIR_SERVER__HOSTS: found a text that is not JSON.\n  Allowed: a JSON array such as ["weir.example.org"].',
    'WEIR_LOG__LEVEL, log.level: found "loud".\n' +
      '  Allowed: "trace", "debug", "info", "warn", "error", "fatal", "silent".',
    `WEIR_UPSTREAM, upstream[0].keys[0]: found a text without a colon.\n  Allowed: ${KEY_ALLOWED}.`,
    `${join(dir, 'weir.toml')}, line 2, nar.workers: found 0.\n  Allowed: a whole number from 1 to 256.`,
  ])
})

t.test('each rule for upstreams has its own words', async (t) => {
  const second = (...lines: string[]) => upstream(...lines).replace('"a"', '"b"')
  const onB = (keys: string) => second(`keys = [${keys}]`).replace('a.example', 'b.example')
  const at = (written: string) => upstream().replace('https://a.example', written)
  const cases: readonly (readonly [string, string])[] = [
    ['upstream = []', 'line 1, upstream: found an empty list.\n  Allowed: at least one upstream'],
    [
      upstream().replace('"a"', '"import"'),
      'line 2, upstream[0].name: found "import", which is reserved for',
    ],
    [upstream().replace('"a"', '"A b"'), 'line 2, upstream[0].name: found "A b".'],
    [
      upstream() + upstream().replace('a.example', 'b.example'),
      'line 5, upstream[1].name: found "a", which is the name of upstream[0]',
    ],
    [
      upstream() + second().replace('a.example', 'A.example:443/'),
      'line 6, upstream[1].url: found "https://a.example", which is the URL of upstream[0]',
    ],
    [
      upstream(`keys = ["${KEY}"]`) + onB(`"${OTHER_KEY}"`),
      'line 8, upstream[1].keys[0]: found "cache.nixos.org-1" with other bytes than in upstream[0].keys[0] (line 4)',
    ],
    [at('ssh://a.example'), 'found "ssh://a.example", which is "ssh".'],
    [at('s3://'), 'found "s3://", whose bucket is "".'],
    [
      at('s3://acme/nix'),
      'found "s3://acme/nix", which goes on after the bucket.\n  Allowed: the bucket alone',
    ],
    [
      at('s3://acme?regoin=eu-west-1'),
      'found "s3://acme?…", whose query has "regoin".\n  Allowed: "region", "endpoint", "scheme", "profile", "addressing-style" (is "region" meant?).',
    ],
    [
      at('s3://acme?endpoint=ftp://a.example'),
      'whose "endpoint" is "ftp://a.example".\n  Allowed: HOST',
    ],
    [at('s3://acme?endpoint=[::1]&addressing-style=virtual'), 'whose "endpoint" is no host.'],
    [at('s3://acme?scheme=ftp'), 'whose "scheme" is "ftp".\n  Allowed: "https" or "http".'],
    [at('s3://acme?region=a&region=b'), 'found "s3://acme?…", whose query is malformed.'],
    [
      at('s3://key:secret@acme'),
      'found "s3://…@acme", which has credentials in it.\n  Allowed: the URL without them: they are found as the AWS tools find them',
    ],
    [
      at('file://mnt/cache'),
      'found "file://mnt/cache".\n  Allowed: "file:///" and an absolute path',
    ],
    [at('file:///'), 'found "file:///".\n  Allowed: "file:///" and an absolute path'],
    [at('file:///mnt/cache?priority=1'), 'found "file:///mnt/cache?…", which has a query.'],
    [
      at('cachix:https://acme.cachix.org/'),
      'found "cachix:https://acme.cachix.org/".\n  Allowed: "cachix:acme".',
    ],
    [at('cachix:Acme'), 'found "cachix:Acme".\n  Allowed: "cachix:acme".'],
    [
      at('cachix:acme?priority=1'),
      'found "cachix:acme?priority=1".\n  Allowed: "cachix:" and the name of the cache',
    ],
    [at('a.example'), 'found "a.example".\n  Allowed: the URL of a binary cache'],
    [at('https://a.example?priority=1'), 'found "https://a.example?…", which has a query.'],
    [at('https://a.example/#x'), 'found "https://a.example/#…", which has a fragment.'],
    [
      at('https://u:pw@a.example'),
      'found "https://…@a.example", which has credentials in it.\n  Allowed: the URL without them: token_file gives a token',
    ],
    [upstream('keys = [":abc"]'), 'found a key without a name.'],
    [
      upstream('keys = ["a:b c"]'),
      'found "a:…", which has something else than base64 after its colon.',
    ],
    [
      upstream(`keys = ["a:${SECRET}"]`),
      'found "a:…", which is a secret key.\n  Allowed: the public key that belongs to it',
    ],
    [upstream('redirect_hosts = ["https://b"]'), 'redirect_hosts[0]: found "https://b".'],
    [upstream('optional = "yes"'), 'upstream[0].optional: found "yes".\n  Allowed: true or false.'],
    [upstream('key = []'), 'upstream[0].key: found an unknown key.\n  Did you mean "keys"?'],
  ]
  for (const [text, message] of cases) {
    const explained = await explain(t, text)
    t.ok(explained.includes(message) && !explained.includes('\n\n'), message, { explained })
  }
})

t.test('credentials fit each other, and do not become those of everybody', async (t) => {
  const other = upstream().replace('"a"', '"b"').replace('a.example', 'b.example')
  const open = (address: string, ...more: string[]) =>
    ['[server]', `listen = "${address}"`, ...more, ''].join('\n')
  const cases: readonly (readonly [string, string])[] = [
    [
      upstream('user = "u"'),
      'line 4, upstream[0].user: found it without password_file.\n  Allowed: user and password_file, or neither.',
    ],
    [upstream('password_file = "/p"'), 'line 4, upstream[0].password_file: found it without user.'],
    [
      upstream('user = "u"', 'password_file = "/p"', 'token_file = "/t"'),
      'line 6, upstream[0].token_file: found it and user.\n  Allowed: token_file, or user and password_file',
    ],
    [
      upstream('certificate_file = "/c"'),
      'line 4, upstream[0].certificate_file: found it without certificate_key_file.',
    ],
    [
      upstream('certificate_key_file = "/k"'),
      'line 4, upstream[0].certificate_key_file: found it without certificate_file.',
    ],
    [
      upstream('mirrors = ["https://m.example", "https://a.example/"]'),
      'line 4, upstream[0].mirrors[1]: found "https://a.example", which is upstream[0].url.\n  Allowed: each URL once',
    ],
    [
      upstream('mirrors = ["https://b.example"]') + other,
      'line 4, upstream[0].mirrors[0]: found "https://b.example", which is upstream[1].url.',
    ],
    [
      upstream('mirrors = ["https://m.example"]') + `${other}mirrors = ["https://m.example"]\n`,
      'line 8, upstream[1].mirrors[0]: found "https://m.example", which is upstream[0].mirrors[0].',
    ],
    [
      open('0.0.0.0:8484') + upstream('token_file = "/t"'),
      'line 2, server.listen: found "0.0.0.0:8484", while the upstream "a" has credentials.\n' +
        '  Allowed: an address of this machine alone, such as "127.0.0.1:8484", or server.expose_private = true',
    ],
    [
      open('[::]:8484') + upstream('headers = { X-Token = "{env:TOKEN}" }'),
      'line 2, server.listen: found "[::]:8484", while the upstream "a" has credentials.',
    ],
    [
      open('weir.example:1', '[network]', 'netrc_file = "/n"') + upstream(),
      'line 2, server.listen: found "weir.example:1", while network.netrc_file has credentials.',
    ],
    [
      open('0.0.0.0:1') + upstream('mirrors = ["s3://acme-cache?profile=acme"]'),
      'line 2, server.listen: found "0.0.0.0:1", while the upstream "a" is asked with what credentials AWS\'s tools find.',
    ],
  ]
  for (const [text, message] of cases) {
    const explained = await explain(t, text)
    t.ok(explained.includes(message) && !explained.includes('\n\n'), message, { explained })
  }
  const fine = [
    open('127.0.0.1:0') + upstream('token_file = "/t"'),
    open('[::1]:0') + upstream('token_file = "/t"'),
    open('unix:/run/weir.sock') + upstream('token_file = "/t"'),
    open('0.0.0.0:1', 'expose_private = true') + upstream('token_file = "/t"'),
    open('0.0.0.0:1', 'expose_private = true') + upstream('mirrors = ["s3://acme-cache"]'),
    open('127.0.0.1:1') + upstream('mirrors = ["s3://acme-cache"]'),
    open('0.0.0.0:1') + upstream('ca_file = "/ca"', 'mirrors = ["https://m.example"]'),
  ]
  for (const text of fine) {
    const dir = t.testdir({ 'weir.toml': text })
    await t.resolves(loadSettings({ ...alone, configFile: join(dir, 'weir.toml') }), text)
  }
})

t.test('what is written for HTTP says nothing to other kinds of caches', async (t) => {
  for (const [scheme, remedy] of [
    ['file', /permissions of its folder/],
    ['s3', /those of AWS/],
  ] as const) {
    const dir = t.testdir({ 'weir.toml': upstream('token_file = "/t"', 'headers = { X-A = "b" }') })
    const file = await readConfigFile({ path: join(dir, 'weir.toml'), namedBy: 'the test' })
    const checked = checkDocument(composeDraft(file, []))
    if ('problems' in checked) throw new Error('the configuration was refused')
    const { document } = checked
    const conflicts = checkAccess({
      ...document,
      upstream: document.upstream.map((each) => ({ ...each, url: `${scheme}://a` })),
    })
    t.strictSame(
      conflicts.map(({ path }) => path.at(-1)),
      ['token_file', 'headers'],
    )
    t.match(conflicts[0]?.found, `it for an upstream at ${scheme}://`)
    t.match(conflicts[0]?.allowed, remedy)
  }
})

t.test('folders are told apart, and need a home where they begin with one', async (t) => {
  const same = await fail({ env: { WEIR_CACHE__DIR: '/srv/weir', WEIR_STATE__DIR: '/srv/weir/' } })
  t.match(
    same.message,
    'WEIR_STATE__DIR, state.dir: found cache.dir "/srv/weir" and state.dir "/srv/weir".',
  )
  const inside = await fail({
    env: { WEIR_CACHE__DIR: '/srv', WEIR_SIGNING__KEY_FILE: '/srv/..key' },
  })
  t.match(inside.message, 'signing.key_file: found "/srv/..key", which is inside cache.dir.')
  const homeless = await fail({ homeDir: '' })
  t.match(
    homeless.message,
    'built-in defaults, cache.dir: found "~/.cache/weir", and HOME is not set.',
  )
  t.equal(homeless.problems.length, 2)
  const relative = await fail({ env: { WEIR_STATE__DIR: 'state' } })
  t.match(relative.message, 'found "state".\n  Allowed: a path that is absolute or begins with ~/.')
  const other = await explain(t, '[state]\ndir = "~bob/state"\n')
  t.match(other, 'FILE, line 2, state.dir: found "~bob/state".')
})

t.test('no message repeats a secret, wherever it was put by mistake', async (t) => {
  const secrets = [
    `"k:${SECRET}"`,
    `"${SECRET}"`,
    `"${SECRET}:k"`,
    `"https://u:${SECRET}@a.example"`,
    '"ftp://u:geheim@x"',
    '"https://x?t=geheim"',
  ]
  const ofLists = ['upstream', 'rule', 'block'].flatMap((list) =>
    keysOfTable([list, 0]).flatMap((key) => [
      (secret: string) => `[[${list}]]\n${key} = ${secret}\n`,
      (secret: string) => `[[${list}]]\n${key} = [${secret}]\n`,
    ]),
  )
  const ofSections = listKnownKeys()
    .filter(({ path }) => path.length === 2)
    .map(
      ({ path }) =>
        (secret: string) =>
          `[${path.join(']\n')} = ${secret}\nx = 1\n`,
    )
  for (const place of [...ofLists, ...ofSections]) {
    for (const secret of secrets) {
      const explained = await explain(t, place(secret))
      t.notMatch(explained, /geheim|GEP40RR4u|1b9HYTw/, place('…'))
    }
  }
})

t.test('the lines of keys are found in unfriendly TOML, and never wrong ones', async (t) => {
  const lines = [
    '# [server]', // 1
    'a."b.c".d = """', // 2
    '[server] \\"""', // 3
    'x = 1""""', // 4
    "e = '''", // 5
    "[log]''''", // 6
    'f = [1, [2, "]"], # ]', // 7
    "  3, { g = '}', h.i = [", // 8
    '  4] }, 1979-05-27 07:32:00Z,', // 9
    ']', // 10
    '[ server . "x y" ] # x', // 11
    '', // 12
    'later = 2', // 13
    '[[up]]', // 14
    'n = "#"', // 15
    '[[up]]', // 16
    '[up.sub]', // 17
    'n = 2', // 18
    '[[up.list]]', // 19
    '[[up.list]]', // 20
    'n = -inf', // 21
  ]
  const document: unknown = parse(lines.join('\n'))
  const lineOf = locateKeys(lines.join('\r\n'))
  const expected: readonly (readonly [KeyPath, number])[] = [
    [['a', 'b.c', 'd'], 2],
    [['e'], 5],
    [['f', 0], 7],
    [['f', 1, 1], 7],
    [['f', 2], 8],
    [['f', 3, 'g'], 8],
    [['f', 3, 'h', 'i', 0], 9],
    [['f', 4], 9],
    [['server', 'x y'], 11],
    [['server', 'x y', 'later'], 13],
    [['up'], 14],
    [['up', 0, 'n'], 15],
    [['up', 1], 16],
    [['up', 1, 'sub', 'n'], 18],
    [['up', 1, 'list', 1, 'n'], 21],
  ]
  for (const [path, line] of expected) {
    t.not(valueAt(document, path), undefined, `${JSON.stringify(path)} is in the document`)
    t.equal(lineOf(path), line, JSON.stringify(path))
  }
  t.equal(lineOf(['log']), null)
  t.equal(lineOf(['x']), null)
  const escaped = locateKeys(lines.with(11, '"q\\u0041" = 1').join('\n'))
  t.equal(escaped(['server', 'x y', 'later']), null, 'it stops at what it does not read')
})

t.test('no garbage throws anything but SettingsError', async (t) => {
  const name = fc.constantFrom(
    ...listKnownKeys().flatMap(({ path }) => path),
    ...['upstream', 'rule', 'block'].flatMap((list) => keysOfTable([list, 0])),
    ...['__proto__', 'constructor', 'toString', ''],
  )
  const odd = fc.constantFrom('~', 'unix:', '[', 'a:', 'https://', '/', Infinity, -0)
  const value = fc.oneof(fc.jsonValue(), fc.string({ unit: 'binary' }), odd)
  const table = fc.dictionary(name, value)
  const document = fc.dictionary(name, fc.oneof(value, table, fc.array(table)))
  const json = fc.oneof(document, value).map((written) => JSON.stringify(written))
  const words = fc.constantFrom(
    ...['[', ']', '"', "'", '=', '\n', '#', '{', '}', ',', '.', '1', '\\', '"""'],
    ...['upstream', 'server', 'name', 'true'],
  )
  const text = fc.oneof(
    json,
    fc.string({ unit: 'binary' }),
    fc.array(words).map((parts) => parts.join('')),
  )
  const variable = fc.constantFrom(...listKnownKeys().map((key) => key.variable), 'WEIR_', 'WEIR_X')
  const env = fc.dictionary(variable, text)
  const dir = t.testdir()
  const property = fc.asyncProperty(
    text,
    fc.constantFrom('toml', 'json'),
    env,
    async (written, extension, variables) => {
      const configFile = join(dir, `weir.${extension}`)
      await writeFile(configFile, written)
      try {
        await loadSettings({ env: variables, configFile, homeDir: '/home/ada', cores: 4 })
      } catch (error) {
        if (!(error instanceof SettingsError)) throw error
        if (error.problems.length === 0) throw new Error('no explanation', { cause: error })
      }
    },
  )
  await fc.assert(property, { seed: SEED, numRuns: 200 })
})

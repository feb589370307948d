import { z } from 'zod'
import { blocksField } from './block-field.ts'
import {
  choiceField,
  durationField,
  flagField,
  pathField,
  sizeField,
  textField,
  wholeNumberField,
} from './fields.ts'
import { logLevels } from './log-level.ts'
import { minFreeField } from './min-free.ts'
import { parseProxy, PROXY_ALLOWED } from './proxy-field.ts'
import { rulesField } from './rule-schema.ts'
import { publicKeysField } from './public-key-field.ts'
import { section } from './section.ts'
import { serverField } from './server-schema.ts'
import { parseTracesEndpoint, TRACES_ALLOWED } from './traces-endpoint.ts'
import { upstreamsField } from './upstream-schema.ts'

const cache = section(
  'cache',
  'Where NARs are kept; the folder is a Nix binary cache of its own.',
  {
    dir: pathField()
      .optional()
      .describe('The folder of the cache. Without it: `$XDG_CACHE_HOME/weir`, or `~/.cache/weir`.'),
    max_size: sizeField(1)
      .prefault('20GiB')
      .describe(
        'How much the cache may take on disk; what was used longest ago goes first, and what is pinned stays.',
      ),
    low_watermark: wholeNumberField(1, 100)
      .prefault(95)
      .describe('Once above `max_size`, NARs go until so many percent of it are left.'),
    min_free: minFreeField()
      .prefault('auto')
      .describe(
        'What is to stay free of the file system, whoever fills it: a size, or a part such as `5%`. `auto` is 1GiB, and 5% of small file systems.',
      ),
  },
)

const state = section('state', 'What cannot be fetched again.', {
  dir: pathField()
    .optional()
    .describe(
      'The folder of the signing key, of what was recalled and served, and of the catalog. Without it: `$XDG_STATE_HOME/weir`, or `~/.local/state/weir`.',
    ),
})

const signing = section('signing', "Weir's own signature.", {
  mode: choiceField(['add', 'replace', 'keep'])
    .prefault('add')
    .describe(
      "`add` Weir's signature to the upstreams', `replace` theirs by it, or `keep` theirs alone.",
    ),
  key_file: pathField()
    .optional()
    .describe(
      "The file of Weir's secret key, made on first start. Without it: `signing-key` in `state.dir`.",
    ),
})

const nar = section('nar', 'How NARs are fetched, checked and kept.', {
  verify_first: sizeField(0)
    .prefault('16MiB')
    .describe(
      'NARs up to this size are verified as a whole before their first byte is sent (with `encoding = "upstream"`: held against the FileHash).',
    ),
  encoding: choiceField(['zstd', 'upstream'])
    .prefault('zstd')
    .describe(
      '`zstd`: NARs are made into zstd on their way, four times as fast for clients as xz. `upstream`: they pass as they come and are verified afterwards, for machines with little CPU and a fast network.',
    ),
  zstd_level: wholeNumberField(1, 19)
    .prefault(1)
    .describe('How hard kept NARs are compressed; higher is smaller and much slower.'),
  workers: wholeNumberField(1, 256)
    .optional()
    .describe('Threads that decompress and verify. Without it: one a core, at most 8.'),
  max_transfers: wholeNumberField(1, 10_000)
    .prefault(24)
    .describe('How many NARs are fetched from upstreams at the same time.'),
  read_ahead: wholeNumberField(0, 1000)
    .prefault(4)
    .describe(
      'How many NARs are fetched before they are asked for: those of the narinfos that a client got, once it fetches NARs. 0: none.',
    ),
  max_nar_size: sizeField(1)
    .prefault('64GiB')
    .describe('A NAR that is larger than this is refused.'),
})

const timeouts = section('timeouts', 'How long an upstream may take.', {
  connect: durationField(1).prefault('5s').describe('To accept a connection, TLS included.'),
  headers: durationField(1).prefault('10s').describe("From a request to its answer's headers."),
  idle: durationField(1).prefault('30s').describe('Between two pieces of an answer.'),
  narinfo: durationField(1)
    .prefault('10s')
    .describe('For a whole narinfo, connection and retries included.'),
})

const network = section('network', 'How the upstreams are reached.', {
  mode: choiceField(['online', 'offline'])
    .prefault('online')
    .describe('`offline` asks nobody: what is not stored is not there.'),
  proxy: textField(PROXY_ALLOWED, parseProxy)
    .prefault('environment')
    .describe(
      'The HTTP proxy before the upstreams: `environment` goes by https_proxy, http_proxy, all_proxy and no_proxy as curl does, `none` by no proxy, or its URL.',
    ),
  ca_file: pathField()
    .optional()
    .describe('Certificates (PEM) of further authorities that may vouch for upstreams.'),
  netrc_file: pathField()
    .optional()
    .describe('A netrc with the names and passwords for upstreams, as Nix reads it.'),
})

const log = section('log', 'What Weir says of its work.', {
  level: choiceField(logLevels).prefault('info').describe('The least severe event that is logged.'),
  format: choiceField(['auto', 'json', 'pretty'])
    .prefault('auto')
    .describe('`json`, `pretty`, or `auto`: pretty on a terminal, JSON elsewhere.'),
})

const traces = section('traces', 'Where OpenTelemetry traces of requests are sent.', {
  endpoint: textField(TRACES_ALLOWED, parseTracesEndpoint)
    .optional()
    .describe(
      'The OTLP address of a collector: `http://localhost:4318/v1/traces`. Without it nothing is traced. The variables OTEL_EXPORTER_OTLP_… say how else it is reached.',
    ),
  sample: wholeNumberField(0, 100)
    .prefault(100)
    .describe(
      'How many in a hundred requests are traced; one with a `traceparent` is traced as that says.',
    ),
})

const policy = section('policy', 'What holds where no rule says otherwise.', {
  unmatched: choiceField(['allow', 'deny'])
    .prefault('allow')
    .describe('What becomes of a path that no rule matches; only `deny` bounds whole closures.'),
  enforce: flagField()
    .prefault(true)
    .describe('`false` only reports what would be refused: it is served, and not signed by Weir.'),
  realisations: flagField().prefault(false).describe('Whether signed realisations are handed on.'),
})

const imports = section('import', 'The upstream of what is in the cache without a record.', {
  keys: publicKeysField()
    .prefault([])
    .describe('Public keys that may vouch for stored files that came without a record.'),
})

/** The whole configuration as it is written, in TOML or JSON: the one source of checks, defaults, JSON schema and documentation. */
export const documentSchema = z.strictObject(
  {
    server: serverField,
    cache,
    state,
    signing,
    nar,
    timeouts,
    network,
    log,
    traces,
    policy,
    import: imports,
    upstream: upstreamsField,
    rule: rulesField,
    block: blocksField,
  },
  { error: 'one table of sections, such as [server]' },
)

/** A configuration that has been checked key by key, not yet as a whole; paths are as written. */
export type SettingsDocument = z.output<typeof documentSchema>

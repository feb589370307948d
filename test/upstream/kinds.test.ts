import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import * as nodeFiles from 'node:fs/promises'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { brotliCompressSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { type Upstream, UpstreamError } from '../../src/ports/upstream.ts'
import { parseS3Url } from '../../src/settings/s3-url.ts'
import { createFileUpstream } from '../../src/upstream/file/file-upstream.ts'
import type { FileSystem } from '../../src/upstream/file/find-file.ts'
import { openUpstream } from '../../src/upstream/open-upstream.ts'
import { createS3Credentials, loadAwsCredentials } from '../../src/upstream/s3/s3-credentials.ts'
import { reachOfS3Url } from '../../src/upstream/s3/s3-reach.ts'
import { createS3Upstream, type S3World } from '../../src/upstream/s3/s3-upstream.ts'
import {
  bytesOf,
  type CacheUnderTest,
  codeOf,
  upstreamContract,
} from '../contracts/upstream-contract.ts'
import {
  refuse,
  type SigV4Options,
  type SigV4Server,
  startSigV4Server,
} from '../fakes/sigv4-server.ts'
import { plainUpstream } from '../fakes/upstream-options.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { pathHash } from '../nix/fixtures.ts'

const hash = pathHash('05fkk8iijk1kq5cpqwnfcnh5yks8nj4m')
const absent = pathHash('15fkk8iijk1kq5cpqwnfcnh5yks8nj4m')
const patient = new AbortController().signal

/* Each kind keeps the contract. */

type Folder = CacheUnderTest & { readonly dir: string }

async function openFolder(t: Test, files?: FileSystem): Promise<Folder> {
  const dir = join(workFolder(t), 'a cache')
  await mkdir(dir)
  const options = plainUpstream({ url: pathToFileURL(dir).href, headersMs: 10_000, idleMs: 10_000 })
  return {
    dir,
    upstream: files === undefined ? openUpstream(options) : createFileUpstream(options, files),
    put: async (path, content) => {
      await mkdir(dirname(join(dir, path)), { recursive: true })
      await writeFile(join(dir, path), content)
    },
    // What is left of a file system that is not mounted.
    vanish: async () => {
      await rename(dir, `${dir}.mounted`)
      await mkdir(dir)
    },
  }
}

async function openServer(t: Test): Promise<CacheUnderTest> {
  const files = new Map<string, Uint8Array | string>()
  const server = createServer((request, response) => {
    const file = files.get(decodeURIComponent(request.url ?? ''))
    response.on('error', () => undefined)
    response.writeHead(file === undefined ? 404 : 200).end(file)
  })
  server.listen({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  const vanish = async (): Promise<void> => {
    if (!server.listening) return
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
  t.teardown(vanish)
  const { port } = server.address() as AddressInfo
  return {
    upstream: openUpstream(plainUpstream({ url: `http://127.0.0.1:${port}` })),
    put: (path, content) => Promise.resolve(void files.set(`/${path}`, content)),
    vanish,
  }
}

upstreamContract(t, 'http', openServer)
upstreamContract(t, 'file', (t) => openFolder(t))

/* Folders. */

t.test('a folder that is not there says nothing of what it has', async (t) => {
  const { upstream, dir } = await openFolder(t)
  await rm(dir, { recursive: true })
  t.equal(await codeOf(upstream.narinfo(hash, patient)), 'connect')
  t.equal(await codeOf(upstream.cacheInfo(patient)), 'connect')
})

t.test('a folder with narinfos and no nix-cache-info is a cache', async (t) => {
  const { upstream, put } = await openFolder(t)
  t.equal(await codeOf(upstream.narinfo(absent, patient)), 'connect')
  await put(`${hash}.narinfo`, 'StorePath: …\n')
  t.equal(await upstream.narinfo(absent, patient), null)
  t.equal(await upstream.cacheInfo(patient), null)
})

t.test('a folder that is mounted while it is asked says nothing of what it has', async (t) => {
  let mount = (): Promise<void> => Promise.resolve()
  const files: FileSystem = {
    ...nodeFiles,
    lstat: (async (path: string) => {
      await mount()
      return nodeFiles.lstat(path)
    }) as typeof nodeFiles.lstat,
  }
  const { upstream, put, dir } = await openFolder(t, files)
  await put('nix-cache-info', 'StoreDir: /nix/store\n')
  await rename(dir, `${dir}.later`)
  await mkdir(dir)
  mount = async () => {
    mount = () => Promise.resolve()
    await rename(dir, `${dir}.before`)
    await rename(`${dir}.later`, dir)
  }
  t.equal(await codeOf(upstream.narinfo(absent, patient)), 'connect')
  t.equal(await upstream.narinfo(absent, patient), null)
})

t.test('links are followed inside the folder, and refused where they lead out', async (t) => {
  const { upstream, put, dir } = await openFolder(t)
  await put('nix-cache-info', 'StoreDir: /nix/store\n')
  await put('nar/real', 'inside')
  await writeFile(`${dir}-secret`, 'outside')
  await symlink('real', join(dir, 'nar/inside'))
  await symlink(`${dir}-secret`, join(dir, 'nar/outside'))
  await symlink('/', join(dir, 'top'))
  await symlink('nowhere', join(dir, 'nar/dangling'))
  await symlink('../unmounted', join(dir, 'far'))
  t.equal(String(await bytesOf(await upstream.nar('nar/inside', patient))), 'inside')
  t.equal(await codeOf(upstream.nar('nar/outside', patient)), 'url-refused')
  t.equal(await codeOf(upstream.nar('top/etc/passwd', patient)), 'url-refused')
  t.equal(await codeOf(upstream.nar('top/nowhere', patient)), 'url-refused')
  t.equal(await codeOf(upstream.nar('nar/dangling', patient)), 'connect')
  t.equal(await codeOf(upstream.nar('far/x', patient)), 'connect')
})

t.test('what is no regular file is refused, and a pipe not waited for', async (t) => {
  const { upstream, dir, put } = await openFolder(t)
  await put('nar/a file', 'in it')
  execFileSync('mkfifo', [join(dir, `${hash}.narinfo`)])
  t.equal(await codeOf(upstream.narinfo(hash, patient)), 'url-refused')
  t.equal(await codeOf(upstream.nar('nar', patient)), 'url-refused')
  t.equal(await codeOf(upstream.nar('nar/', patient)), 'url-refused')
  t.equal(await codeOf(upstream.nar('nar/%00', patient)), 'url-refused')
  t.equal(await codeOf(upstream.nar('nar/%ff', patient)), 'url-refused')
  t.equal(await codeOf(upstream.nar('nar/a%20file?x', patient)), 'url-refused')
  t.equal(String(await bytesOf(await upstream.nar('nar/a%20file', patient))), 'in it')
})

t.test('a file that fails to be read is not absent', async (t) => {
  for (const code of ['EIO', 'EACCES', 'ESTALE', 'ENOTDIR', 'ELOOP']) {
    const failing: FileSystem = {
      ...nodeFiles,
      open: () => Promise.reject(Object.assign(new Error(code), { code })),
    }
    const { upstream, put } = await openFolder(t, failing)
    await put(`${hash}.narinfo`, 'StorePath: …\n')
    t.equal(await codeOf(upstream.narinfo(hash, patient)), 'connect', code)
  }
})

t.test('a file that became shorter while it was read is a reset', async (t) => {
  const { upstream, put, dir } = await openFolder(t)
  await put('nar/x', Buffer.alloc(1_000_000))
  const body = await upstream.nar('nar/x', patient)
  await writeFile(join(dir, 'nar/x'), 'short')
  t.equal(await codeOf(bytesOf(body)), 'reset')
})

t.test(
  'a mount that does not answer is a timeout, and what it gives too late is closed',
  async (t) => {
    // A call that really hangs keeps the process alive.
    const alive = setInterval(() => undefined, 60_000)
    t.teardown(() => {
      clearInterval(alive)
    })
    const late = Promise.withResolvers<undefined>()
    const closed = Promise.withResolvers<undefined>()
    const hanging: FileSystem = {
      ...nodeFiles,
      open: async (...args) => {
        await late.promise
        const handle = await nodeFiles.open(...args)
        const close = handle.close.bind(handle)
        handle.close = async () => {
          await close()
          closed.resolve(undefined)
        }
        return handle
      },
    }
    const { dir, put } = await openFolder(t)
    await put(`${hash}.narinfo`, 'StorePath: …\n')
    const upstream: Upstream = createFileUpstream(
      plainUpstream({ url: pathToFileURL(dir).href, headersMs: 30 }),
      hanging,
    )
    const asked = Array.from({ length: 5 }, () => codeOf(upstream.narinfo(hash, patient)))
    t.strictSame(await Promise.all(asked), Array(5).fill('timeout'))
    late.resolve(undefined)
    await closed.promise
    t.equal(String(await upstream.narinfo(hash, patient)), 'StorePath: …\n', 'it is back')
  },
)

const noProc = process.platform !== 'linux' && 'this machine has no /proc'
t.test('a body that is given up, read or not, leaves no file open', { skip: noProc }, async (t) => {
  const open = async (): Promise<number> => {
    const links = await nodeFiles.readdir('/proc/self/fd')
    const targets = await Promise.all(
      links.map((link) => nodeFiles.readlink(`/proc/self/fd/${link}`).catch(() => '')),
    )
    return targets.filter((target) => target.endsWith('nar/x')).length
  }
  const { upstream, put } = await openFolder(t)
  await put('nar/x', Buffer.alloc(1_000_000))
  const leaving = new AbortController()
  const unread = await upstream.nar('nar/x', leaving.signal)
  t.ok(unread)
  for await (const chunk of (await upstream.nar('nar/x', patient)) ?? []) {
    t.ok(chunk.length > 0)
    break
  }
  t.ok((await open()) > 0)
  leaving.abort()
  while ((await open()) > 0) await new Promise(setImmediate)
  t.equal(await open(), 0)
})

/* S3. */

const identity = { accessKeyId: 'AKIAWEIR', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+secret' }
const bucketOptions = { bucket: 'acme-cache', region: 'eu-west-1', ...identity }

type Instead = NonNullable<SigV4Options['instead']>
type Bucket = SigV4Server & { readonly upstream: Upstream }
type BucketChanges = {
  readonly server?: Partial<SigV4Options>
  readonly world?: Partial<S3World>
  readonly query?: string
  readonly redirectHosts?: readonly string[]
  readonly absentOn403?: boolean
}

async function openBucket(t: Test, changes: BucketChanges = {}): Promise<Bucket> {
  const { world = {}, query = '', redirectHosts = [], absentOn403 = false } = changes
  const server = await startSigV4Server({ ...bucketOptions, ...changes.server })
  t.teardown(() => server[Symbol.asyncDispose]())
  const endpoint = query.includes('endpoint=') ? '' : `&endpoint=127.0.0.1:${server.port}`
  const url = `s3://acme-cache?region=eu-west-1&scheme=http${endpoint}${query.replace('PORT', String(server.port))}`
  const upstream = createS3Upstream(plainUpstream({ url, redirectHosts, absentOn403 }), {
    load: () => Promise.resolve(identity),
    nowMs: Date.now,
    ...world,
  })
  t.teardown(() => void upstream.close())
  return { ...server, upstream }
}

async function messageOf(action: Promise<unknown>): Promise<string> {
  return action.then(
    () => 'no error',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )
}

upstreamContract(t, 's3', async (t) => {
  const bucket = await openBucket(t)
  return {
    upstream: bucket.upstream,
    put: (path, content) => Promise.resolve(void bucket.objects.set(path, content)),
    vanish: () => Promise.resolve(bucket[Symbol.asyncDispose]()),
  }
})

t.test(
  'a bucket is asked at its own host where the URL says so, with a session token',
  async (t) => {
    const sessionToken = 'a/session+token=='
    const { upstream, objects, requests, port } = await openBucket(t, {
      server: { sessionToken },
      query: '&endpoint=s3.example.test:PORT&addressing-style=virtual',
      world: {
        load: () => Promise.resolve({ ...identity, sessionToken }),
        lookup: (_name, _options, callback) => {
          callback(null, [{ address: '127.0.0.1', family: 4 }])
        },
      },
    })
    objects.set('nar/a+b (1)!*.nar', 'the NAR')
    const body = await bytesOf(await upstream.nar('nar/a+b (1)!*.nar', patient))
    t.equal(String(body), 'the NAR')
    t.equal(requests[0]?.url, '/nar/a%2Bb%20%281%29%21%2A.nar')
    t.equal(requests[0]?.headers.host, `acme-cache.s3.example.test:${port}`)
  },
)

t.test('a public bucket is asked without a signature where there are no credentials', async (t) => {
  const world = { load: () => Promise.resolve(null) }
  const open = await openBucket(t, { server: { isPublic: true }, world })
  open.objects.set('nix-cache-info', 'StoreDir: /nix/store\n')
  t.equal(String(await open.upstream.cacheInfo(patient)), 'StoreDir: /nix/store\n')
  t.equal(open.requests[0]?.headers.authorization, undefined)
  const closed = await openBucket(t, { world })
  t.match(await messageOf(closed.upstream.cacheInfo(patient)), 'asked without credentials')
})

t.test('what S3 refuses is not absent, and says what to do', async (t) => {
  const wrong: S3World['load'] = () => Promise.resolve({ ...identity, secretAccessKey: 'wrong' })
  const cases: readonly (readonly [BucketChanges, string])[] = [
    [{ world: { load: wrong } }, 'status 403 (SignatureDoesNotMatch): the credentials are wrong'],
    [{ server: { accessKeyId: 'other' } }, '(InvalidAccessKeyId): the credentials are wrong'],
    [{ server: { region: 'us-east-1' } }, '(AuthorizationHeaderMalformed)'],
    [{ world: { nowMs: () => Date.now() - 3_600_000 } }, "this machine's clock is wrong"],
    [{ server: { bucket: 'another' } }, 'status 404 (NoSuchBucket)'],
    [
      { server: { instead: (_, response) => (refuse(response, 403, 'AccessDenied'), true) } },
      'only who may list the bucket (s3:ListBucket) is told which',
    ],
    [
      {
        server: {
          instead: (_, response) => {
            response.setHeader('x-amz-bucket-region', 'ap-south-1')
            refuse(response, 301, 'PermanentRedirect')
            return true
          },
        },
      },
      'is the bucket in the region ap-south-1? The URL says so with region=ap-south-1',
    ],
    [
      { server: { instead: (_, response) => (refuse(response, 503, 'SlowDown'), true) } },
      'status 503',
    ],
  ]
  for (const [changes, message] of cases) {
    const { upstream } = await openBucket(t, changes)
    t.equal(await codeOf(upstream.narinfo(hash, patient)), 'status', message)
    const told = await messageOf(upstream.narinfo(hash, patient))
    t.ok(told.includes(message), told)
    t.notMatch(told, identity.secretAccessKey)
  }
})

t.test('where 403 is to mean absent, only what S3 denies is', async (t) => {
  const said: readonly (readonly [string, boolean])[] = [
    ['AccessDenied', true],
    ['SignatureDoesNotMatch', false],
    ['ExpiredToken', false],
  ]
  for (const [code, isAbsent] of said) {
    const instead: Instead = (_, response) => (refuse(response, 403, code), true)
    const { upstream } = await openBucket(t, { server: { instead }, absentOn403: true })
    const asked = upstream.narinfo(hash, patient)
    if (isAbsent) t.equal(await asked, null, code)
    else t.equal(await codeOf(asked), 'status', code)
  }
})

t.test('a 404 that is no error of S3 is an absence', async (t) => {
  const instead: Instead = (_, response) => (response.writeHead(404).end('x'), true)
  const { upstream } = await openBucket(t, { server: { instead } })
  t.equal(await upstream.narinfo(hash, patient), null)
})

t.test('a narinfo that Nix stored compressed is decoded', async (t) => {
  const { upstream, objects, headersOf } = await openBucket(t)
  objects.set(`${hash}.narinfo`, brotliCompressSync('StorePath: …\n'))
  headersOf.set(`${hash}.narinfo`, { 'content-encoding': 'br' })
  t.equal(String(await upstream.narinfo(hash, patient)), 'StorePath: …\n')
})

t.test(
  'a redirect is signed anew inside the bucket, and never takes a signature out of it',
  async (t) => {
    const elsewhere = await startSigV4Server({ ...bucketOptions, isPublic: true })
    t.teardown(() => elsewhere[Symbol.asyncDispose]())
    elsewhere.objects.set('moved', 'elsewhere')
    const leadTo =
      (location: string): Instead =>
      (request, response) => {
        if (request.url?.endsWith('/nar/x') !== true) return false
        response.writeHead(307, { location }).end()
        return true
      }
    const inside = await openBucket(t, { server: { instead: leadTo('/acme-cache/moved') } })
    inside.objects.set('moved', 'inside')
    t.equal(String(await bytesOf(await inside.upstream.nar('nar/x', patient))), 'inside')
    const away = { instead: leadTo(`http://127.0.0.1:${elsewhere.port}/acme-cache/moved`) }
    const outside = await openBucket(t, { server: away })
    t.equal(await codeOf(outside.upstream.nar('nar/x', patient)), 'redirect-refused')
    const other = await openBucket(t, { server: { instead: leadTo('/other-bucket/moved') } })
    t.equal(await codeOf(other.upstream.nar('nar/x', patient)), 'redirect-refused')
    t.strictSame(elsewhere.requests, [])
    const named = await openBucket(t, {
      server: away,
      redirectHosts: [`127.0.0.1:${elsewhere.port}`],
    })
    t.equal(String(await bytesOf(await named.upstream.nar('nar/x', patient))), 'elsewhere')
    t.equal(elsewhere.requests[0]?.headers.authorization, undefined)
    t.equal(await codeOf(named.upstream.nar('nar/x?acl', patient)), 'redirect-refused')
  },
)

t.test('AWS may lead to the region of the bucket, and nowhere else', (t) => {
  const address = parseS3Url('s3://acme-cache?region=us-east-1')
  const reach = (url: string): unknown => {
    try {
      return reachOfS3Url(new URL(url), address, [])?.region
    } catch (error) {
      return error instanceof UpstreamError ? error.code : error
    }
  }
  t.equal(reach('https://acme-cache.s3.us-east-1.amazonaws.com/x'), 'us-east-1')
  t.equal(reach('https://acme-cache.s3.eu-west-1.amazonaws.com/x'), 'eu-west-1')
  t.equal(reach('https://acme-cache.s3-eu-west-1.amazonaws.com/x'), 'eu-west-1')
  t.equal(reach('https://acme-cache.s3.amazonaws.com/x'), 'us-east-1')
  t.equal(reach('https://s3.eu-west-1.amazonaws.com/acme-cache/x'), 'eu-west-1')
  for (const url of [
    'https://other.s3.eu-west-1.amazonaws.com/x',
    'https://s3.eu-west-1.amazonaws.com/other/x',
    'https://acme-cache.s3.eu-west-1.amazonaws.com:8443/x',
    'http://acme-cache.s3.eu-west-1.amazonaws.com/x',
    'https://acme-cache.s3.eu-west-1.amazonaws.com.example/x',
    'https://acme-cache.s3.evil.amazonaws.com/x',
    'https://acme-cache.s3.us-east-1.amazonaws.com/x?acl',
  ]) {
    t.equal(reach(url), 'redirect-refused', url)
  }
  t.end()
})

t.test('credentials are renewed before they end, while the old ones are used', async (t) => {
  let now = 0
  let loads = 0
  let fails = false
  const load: S3World['load'] = () => {
    loads += 1
    if (fails) return Promise.reject(new Error('the secret is hunter2'))
    const expiration = new Date(now + 3_600_000)
    return Promise.resolve({ ...identity, accessKeyId: `key-${loads}`, expiration })
  }
  const credentials = createS3Credentials('weir', load, () => now)
  const keyNow = async (): Promise<string | undefined> => (await credentials(patient))?.accessKeyId
  t.strictSame(await Promise.all([keyNow(), keyNow()]), ['key-1', 'key-1'], 'looked up once')
  now = 54 * 60_000
  t.equal(await keyNow(), 'key-1')
  now = 56 * 60_000
  t.equal(await keyNow(), 'key-1', 'it is still good while the next is looked up')
  await new Promise(setImmediate)
  t.equal(await keyNow(), 'key-2')
  fails = true
  now += 58 * 60_000
  t.equal(await keyNow(), 'key-2')
  await new Promise(setImmediate)
  t.equal(await keyNow(), 'key-2', 'what cannot be renewed is used to its end')
  now += 3 * 60_000
  t.equal(await codeOf(keyNow()), 'credentials')
  t.notMatch(await messageOf(keyNow()), 'hunter2')
  fails = false
  t.match(await keyNow(), /^key-/)
})

t.test('who never answers is asked for credentials again', async (t) => {
  let loads = 0
  const load: S3World['load'] = () => {
    loads += 1
    return loads === 1 ? new Promise(() => undefined) : Promise.resolve(identity)
  }
  const credentials = createS3Credentials('weir', load, () => 0, { maxLoadMs: 20 })
  // A timer of AbortSignal.timeout keeps no process alive.
  const awake = setInterval(() => undefined, 1000)
  t.teardown(() => {
    clearInterval(awake)
  })
  t.equal(await codeOf(credentials(AbortSignal.timeout(5000))), 'credentials')
  t.match(await credentials(patient), identity)
})

t.test('a profile that is not there is no reason to ask without credentials', async (t) => {
  const { upstream, requests } = await openBucket(t, {
    server: { isPublic: true },
    query: '&profile=not-there',
    world: { load: loadAwsCredentials },
  })
  t.equal(await codeOf(upstream.cacheInfo(patient)), 'credentials')
  t.match(await messageOf(upstream.cacheInfo(patient)), 'credentials of the profile "not-there"')
  t.strictSame(requests, [])
})

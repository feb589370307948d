import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import * as nodeFiles from 'node:fs/promises'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import type { Upstream } from '../../src/ports/upstream.ts'
import { createFileUpstream } from '../../src/upstream/file-upstream.ts'
import type { FileSystem } from '../../src/upstream/find-file.ts'
import { openUpstream } from '../../src/upstream/open-upstream.ts'
import {
  bytesOf,
  type CacheUnderTest,
  codeOf,
  upstreamContract,
} from '../contracts/upstream-contract.ts'
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

import { existsSync } from 'node:fs'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import t from 'tap'
import { parseStorePath } from '../../src/nix/store-path.ts'
import { weir as runWeir } from '../cli/run-weir.ts'
import { must, storeDir } from '../nix/fixtures.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { reloadWeir } from '../lab/ask-weir.ts'
import { rawGet, type RawResponse } from '../lab/raw-client.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { startWeir } from '../lab/weir-process.ts'

t.setTimeout(240_000)
const lab = await prepareLab()
const upstream = await startUpstream({ root: lab.caches.xz })
const client = await createNixClient({ lab })
t.teardown(async () => {
  await client[Symbol.asyncDispose]()
  await upstream.close()
})

const { top, dep, wide } = lab.paths
const hashOf = (path: string) => must(parseStorePath(path, storeDir)).hash
const fromUpstream = (path: string) => readFile(join(lab.caches.xz, `${hashOf(path)}.ls`))

/** A configuration; in a changed one a rule refuses `top`. */
function configOf({ isTopRefused = false } = {}) {
  const rule = { name: 'nobody has top', packages: ['top'], from: ['lab'], signed_by: ['no-1'] }
  const keys = [lab.publicKey, 'no-1:mB9FSh9qf2dCimDSUo8Zy7bkq5CX+/rkCWyvRCYg3Fs=']
  return {
    upstreams: [{ name: 'lab', url: upstream.url, keys }],
    extra: isTopRefused ? { rule: [rule] } : {},
  }
}

const textOf = ({ body }: RawResponse) => body.toString()

t.test('what is stored has a listing, and weir looks into it', async (t) => {
  await using weir = await startWeir({ config: configOf() })
  const { url, configFile } = weir
  const listing = (path: string, method = 'GET') => rawGet(`${url}/${hashOf(path)}.ls`, { method })
  const cli = (...args: readonly string[]) => runWeir(...args, '--config', configFile)
  const narFile = async (path: string) => {
    const { body } = await rawGet(`${url}/${hashOf(path)}.narinfo`)
    return join(weir.cacheDir, /^URL: (.*)$/m.exec(body.toString())?.[1] ?? '')
  }

  await t.test(
    'before anybody fetched it, there is none, and none is fetched for it',
    async (t) => {
      const answer = await listing(top)
      t.equal(answer.status, 404)
      t.equal(textOf(answer), 'this path is not stored here: fetch its NAR, and it has a listing\n')
      t.equal((await listing(top, 'HEAD')).status, 404)
      const { code, stderr } = await cli('tree', top)
      t.equal(code, 1)
      t.match(stderr, `weir: ${hashOf(top)} is not stored: have a client fetch it`)
      t.notOk(
        upstream.requests.some(({ path }) => path.includes('.ls') || path.startsWith('/nar/')),
      )
    },
  )

  const realised = await client.realise([top, wide], { substituters: [url] })
  t.equal(realised.code, 0, realised.stderr)
  // A client has a NAR before it is on disk.
  for (const path of [top, dep, wide]) {
    await weir.waitForLog('nar.stored', ({ nar }) => String(nar).startsWith(hashOf(path)))
  }

  await t.test('it is the one that Nix made, byte for byte, of each path', async (t) => {
    for (const path of [top, dep, wide]) {
      const answer = await listing(path)
      t.match(answer, {
        status: 200,
        headers: {
          'content-type': 'application/json',
          'x-weir-verdict': 'trusted',
          'x-weir-upstream': 'lab',
        },
      })
      t.equal(textOf(answer), (await fromUpstream(path)).toString(), path)
      const head = await listing(path, 'HEAD')
      t.match(head, { status: 200, length: 0 })
      t.equal(Number(head.headers['content-length']), answer.length)
    }
    const all = await Promise.all(Array.from({ length: 20 }, () => listing(top)))
    t.equal(new Set(all.map(({ status, sha256 }) => `${status} ${sha256}`)).size, 1)
    t.notOk(
      upstream.requests.some(({ path }) => path.includes('.ls')),
      'no upstream was asked for it',
    )
  })

  await t.test('the real client lists the same', async (t) => {
    const listed = await client.run(['nix', 'store', 'ls', '--json', '-R', '--store', url, top])
    t.equal(listed.code, 0, listed.stderr)
    const { root } = JSON.parse(textOf(await listing(top))) as { readonly root: unknown }
    t.same(root, JSON.parse(listed.stdout))
  })

  await t.test('weir tree shows it, a part of it, and the file itself', async (t) => {
    const { code, stdout } = await cli('tree', top)
    t.equal(code, 0)
    t.match(stdout, /^dr-xr-xr-x +0 \.\ndr-xr-xr-x +0 \.\/bin\n-r-xr-xr-x +19 \.\/bin\/top\n/)
    t.match(stdout, `lrwxrwxrwx    0 ./link -> ${dep}/dep\n`)
    t.equal(
      (await cli('tree', `${basename(top)}/bin/`)).stdout,
      'dr-xr-xr-x  0 .\n-r-xr-xr-x 19 ./top\n',
    )
    t.equal((await cli('tree', `${hashOf(top)}/link`)).stdout, `lrwxrwxrwx 0 . -> ${dep}/dep\n`)
    t.equal((await cli('tree', top, '--json')).stdout, `${textOf(await listing(top))}\n`)
    t.match(JSON.parse((await cli('tree', `${top}/bin`, '--json')).stdout), {
      version: 1,
      root: { entries: { top: { size: 19, executable: true } } },
    })
  })

  await t.test('weir cat prints its files', async (t) => {
    t.equal((await cli('cat', `${top}/bin/top`)).stdout, '#!/bin/sh\necho top\n')
    t.equal((await cli('cat', `${top}/empty`)).stdout, '')
    t.equal((await cli('cat', `${top}/references`)).stdout, `${dep} ${top}\n`)
    const digests = await readFile(`${client.storeDir}${top}/digests`, 'utf8')
    t.ok((await cli('cat', `${top}/digests`)).stdout === digests)
    for (const [operand, message] of [
      [`${top}/bin/tpo`, `there is no tpo in ${top}/bin; did you mean top?`],
      [`${top}/nothing`, `there is no nothing in ${top}\n`],
      [`${top}/bin`, `${top}/bin is a directory: weir tree lists it`],
      [`${top}/empty/x`, `${top}/empty is not a directory`],
      [`${top}/link`, `${top}/link leads out of this path: to ${dep}/dep`],
      [`${hashOf(top)}-other/bin/top`, `is not stored: ${hashOf(top)} is ${basename(top)}`],
    ] as const) {
      const { code, stdout, stderr } = await cli('cat', operand)
      t.same([code, stdout], [1, ''], operand)
      t.match(stderr, message)
    }
    for (const operands of [['/etc/passwd'], [], [top, top]]) {
      t.equal((await cli('cat', ...operands)).code, 2)
    }
  })

  await t.test('a file that was damaged on disk gives no listing, and goes', async (t) => {
    const file = await narFile(wide)
    const bytes = await readFile(file)
    await reloadWeir(weir, configOf({ isTopRefused: true })) // what was listed is forgotten
    bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 0xff
    await writeFile(file, bytes)
    t.equal((await listing(wide)).status, 404)
    await weir.waitForLog('nar.damaged')
    t.notOk(existsSync(file))
    const depFile = await narFile(dep)
    await truncate(depFile, 30)
    t.equal((await listing(dep)).status, 404)
    t.notOk(existsSync(depFile))
  })

  await t.test('a path that the policy refuses now has none, nor has weir cat', async (t) => {
    const answer = await listing(top)
    t.match(answer, {
      status: 404,
      headers: { 'x-weir-verdict': 'refused', 'x-weir-reason': 'no-trusted-signature' },
    })
    t.match(textOf(answer), /^refused: lab: no-trusted-signature, rule "nobody has top"/)
    const { code, stderr } = await cli('cat', `${top}/bin/top`)
    t.equal(code, 1)
    t.match(
      stderr,
      `${hashOf(top)} is stored and not trusted: weir explain ${hashOf(top)} says why`,
    )
    await reloadWeir(weir, configOf())
    t.equal((await listing(top)).status, 200)
  })

  await t.test('of a Weir that is stopped, its folders are read', async (t) => {
    const { stdout: before } = await cli('tree', top)
    await weir.stop()
    t.equal((await cli('cat', `${top}/bin/top`)).stdout, '#!/bin/sh\necho top\n')
    t.equal((await cli('tree', top)).stdout, before)
    const { code, stderr } = await cli('tree', wide)
    t.equal(code, 1)
    t.match(stderr, `${hashOf(wide)} is not stored`)
  })
})

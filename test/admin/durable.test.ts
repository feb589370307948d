/** What an operator takes back and what cannot be written down: it holds on, in the policy as in memory. */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Block } from '../../src/policy/block.ts'
import { createAdminWorld } from '../fakes/admin-world.ts'
import { patternNar } from '../fakes/encode-nar.ts'
import type { Tap } from '../fakes/substituter-world.ts'
import { claimFor, upstreamWith } from '../fakes/test-claims.ts'

const hello = claimFor(patternNar)
const hash = hello.key.storePathHash
const recall: Block = { blocked: { kind: 'hash', hash }, reason: 'recalled' }

const made = (t: Tap) => createAdminWorld(t, { upstreams: [upstreamWith('a', hello)] })

/** From now on the file cannot be replaced: a folder is in its place. */
async function obstruct(dir: string, name: string): Promise<void> {
  await rm(join(dir, name))
  await mkdir(join(dir, name, 'in-the-way'), { recursive: true })
}

/** The file can be written again. */
const clear = (dir: string, name: string) => rm(join(dir, name), { recursive: true })

t.test('a resume that cannot be written leaves the upstream suspended', async (t) => {
  const { admin, live, dir, suspensions, substituter, evidence } = await made(t)
  await admin.suspend('a', 'it lied')
  await obstruct(dir, 'suspended.json')
  const resumed = admin.resume('a')
  // Something else changes in the meantime.
  live.refresh()
  await t.rejects(resumed)
  t.same([...live.current().suspended], ['a'])
  t.same([...suspensions.names()], ['a'])
  t.match(admin.upstreams(), [{ upstream: 'a', suspended: 'it lied' }])
  t.equal((await substituter.narinfo(hash)).kind, 'absent')
  t.notOk(evidence.events.some(({ kind }) => kind === 'upstream-resumed'))
  await clear(dir, 'suspended.json')
  t.ok(await admin.resume('a'))
  t.same([...live.current().suspended], [])
  t.equal((await substituter.narinfo(hash)).kind, 'found')
})

t.test('a lift that cannot be written leaves the recall', async (t) => {
  const { admin, live, dir, substituter, evidence } = await made(t)
  await admin.recall(recall)
  await obstruct(dir, 'recalls.toml')
  const lifted = admin.lift(recall)
  // Something else changes in the meantime.
  live.refresh()
  await t.rejects(lifted)
  t.same(live.current().blocks, [recall])
  t.same(admin.recalls(), [recall])
  t.equal((await substituter.narinfo(hash)).kind, 'absent')
  t.notOk(evidence.events.some(({ kind }) => kind === 'recall-lifted'))
  await clear(dir, 'recalls.toml')
  t.ok(await admin.lift(recall))
  t.same(live.current().blocks, [])
  t.equal((await substituter.narinfo(hash)).kind, 'found')
})

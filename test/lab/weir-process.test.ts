import { join } from 'node:path'
import t from 'tap'
import { weirConfig } from './weir-config.ts'
import { startWeir } from './weir-process.ts'

// Stands in for Weir: says what it was started with, and ends as told.
const dir = t.testdir({
  'fake.ts': `
    import { readFileSync } from 'node:fs'
    import { createServer } from 'node:http'
    const say = (record: object) => { console.error(JSON.stringify(record)) }
    const [, , ...args] = process.argv
    say({ event: 'started', args, toml: readFileSync(args[2] ?? '', 'utf8'), lab: process.env['LAB'] })
    if (process.env['FAIL'] === '1') { console.error('not today'); process.exit(3) }
    const server = createServer((request, response) => { response.end('hello') })
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      say({ event: 'server.listening', url: 'http://127.0.0.1:' + port })
    })
    process.on('SIGTERM', () => { say({ event: 'stopping' }); process.exit(7) })
  `,
})
const main = join(dir, 'fake.ts')
const upstreams = [{ name: 'lab', url: 'http://127.0.0.1:1', keys: ['lab.test-1:AA=='] }]

t.test('a process is started, watched and stopped', async (t) => {
  const env = { LAB: 'yes' }
  await using weir = await startWeir({ main, env, config: { upstreams } })
  t.equal(await (await fetch(weir.url)).text(), 'hello')
  const started = await weir.waitForLog('started')
  t.match(started, { args: ['serve', '--config', weir.configFile], lab: 'yes' })
  const { cacheDir, stateDir } = weir
  t.equal(started['toml'], weirConfig({ upstreams, cacheDir, stateDir }))
  t.ok((await weir.rssBytes()) > 1_000_000)
  t.ok((await weir.peakRssBytes()) >= (await weir.rssBytes()) / 2)
  t.equal(await weir.stop(), 7)
  t.ok(await weir.waitForLog('stopping'))
  await t.rejects(weir.waitForLog('never'), /ended \(7\) without "never"/)
})

t.test('a process can be killed', async (t) => {
  await using weir = await startWeir({ main, config: 'a = 1\n' })
  await weir.kill()
  await t.rejects(fetch(weir.url))
  await t.rejects(weir.waitForLog('never'), /SIGKILL/)
})

t.test('a process that does not start rejects with what it said', async (t) => {
  const env = { FAIL: '1' }
  await t.rejects(startWeir({ main, env, config: { upstreams } }), /ended \(3\)[^]*not today/)
})

t.test('the configuration is TOML, and more settings are merged by table', async (t) => {
  const extra = { log: { level: 'info' }, limits: { requests: 3 } }
  const toml = weirConfig({ cacheDir: '/c', stateDir: '/s "x"', upstreams, extra })
  t.match(toml, /^\[state\]\ndir = "\/s \\"x\\""$/m)
  t.match(toml, /^\[log\]\nlevel = "info"\nformat = "json"$/m)
  t.match(toml, /^\[limits\]\nrequests = 3$/m)
  t.match(toml, /^\[\[upstream\]\]\nname = "lab"\nurl = .*\nkeys = \[ "lab.test-1:AA==" \]$/m)
})

import { readFile, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import { lockFolder } from '../../src/state/folder-lock.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { weirConfig } from '../lab/weir-config.ts'
import { startWeir } from '../lab/weir-process.ts'
import { spawnWeir, weir } from './run-weir.ts'

t.setTimeout(120_000)
const lab = await prepareLab()
const dir = workFolder(t)
const [cacheDir, stateDir] = [join(dir, 'cache'), join(dir, 'state')]
const upstream = await startUpstream({ root: lab.caches.xz })
const other = await startUpstream({ root: lab.caches.zstd })
t.teardown(() => Promise.all([upstream.close(), other.close()]))

const otherKey = 'other-1:mB9FSh9qf2dCimDSUo8Zy7bkq5CX+/rkCWyvRCYg3Fs='
const top = basename(lab.paths.top)
const dep = basename(lab.paths.dep)
const hashOf = (path: string) => path.slice(0, 32)

/** A configuration with a rule for `dep`, and more tables. */
function config(...tables: readonly string[]): string {
  const upstreams = [
    { name: 'lab', url: upstream.url, keys: [lab.publicKey] },
    { name: 'other', url: other.url, keys: [otherKey], optional: true },
  ]
  const rule = '[[rule]]\nname = "only other has dep"\npaths = ["dep"]\nfrom = ["other"]\n'
  return [weirConfig({ cacheDir, stateDir, upstreams }), rule, ...tables].join('\n')
}

const topFromOther = '[[rule]]\nname = "only other has top"\npaths = ["top"]\nfrom = ["other"]\n'

/** Fetches a path as a client does; the status of its narinfo. */
async function fetchPath(url: string, path: string): Promise<number> {
  const narinfo = await fetch(`${url}/${hashOf(path)}.narinfo`)
  const nar = /^URL: (.*)$/m.exec(await narinfo.text())?.[1]
  if (nar !== undefined) await (await fetch(`${url}/${nar}`)).arrayBuffer()
  return narinfo.status
}

/** What a command prints; it must end well. */
async function out(t: Test, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await weir(...args)
  t.equal(code, 0, `${args.join(' ')}: ${stderr}`)
  return stdout
}

t.test('a SIGHUP that comes as soon as Weir says that it listens reloads it', async (t) => {
  await using running = await startWeir({ config: config() })
  process.kill(running.pid, 'SIGHUP')
  await t.resolves(running.waitForLog('settings.reloaded'))
  t.equal(await running.stop(), 0)
})

t.test('a running Weir is asked, told, and tried against another policy', async (t) => {
  await using running = await startWeir({ config: config() })
  const { url, configFile } = running
  const using = ['--config', configFile]
  const write = (...tables: readonly string[]) => writeFile(configFile, config(...tables))
  t.equal(await fetchPath(url, top), 200)

  await t.test('its status has its policy', async (t) => {
    const text = await out(t, 'status', ...using)
    t.match(text, /^policy +enforced, 1 rule, 0 recalls, epoch [0-9a-f]{16}$/m)
    t.match(text, /^suspended +none$/m)
    t.match(await out(t, 'policy', 'show', ...using), ': the running Weir has this policy\n')
    t.match(
      await out(t, 'check', ...using),
      /^ {2}policy: 1 rule, what none matches is allowed; 0 /m,
    )
  })

  await t.test('it explains what it served, to whom, and why', async (t) => {
    const { code, stdout } = await spawnWeir('explain', `/nix/store/${top}`, ...using)
    t.equal(code, 0)
    const [title, verdict] = stdout.split('\n')
    t.strictSame(
      [title, verdict?.startsWith('  TRUSTED: lab has it, signed by lab.test-1')],
      [top, true],
    )
    t.match(
      stdout,
      /^ {2}lab +trusted\n +says +\S+-top\n +NAR +sha256:\S+\n +6856 bytes, 2 references$/m,
    )
    t.match(stdout, /^ +signature +lab\.test-1: valid, and this key may vouch here$/m)
    t.match(stdout, /^ +signature +lab\.test-1: valid, but this key may not vouch here$/m)
    t.match(stdout, /^Rule\n {2}none matches its name/m)
    t.match(stdout, new RegExp(`^  127\\.0\\.0\\.1 +${top} +\\S+Z +\\S+Z +1$`, 'm'))
    t.notMatch(stdout, '\u001b')
    const json: unknown = JSON.parse(await out(t, 'explain', hashOf(top), '--json', ...using))
    t.match(json, {
      path: top,
      verdict: 'trusted',
      upstream: 'lab',
      served: [{ client: '127.0.0.1' }],
    })
    const live = await out(t, 'explain', top, '--live', ...using)
    t.match(live, 'Upstreams, asked just now\n')
    t.match(live, `References that would be refused\n  ${dep}: `)
    const refused = await out(t, 'explain', `/nix/store/${dep}/bin/dep`, '--live', ...using)
    t.match(refused, /^ {2}REFUSED: lab: upstream-not-allowed; other: no-trusted-signature/m)
    t.match(refused, 'Rule\n  only other has dep\n  from other; ')
  })

  await t.test('another policy is tried without it: it serves on as before', async (t) => {
    await write(topFromOther)
    const tried = await out(t, 'explain', top, ...using)
    t.match(
      tried.replaceAll('\n', ' '),
      `what ${configFile} would decide; the running Weir has another policy`,
    )
    t.match(tried, /^ {2}REFUSED: lab: upstream-not-allowed/m)
    t.match(tried, 'Rule\n  only other has top\n')
    t.match(await out(t, 'policy', 'show', ...using), 'the running Weir has another policy')
    t.equal(await fetchPath(url, top), 200)
  })

  await t.test('a reload takes it up, and says what changed', async (t) => {
    const { code, stdout } = await spawnWeir('reload', ...using)
    t.equal(code, 0)
    t.match(stdout, /^reloaded: the policy changed, its epoch is [0-9a-f]{16} now\n$/)
    t.equal(await fetchPath(url, top), 404)
    t.match(await out(t, 'reload', ...using), /^reloaded: the policy is the same, epoch/)
    const env = config(topFromOther).replace('[server]\n', '[server]\npriority = 7\n')
    await writeFile(
      configFile,
      env.replace('optional = true', 'optional = true\ninsecure_unsigned = true'),
    )
    const restart = await out(t, 'reload', ...using)
    t.match(restart, 'changed, and taken up only by a restart: server.priority\n')
    t.match(restart, /^warning: The upstream "other" is insecure_unsigned/m)
  })

  await t.test('a wrong configuration is refused, and the old one stays', async (t) => {
    await write('[[rule]]\nname = "x"\npaths = ["x"]\nfrom = ["labb"]\n')
    const wrong = await weir('reload', ...using)
    t.equal(wrong.code, 1)
    t.match(wrong.stderr, 'rule[1].from[0]: found "labb", which is no upstream')
    t.match(wrong.stderr, 'the old one stays')
    // What only the running Weir can see: its own key's name with other bytes.
    const own = (await (await fetch(`${url}/public-key`)).text()).split(':')[0] ?? ''
    await writeFile(configFile, config().replace('other-1:', `${own}:`))
    const taken = await weir('reload', ...using)
    t.equal(taken.code, 1)
    t.match(taken.stderr, "with other bytes than Weir's own key of that name")
    t.match(taken.stderr, 'The running Weir did not take it: the configuration that it has stays.')
    await write()
    await out(t, 'reload', ...using)
    t.equal(await fetchPath(url, top), 200)
  })

  await t.test('an upstream is suspended and resumed', async (t) => {
    const suspended = await out(
      t,
      'upstream',
      'suspend',
      'lab',
      '--why',
      'it was broken into',
      ...using,
    )
    t.equal(suspended, 'lab: suspended: nothing that it says counts\n')
    t.equal(await fetchPath(url, top), 404)
    t.match(await out(t, 'upstream', 'suspend', 'lab', ...using), 'was suspended already')
    const list = await out(t, 'upstream', 'list', ...using)
    t.match(list, /^lab +suspended +\d{4}-\S+Z +it was broken into$/m)
    t.match(list, /^other +in use$/m)
    t.match(await out(t, 'status', ...using), /^suspended +lab$/m)
    t.match(await out(t, 'policy', 'show', ...using), /^ {2}lab +0 +SUSPENDED +lab\.test-1$/m)
    t.equal(await out(t, 'upstream', 'resume', 'lab', ...using), 'lab: in use again\n')
    t.equal(await out(t, 'upstream', 'resume', 'lab', ...using), 'lab: was not suspended\n')
    const unknown = await weir('upstream', 'suspend', 'labb', ...using)
    t.strictSame(unknown, {
      code: 1,
      stdout: '',
      stderr: 'weir: there is no upstream "labb": there are lab, other\n',
    })
    t.equal(await fetchPath(url, top), 200)
  })

  await t.test(
    'a recall removes what is stored, lists who got it, and can be lifted',
    async (t) => {
      const subject = ['recall', '--package', 'top', ...using]
      const { code, stdout } = await spawnWeir(...subject, '--reason', 'a back door')
      t.equal(code, 0)
      t.match(
        stdout,
        /^recalled: package top: a back door\nremoved from the cache: 1 NAR, 0\.0 MiB\n1 client got it from here:\n\nCLIENT /,
      )
      t.match(stdout, new RegExp(`^127\\.0\\.0\\.1 +${top} +\\S+Z +\\S+Z +\\d+$`, 'm'))
      t.equal(await fetchPath(url, top), 404)
      const again: unknown = JSON.parse(await out(t, ...subject, '--reason', 'x', '--json'))
      t.match(again, {
        recalled: 'package top',
        isNew: false,
        purgedNars: 0,
        served: [{ path: top }],
      })
      t.match(
        await out(t, 'recall', '--list', ...using),
        /^package top +weir recall +a back door$/m,
      )
      t.match(await out(t, 'explain', top, '--live', ...using), 'REFUSED: lab: blocked')
      t.equal(await out(t, ...subject, '--lift'), 'package top: not recalled any more\n')
      const none = await weir(...subject, '--lift')
      t.equal(none.code, 1)
      t.match(none.stderr, 'there is no such recall')
      t.equal(await fetchPath(url, top), 200)
    },
  )
  t.equal(await running.stop(), 0)
})

t.test(
  'where no Weir runs, a recall is made all the same, and holds from the next start',
  async (t) => {
    const configFile = join(dir, 'weir.toml')
    await writeFile(configFile, config())
    const using = ['--config', configFile]
    const nars = await out(t, 'explain', top, ...using)
    t.match(
      nars.replaceAll('\n', ' '),
      `what ${configFile} would decide; no Weir runs on ${stateDir}`,
    )
    t.match(nars, /^ {2}TRUSTED: lab has it/m)

    using locks = new DisposableStack()
    locks.use(lockFolder(cacheDir))
    const locked = await weir('recall', `/nix/store/${top}`, '--reason', 'x', ...using)
    t.strictSame([locked.code, locked.stdout], [1, ''])
    t.match(locked.stderr, `another weir uses ${cacheDir}`)
    locks.dispose()

    const recalled = await spawnWeir(
      'recall',
      `/nix/store/${top}`,
      '--reason',
      'a back door',
      ...using,
    )
    t.equal(recalled.code, 0, recalled.stderr)
    t.match(
      recalled.stdout,
      'no Weir runs: it holds from the next start\nremoved from the cache: 1 NAR',
    )
    t.match(recalled.stdout, new RegExp(`^127\\.0\\.0\\.1 +${top} `, 'm'))
    t.equal((await stat(join(stateDir, 'recalls.toml'))).mode & 0o777, 0o600)
    t.match(await readFile(join(stateDir, 'recalls.toml'), 'utf8'), `path = "${top}"`)
    t.match(
      await out(t, 'recall', '--list', ...using),
      new RegExp(`^${top} +weir recall +a back door$`, 'm'),
    )

    await using running = await startWeir({ config: config() })
    t.equal(await fetchPath(running.url, top), 404)
    t.equal(await running.stop(), 0)
    t.equal(await out(t, 'recall', '--lift', top, ...using), `${top}: not recalled any more\n`)
    t.equal(await out(t, 'recall', '--list', ...using), 'nothing is recalled\n')
  },
)

t.test('a path that nobody has is explained by the name that was asked for', async (t) => {
  const configFile = join(dir, 'weir.toml')
  const hash = '0c7c9q1f6v7d3kmxz5s2w8bh4jrny0pl'
  const named = await out(t, 'explain', `${hash}-dep`, '--config', configFile)
  t.match(named, `${hash}-dep\n  ABSENT: nobody is known to have it\n`)
  t.match(named, 'Rule\n  only other has dep\n')
  const bare = await out(t, 'explain', hash, '--config', configFile)
  t.match(bare, `${hash}\n  ABSENT: `)
  t.match(bare, 'Rule\n  nobody says what its name is\n')
})

t.test('explaining offline makes no folder', async (t) => {
  const configFile = join(dir, 'fresh.toml')
  const fresh = join(dir, 'fresh')
  await writeFile(configFile, config().replaceAll(dir, fresh))
  t.match(await out(t, 'explain', hashOf(top), '--config', configFile), 'TRUSTED')
  await t.rejects(stat(fresh), { code: 'ENOENT' })
})

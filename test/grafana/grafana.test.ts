import { readdir, readFile, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { z } from 'zod'
import { dashboards, formatDashboard } from '../../grafana/source/dashboards.ts'
import { runCommand } from '../lab/run-command.ts'
import { createTally } from '../soak/tally.ts'
import { programOf, prometheusDir } from './prometheus.ts'
import { tryDashboards } from './try-dashboards.ts'

t.setTimeout(120_000)
const repository = resolve(import.meta.dirname, '../..')
const read = (path: string) => readFile(join(repository, path), 'utf8')

t.test('the dashboards are those that their descriptions make', async (t) => {
  const folder = 'grafana/dashboards'
  for (const dashboard of dashboards) {
    const text = await read(join(folder, `${dashboard.uid}.json`))
    t.equal(text, formatDashboard(dashboard), `${dashboard.uid}: node scripts/write-dashboards.ts`)
  }
  t.equal((await readdir(join(repository, folder))).length, dashboards.length)
})

const layout = z.object({
  uid: z.string(),
  // Grafana gives each dashboard a number of its own.
  id: z.undefined().optional(),
  panels: z.array(
    z.object({
      id: z.int(),
      type: z.string(),
      title: z.string().min(1),
      description: z.string().default(''),
      gridPos: z.object({ x: z.int(), y: z.int(), w: z.int(), h: z.int() }),
    }),
  ),
})

t.test('each panel says what it shows, and stands in no other one', async (t) => {
  for (const { json } of dashboards) {
    const { uid, panels } = layout.parse(json)
    t.equal(new Set(panels.map(({ id }) => id)).size, panels.length, `${uid}: numbers`)
    const taken = new Set<string>()
    for (const { type, title, description, gridPos } of panels) {
      if (type !== 'row' && type !== 'text') t.ok(description.length > 20, `${uid}: ${title}`)
      const { x, y, w, h } = gridPos
      t.ok(x + w <= 24, `${uid}: ${title} fits`)
      for (let cell = 0; cell < w * h; cell += 1) {
        const at = `${x + (cell % w)} ${y + Math.floor(cell / w)}`
        if (taken.has(at)) t.fail(`${uid}: ${title} stands in another panel`)
        taken.add(at)
      }
    }
  }
})

t.test('promtool finds nothing wrong, and each alert fires when it should alone', async (t) => {
  const promtool = await programOf('promtool')
  const commands = [
    ['check', 'rules', 'rules.yml'],
    ['check', 'config', 'prometheus.yml'],
    ['test', 'rules', 'rules.test.yml'],
  ]
  for (const command of commands) {
    const { code, stdout, stderr } = await runCommand(promtool, command, { cwd: prometheusDir })
    t.equal(code, 0, `promtool ${command.join(' ')}\n${stdout}${stderr}`)
  }
})

const rule = z.object({
  alert: z.string(),
  labels: z.object({ severity: z.enum(['critical', 'warning', 'info']) }),
  annotations: z.object({ summary: z.string(), description: z.string(), runbook_url: z.string() }),
})
const ruleFile = z.object({ groups: z.array(z.object({ rules: z.array(rule) })) })
const unitTests = z.object({
  tests: z.array(
    z.object({
      alert_rule_test: z.array(
        z.object({ alertname: z.string(), exp_alerts: z.array(z.unknown()).optional() }),
      ),
    }),
  ),
})

t.test('each alert has a runbook, and is tested to fire and not to', async (t) => {
  const { groups } = ruleFile.parse(parse(await read('grafana/prometheus/rules.yml')))
  const runbooks = await read('docs/monitoring.md')
  const cases = unitTests
    .parse(parse(await read('grafana/prometheus/rules.test.yml')))
    .tests.flatMap(({ alert_rule_test: tests }) => tests)
  const alerts = groups.flatMap(({ rules }) => rules)
  for (const { alert, annotations } of alerts) {
    t.equal(annotations.runbook_url, `docs/monitoring.md#${alert.toLowerCase()}`)
    t.ok(runbooks.includes(`\n### ${alert}\n`), `${alert} has a runbook`)
    const own = cases.filter(({ alertname }) => alertname === alert)
    t.ok(
      own.some(({ exp_alerts: fires }) => fires !== undefined),
      `${alert} is seen to fire`,
    )
  }
  const headings = [...runbooks.matchAll(/^### (Weir\w+)$/gm)].map(([, name]) => name)
  t.same(
    headings,
    alerts.map(({ alert }) => alert),
    'and each runbook an alert',
  )
})

const compose = z.object({
  services: z.record(
    z.string(),
    z.object({
      build: z.object({ context: z.string(), dockerfile: z.string() }).optional(),
      volumes: z.array(z.string()),
      ports: z.array(z.string()),
    }),
  ),
  volumes: z.record(z.string(), z.null()),
})

t.test('compose.yaml names files that there are, and listens on loopback alone', async (t) => {
  const { services, volumes } = compose.parse(parse(await read('compose.yaml')))
  t.same(Object.keys(services), ['weir', 'prometheus', 'grafana'])
  for (const { build, volumes: mounts, ports } of Object.values(services)) {
    if (build) await t.resolves(stat(join(repository, build.context, build.dockerfile)))
    for (const mount of mounts) {
      const [source = ''] = mount.split(':')
      if (source.startsWith('.')) await t.resolves(stat(join(repository, source)), source)
      else t.equal(volumes[source], null, `${source} is a volume`)
    }
    for (const port of ports) t.match(port, /^127\.0\.0\.1:/)
  }
  const provider = parse(await read('grafana/provisioning/dashboards/weir.yml')) as unknown
  const folder = '/var/lib/grafana/dashboards'
  t.match(provider, { apiVersion: 1, providers: [{ type: 'file', options: { path: folder } }] })
  t.ok(services['grafana']?.volumes.includes(`./grafana/dashboards:${folder}:ro`))
  const sources = parse(await read('grafana/provisioning/datasources/prometheus.yml')) as unknown
  t.match(sources, {
    datasources: [{ type: 'prometheus', url: 'http://prometheus:9090', isDefault: true }],
  })
})

t.test(
  'a Prometheus that scrapes loaded Weirs has an answer to every question of every dashboard',
  async (t) => {
    const tally = createTally()
    await tryDashboards({ seconds: 2, tally })
    t.same(tally.failures, [])
    t.comment(tally.counts())
  },
)

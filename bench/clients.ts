/**
 * A real client substitutes a closure: straight from an upstream in xz, through nginx's proxy_cache and through Weir, each with an
 * empty and with a full cache, in turn. Everything runs on this machine, so that the ratios count, not the seconds.
 * With --relay the upstream is 100 Mbit/s and 20 ms away; with --lab the closure is that of the end-to-end tests.
 * Run: npm run bench clients -- [--rounds N] [--lab] [--relay] [--max-jobs N] [--json FILE]
 */
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { type Goal, formatReport } from './clients/report.ts'
import { runRound, type Sample } from './clients/round.ts'
import { labClosure, prepareClosure, standardClosure } from './closure/closure.ts'
import { startNginx } from './nginx.ts'
import { type Relay, startRelay, standardLink } from './relay.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    lab: { type: 'boolean', default: false },
    relay: { type: 'boolean', default: false },
    'max-jobs': { type: 'string' },
    json: { type: 'string' },
  },
})

const localGoals: readonly Goal[] = [
  { of: 'warm weir', over: 'warm nginx', atMost: 0.25 },
  { of: 'cold weir', over: 'straight', atMost: 1.5 },
]
const relayGoals: readonly Goal[] = [{ of: 'cold weir', over: 'straight', atMost: 1.05 }]

const closure = values.lab ? await labClosure() : await prepareClosure(standardClosure)
await using upstream = await startNginx({ kind: 'static', root: closure.cacheDir })
await using relay: Relay | null = values.relay
  ? await startRelay({ ...standardLink, targetPort: upstream.port })
  : null
const options = {
  ...{ closure, upstream, warm: relay === null, weirSettings: {} },
  upstreamPort: relay?.port ?? upstream.port,
  maxJobs: values['max-jobs'] === undefined ? null : Number(values['max-jobs']),
}
console.log(`${closure.description}${relay === null ? '' : `; ${relay.description}`}`)
const samples: Sample[] = []
for (let round = 0; round < Number(values.rounds); round++) {
  samples.push(...(await runRound(options, round)))
  console.error(`round ${round + 1} of ${values.rounds} is done`)
}
console.log(formatReport(samples, relay === null ? localGoals : relayGoals))
if (values.json !== undefined) {
  await writeFile(values.json, JSON.stringify({ closure: closure.description, samples }, null, 1))
}

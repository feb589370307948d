import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { answerRealisation } from '../../src/http/routes/realisation-route.ts'
import { parseRoute } from '../../src/http/route.ts'
import { drvOutputFile } from '../../src/nix/drv-output.ts'
import type { RealisationAnswer, Realisations } from '../../src/substituter/realisations.ts'
import { rawGet } from '../lab/raw-client.ts'
import { topId, topRealisation } from '../nix/realisation-fixtures.ts'

const drv = '05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-hello-2.12.drv'
const hex = topId.slice('sha256:'.length, -'!out'.length)
const byHash = `/realisations/${topId}.doi`
const byPath = `/build-trace-v2/${drv}/out.doi`

/* Routes. */

for (const [target, file] of [
  [byHash, byHash],
  [`//realisations/${topId}.doi?x=!`, byHash],
  [`/realisations/sha256%3A${hex}%21out.doi`, byHash],
  [`/realisations/sha256%3a${hex}!out.doi`, byHash],
  [byPath, byPath],
  [`//build-trace-v2/${drv}/out.doi?x`, byPath],
] as const) {
  t.test(`${target} is a realisation`, async (t) => {
    const route = parseRoute(target)
    t.match(route, { kind: 'realisation' })
    t.equal(route.kind === 'realisation' && `/${drvOutputFile(route.output)}`, file)
  })
}

t.test('no other target is', async (t) => {
  for (const target of [
    '/realisations/',
    '/realisations/.doi',
    `/realisations/${topId}`,
    `/realisations/${topId}.doi/`,
    `/realisations/${topId}.DOI`,
    `/REALISATIONS/${topId}.doi`,
    `/x/realisations/${topId}.doi`,
    `/realisations//${topId}.doi`,
    `/realisations/../realisations/${topId}.doi`,
    `/realisations/%2e%2e/${topId}.doi`,
    `/realisations/sha256%253A${hex}!out.doi`,
    `/realisations/sha256%2F${hex}!out.doi`,
    `/realisations/${topId.replace('!', '%')}.doi`,
    `/realisations/${topId}%0a.doi`,
    `/realisations/${topId}\n.doi`,
    `/realisations/${topId.toUpperCase()}.doi`,
    `/realisations/${topId}/../x.doi`,
    '/realisations/sha256:0123!out.doi',
    `/build-trace-v2/${drv}.doi`,
    `/build-trace-v2/${drv}/.doi`,
    `/build-trace-v2/${drv}/../out.doi`,
    `/build-trace-v2/${drv}/a/b.doi`,
    `/build-trace-v2/../${drv}/out.doi`,
    `/build-trace-v2/${drv.replace('.drv', '')}/out.doi`,
    `/build-trace-v2/${topId}.doi`,
    `/build-trace/${drv}/out.doi`,
    `/${topId}.doi`,
    '/.doi',
    '.doi',
  ]) {
    t.strictSame(parseRoute(target), { kind: 'not-served' }, JSON.stringify(target))
  }
})

/* Answers. */

/** The routes of realisations alone, before upstreams that say so. */
async function serve(t: Test, answer: RealisationAnswer) {
  const asked: string[] = []
  const realisations: Realisations = {
    find: async ({ id }) => {
      asked.push(id)
      return answer
    },
  }
  const server = createServer((request, response) => {
    const route = parseRoute(request.url ?? '')
    if (route.kind !== 'realisation') throw new Error('only realisations are asked for here')
    void answerRealisation(realisations, response, route.output, new AbortController().signal)
  })
  server.listen({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { asked, url: `http://127.0.0.1:${port}` }
}

type Row = {
  readonly answer: RealisationAnswer
  readonly status: number
  readonly verdict: string | undefined
  readonly body: string | RegExp
}

const path = '05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-hello-2.12'
const rows: Readonly<Record<string, Row>> = {
  'one that is trusted': {
    answer: { kind: 'found', body: topRealisation, upstream: 'nixos' },
    status: 200,
    verdict: 'trusted',
    body: topRealisation,
  },
  'one that nobody has': {
    answer: { kind: 'absent' },
    status: 404,
    verdict: 'absent',
    body: /^no upstream has/,
  },
  'one that is refused': {
    answer: {
      kind: 'refused',
      refusals: [
        { upstream: 'acme', reason: 'no-trusted-signature', path },
        { upstream: 'nixos', reason: 'blocked', path },
      ],
    },
    status: 404,
    verdict: 'refused',
    body: `refused: acme: no-trusted-signature (${path}); nixos: blocked (${path})\n`,
  },
  'one of which nobody could tell': {
    answer: { kind: 'unknown', why: 'nixos: timeout' },
    status: 503,
    verdict: 'unknown',
    body: 'could not tell: nixos: timeout\n',
  },
  'any, where they are not enabled': {
    answer: { kind: 'disabled' },
    status: 404,
    verdict: undefined,
    body: 'realisations are not enabled\n',
  },
}

for (const [what, { answer, status, verdict, body }] of Object.entries(rows)) {
  t.test(`${what} is answered ${status}`, async (t) => {
    const { asked, url } = await serve(t, answer)
    for (const target of [byHash, byPath]) {
      const got = await rawGet(`${url}${target}`)
      t.equal(got.status, status)
      t.equal(got.headers['x-weir-verdict'], verdict)
      t.match(got.body.toString(), body)
      const type = status === 200 ? 'application/json' : 'text/plain; charset=utf-8'
      t.equal(got.headers['content-type'], type)
      t.equal(got.headers['retry-after'] !== undefined, status === 503)
      const head = await rawGet(`${url}${target}`, { method: 'HEAD' })
      t.equal(head.status, status)
      t.equal(head.headers['content-length'], got.headers['content-length'])
      t.equal(head.body.length, 0)
    }
    t.strictSame(asked, [topId, topId, `${drv}^out`, `${drv}^out`])
  })
}

t.test('the upstream is named', async (t) => {
  const answer = { kind: 'found', body: topRealisation, upstream: 'nixos' } as const
  const { url } = await serve(t, answer)
  t.equal((await rawGet(`${url}${byHash}`)).headers['x-weir-upstream'], 'nixos')
})

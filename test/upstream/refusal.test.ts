/** Whose refusal of a connection it was: only an upstream's own says that its server may be being started anew. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { UpstreamError } from '../../src/ports/upstream.ts'
import { openUpstream } from '../../src/upstream/open-upstream.ts'
import type { UpstreamOptions } from '../../src/upstream/upstream-options.ts'
import { plainUpstream } from '../fakes/upstream-options.ts'

async function urlOf(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const gone = createServer()
const goneUrl = await urlOf(gone)
gone.close()
const front = createServer((request, response) => {
  const isMoved = request.url?.startsWith('/nar/moved') === true
  response.writeHead(isMoved ? 302 : 404, isMoved ? { location: `${goneUrl}/elsewhere` } : {})
  response.end()
})
const frontUrl = await urlOf(front)
t.teardown(() => front.close())

/** How the question for a NAR fails. */
async function failureOf(options: Partial<UpstreamOptions>, url = 'nar/x'): Promise<UpstreamError> {
  const upstream = openUpstream({ ...plainUpstream({ name: 'cache', url: goneUrl }), ...options })
  try {
    await upstream.nar(url, new AbortController().signal)
  } catch (error) {
    if (error instanceof UpstreamError) return error
    throw error
  } finally {
    await upstream.close()
  }
  throw new Error('it did not fail')
}

const cases = {
  'its own': [{}, 'nar/x', true],
  'that of a name which nobody knows': [{ url: 'http://cache.invalid' }, 'nar/x', false],
  'that of where a redirect leads': [{ url: frontUrl }, 'nar/moved', false],
  'a mirror’s': [{ url: frontUrl, mirrors: [goneUrl] }, 'nar/x', false],
} as const

for (const [whose, [options, url, isRefusal]] of Object.entries(cases)) {
  t.test(whose, async (t) => {
    const failure = await failureOf(options, url)
    t.same([failure.code, failure.isRefusal], ['connect', isRefusal])
  })
}

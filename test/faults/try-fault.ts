import { pathOf } from '../lab/forged-offer.ts'
import { mustHoldAll } from './must-hold-all.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient, type NixClient } from '../lab/nix-client.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'
import { authorityFile, certificates } from './certificates.ts'
import type { FaultCase } from './fault-case.ts'
import type { Command, FaultWorld } from './fault-world.ts'
import { createMovingName, type MovingName } from './moving-name.ts'
import { rememberedAbsences } from './remembered-absences.ts'
import { fewWords } from './few-words.ts'

/** What came of one command of the client. */
export type Outcome = {
  readonly isRight: boolean
  readonly ms: number
  /** What the client says where it fails. */
  readonly why: string
}

/** One row of the table: a fault, alone or beside a good upstream. */
export type FaultRow = {
  readonly fault: FaultCase
  readonly isAlone: boolean
  /** Without the fault; the first under it; the next one; that again once it is over, with what the client remembers. */
  readonly outcomes: Readonly<Record<'calm' | 'first' | 'later' | 'after', Outcome>>
  /** How many paths the client was told under the fault that are not there. */
  readonly absences: number
}

export type TryFaultOptions = {
  readonly world: FaultWorld
  readonly fault: FaultCase
  readonly isAlone: boolean
  /** Whether times are looked at: then everything is warm before the first that counts. */
  readonly isTimed: boolean
  /** More of Weir's settings. */
  readonly extra?: Readonly<Record<string, unknown>>
  /** More of the client's. */
  readonly clientOptions?: readonly string[]
}

/** A client whose command hangs is given up. */
const commandTimeoutMs = 150_000

/** Has a real client substitute through a Weir whose most preferred upstream fails in one way, before, under and after that. */
export async function tryFault(options: TryFaultOptions): Promise<FaultRow> {
  const { world, fault, isAlone, isTimed } = options
  const isTls = fault.reach === 'https'
  using name = createMovingName()
  await using upstream = await startUpstream({
    root: world.roots.failing,
    ...(isTls && { certificate: certificates.good }),
  })
  await using good = await startUpstream({ root: world.roots.good })
  const url = fault.reach === 'name' ? `http://${name.host}:${upstream.port}` : upstream.url
  const urls = isAlone ? [url] : [url, good.url]
  await using weir = await startBetween(options, name, urls)
  await using client = await createNixClient({ lab: await prepareLab(), publicKeys: world.keys })
  const run = (command: Command) => substitute(options, client, weir, command)
  if (isTimed) await run('start')
  const calm = await run('calm')
  const end = await fault.begin({ upstream, name })
  const first = await run('first')
  const later = await run('later')
  const absences = rememberedAbsences(client)
  await end()
  await client.forgetPaths()
  const after = await run('later')
  const again = await run('first')
  if (!again.isRight) return row({ calm, first, later, after: again })
  return row({ calm, first, later, after })

  function row(outcomes: FaultRow['outcomes']): FaultRow {
    return { ...{ fault, isAlone, outcomes, absences } }
  }
}

/** Weir between the client and the upstreams, the most preferred first. */
function startBetween(
  { world: { keys }, fault, extra = {} }: TryFaultOptions,
  name: MovingName,
  urls: readonly string[],
): Promise<WeirProcess> {
  const upstreams = urls.map((url, index) => ({ name: `upstream-${index + 1}`, url, keys }))
  return startWeir({
    config: { upstreams, extra: { nar: { verify_first: '400kB' }, ...extra } },
    timeoutMs: 120_000,
    env: {
      NODE_EXTRA_CA_CERTS: authorityFile,
      ...(fault.reach === 'name' && name.env),
    },
  })
}

async function substitute(
  { world, clientOptions = [] }: TryFaultOptions,
  client: NixClient,
  weir: WeirProcess,
  command: Command,
): Promise<Outcome> {
  const offers = world.closures[command]
  const began = performance.now()
  const { code, stderr } = await client.realise(offers.map(pathOf), {
    substituters: [weir.url],
    extraOptions: clientOptions,
    timeoutMs: commandTimeoutMs,
  })
  const ms = performance.now() - began
  if (code !== 0) return { isRight: false, ms, why: fewWords(stderr) }
  await mustHoldAll(client, offers)
  return { isRight: true, ms, why: '' }
}

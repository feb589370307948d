import { parseCacheInfo } from '../nix/cache-info.ts'
import { type Upstream, UpstreamError } from '../ports/upstream.ts'
import type { Settings, UpstreamSettings } from '../settings/settings.ts'
import { openUpstream } from '../upstream/open-upstream.ts'
import { upstreamOptions } from '../upstream/upstream-options.ts'
import { type Command, UsageError } from './command.ts'
import { count } from './words.ts'

/** `weir check` */
export const checkCommand: Command = {
  summary: 'check the configuration, and whether each upstream answers',
  help: `Loads the configuration and asks every upstream for its nix-cache-info, as the server would: in offline mode nobody.
Exit status 1 where the configuration is wrong, or an upstream that is not optional is of no use.`,
  operands: '',
  options: {},
  flags: {},
  async run({ world, version, operands, load }) {
    if (operands.length > 0) throw new UsageError('takes no operands')
    const { settings, source, warnings } = await load()
    world.out(`configuration: ${source}: good\n`)
    world.out(`  ${describePolicy(settings)}\n`)
    for (const warning of warnings) world.out(`  warning: ${warning}\n`)
    if (settings.network.mode === 'offline') {
      world.out('network.mode is offline: the upstreams are not asked\n')
      return 0
    }
    const findings = await Promise.all(
      settings.upstreams.map((upstream) => checkUpstream(upstream, settings, version)),
    )
    for (const { text } of findings) world.out(`${text}\n`)
    return findings.every(({ isUsable }) => isUsable) ? 0 : 1
  },
}

function describePolicy({ rules, blocks, policy }: Settings): string {
  const unmatched = policy.unmatched === 'allow' ? 'allowed' : 'refused'
  return `policy: ${count(rules.length, 'rule')}, what none matches is ${unmatched}; ${count(blocks.length, 'recall')}`
}

type Finding = { readonly text: string; readonly isUsable: boolean }

async function checkUpstream(
  upstream: UpstreamSettings,
  settings: Settings,
  version: string,
): Promise<Finding> {
  const name = `upstream ${upstream.name} (${upstream.url})`
  const client = openUpstream(upstreamOptions(upstream, settings, version))
  const problem = await findProblem(client, settings)
  await client.close()
  const keys =
    upstream.keys.length === 0
      ? '; without keys it gives only content-addressed paths'
      : `; may vouch: ${upstream.keys.map((key) => key.name).join(', ')}`
  if (problem === null) return { text: `${name}: answers${keys}`, isUsable: true }
  const note = upstream.optional ? ' (it is optional: Weir goes on without it)' : ''
  return { text: `${name}: ${problem}${note}`, isUsable: upstream.optional }
}

async function findProblem(
  upstream: Upstream,
  { server, timeouts }: Settings,
): Promise<string | null> {
  try {
    const bytes = await upstream.cacheInfo(AbortSignal.timeout(timeouts.narinfoMs))
    if (bytes === null) return 'has no nix-cache-info: is the URL a binary cache?'
    const info = parseCacheInfo(Buffer.from(bytes).toString('utf8'))
    if (info === null) return 'its nix-cache-info is malformed: is the URL a binary cache?'
    if (info.storeDir !== server.storeDir) {
      return `is for the store ${info.storeDir}, and Weir serves ${server.storeDir}`
    }
    return null
  } catch (error) {
    if (error instanceof UpstreamError) return `does not answer: ${error.message}`
    throw error
  }
}

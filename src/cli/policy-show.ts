import { askStatus } from '../control/control-client.ts'
import type { Policy } from '../policy/policy.ts'
import type { CommandInput } from './command.ts'
import { formatPolicy } from './format-policy.ts'
import { localPolicy } from './local-policy.ts'
import { plainPolicy } from '../admin/plain-policy.ts'

/** Prints the policy that a Weir would have that started now. */
export async function policyShow({ world, flags, load }: CommandInput): Promise<number> {
  const { settings, source } = await load()
  const local = await localPolicy(settings)
  const plain = plainPolicy(local)
  if (flags.has('json')) {
    world.out(`${JSON.stringify(plain, null, 2)}\n`)
    return 0
  }
  const running = await askStatus(settings.state.dir)
  const standing = standingOf(local.policy, running?.policy.epoch ?? null)
  world.out(`${source}: ${standing}\n\n`)
  world.out(formatPolicy(plain, { isVerbose: flags.has('verbose') }))
  return 0
}

function standingOf({ epoch }: Policy, running: string | null): string {
  if (running === null) return 'no Weir runs on its state folder'
  return running === epoch
    ? 'the running Weir has this policy'
    : `the running Weir has another policy, epoch ${running}: weir reload takes this one up`
}

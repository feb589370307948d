import type { ForgetReport } from '../admin/forget.ts'
import { askControl } from '../control/control-client.ts'
import type { Command } from './command.ts'
import { loadWithPaths } from './path-operand.ts'

/** `weir forget` */
export const forgetCommand: Command = {
  summary: 'have the upstreams asked anew for a path',
  help: `Forgets what the upstreams said of a path: that they do not have it (which is believed for their negative_ttl), or what they have.
The next request asks them anew: run it after a path was pushed, or replaced, behind Weir's back. What is stored stays, and so does every
recall. Where no Weir runs there is nothing to forget.

  weir forget /nix/store/<hash>-<name>      weir forget HASH HASH`,
  operands: 'PATH | HASH …',
  options: {},
  flags: {},
  async run({ world, operands, load }) {
    const { settings, paths } = await loadWithPaths({ operands, load })
    for (const { hash, name } of paths) {
      const report = await askControl<ForgetReport>(settings.state.dir, {
        ...{ method: 'POST', path: '/forget', query: { hash } },
      })
      if (report === null) {
        world.out(`no weir runs on ${settings.state.dir}: there is nothing to forget\n`)
        return 0
      }
      world.out(`${name === null ? hash : `${hash}-${name}`}: ${describe(report)}\n`)
    }
    return 0
  },
}

function describe({ absentAt, isRemembered, isDistrusted }: ForgetReport): string {
  const forgotten = [
    ...(absentAt.length > 0 ? [`that it is not at ${absentAt.join(', ')}`] : []),
    ...(isRemembered ? ['what upstreams said of it'] : []),
    ...(isDistrusted ? ['who gave a wrong NAR of it'] : []),
  ]
  return forgotten.length === 0
    ? 'nothing was remembered of it'
    : `forgotten: ${forgotten.join('; ')}`
}

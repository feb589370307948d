import { explainRule } from '../admin/explain-rule.ts'
import type { Explanation } from '../admin/explanation.ts'
import { askControl, askStatus } from '../control/control-client.ts'
import { explainOffline } from '../offline.ts'
import type { Policy } from '../policy/policy.ts'
import { ruleFor } from '../policy/rule.ts'
import { type Command, UsageError } from './command.ts'
import { createCommandLog } from './command-log.ts'
import { formatExplanation } from './format-explanation.ts'
import { localPolicy } from './local-policy.ts'
import { parsePathOperand, type PathOperand } from './path-operand.ts'

/** `weir explain` */
export const explainCommand: Command = {
  summary: 'say why a path is served, or is not, and who got it',
  help: `Prints the verdict on a store path and how it comes about: the rule, what each upstream says, each signature, what is stored,
which references would be refused, and who was given it.

A Weir that runs under the policy of this configuration is asked. Otherwise the configuration itself decides: its upstreams are
asked, and neither a running Weir nor any folder is touched. So a new policy can be tried before it is put into force:

  weir explain --config new.toml /nix/store/<hash>-<name>`,
  operands: 'PATH | HASH',
  options: {},
  flags: {
    live: 'ask the upstreams now, for the references too, whatever is remembered or stored',
    json: 'print JSON',
  },
  async run({ world, version, operands, flags, load }) {
    const [operand, ...more] = operands
    if (operand === undefined || more.length > 0) throw new UsageError('takes one path or hash')
    const { settings, source } = await load()
    const asked = parsePathOperand(operand, settings.server.storeDir)
    const { hash } = asked
    const { policy } = await localPolicy(settings)
    const running = await askStatus(settings.state.dir)
    const print = (explanation: Explanation, headline: string | null): number => {
      const isJson = flags.has('json')
      // Whoever reads the JSON is told beside it that nobody serves by this.
      if (isJson && headline !== null) world.err(`weir: ${headline}\n`)
      world.out(
        isJson
          ? `${JSON.stringify(explanation, null, 2)}\n`
          : formatExplanation(underAskedName(explanation, asked, policy), headline),
      )
      return 0
    }
    if (running?.policy.epoch === policy.epoch) {
      const query = flags.has('live') ? { hash, live: '' } : { hash }
      const request = { method: 'GET', path: '/explain', query } as const
      const explanation = await askControl<Explanation>(settings.state.dir, request)
      if (explanation !== null) return print(explanation, null)
    }
    const log = createCommandLog(world)
    const explanation = await explainOffline({ settings, policy, hash, version, log })
    const why =
      running === null
        ? `no Weir runs on ${settings.state.dir}`
        : `the running Weir has another policy (epoch ${running.policy.epoch}; weir reload takes this one up)`
    return print(explanation, `what ${source} would decide; ${why}`)
  },
}

/** Where nobody says what the path is called, the name that was asked for: its rule would decide. */
function underAskedName(
  explanation: Explanation,
  { hash, name }: PathOperand,
  { rules }: Policy,
): Explanation {
  if (explanation.path !== null || name === null) return explanation
  const rule = ruleFor(rules, name)
  return { ...explanation, path: `${hash}-${name}`, rule: rule && explainRule(rule) }
}

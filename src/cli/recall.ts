import type { RecallReport } from '../admin/recall.ts'
import { askControl } from '../control/control-client.ts'
import { openOffline } from '../offline.ts'
import type { Block } from '../policy/block.ts'
import { formatBlocks } from '../settings/block-schema.ts'
import type { Settings } from '../settings/settings.ts'
import { type CliWorld, type Command, type CommandInput, UsageError } from './command.ts'
import { createCommandLog } from './command-log.ts'
import { formatRecall } from './format-recall.ts'
import { listRecalls } from './list-recalls.ts'
import { readSubject, toBlock } from './recall-subject.ts'
import { describeBlocked } from '../admin/describe-blocked.ts'

/** `weir recall` */
export const recallCommand: Command = {
  summary: 'never serve something again, and say who got it',
  help: `Recalls a store path, a hash, a package (or some of its versions), a key or a NAR: from this moment nobody gets it, whoever
vouches for it. What is stored of it is removed, and everybody who ever got it is listed.

  weir recall --package xz --versions 5.6.0,5.6.1 --reason CVE-2024-3094
  weir recall /nix/store/<hash>-<name> --reason "built on a machine that was broken into"
  weir recall --list                     what is recalled
  weir recall --lift --package xz        takes the recall of exactly that back

A recall survives restarts. Where no Weir runs on the state folder it is made all the same, and holds from the next start.
A recall of a key is of its bytes: signatures by it never count again, whatever it is called.`,
  operands: '[PATH | HASH]',
  options: {
    package: 'a package, in place of a path',
    versions: 'only these versions of the package: V,V,…',
    key: 'a public key, NAME:BASE64',
    'nar-hash': 'the SHA-256 of a NAR, in any way that Nix writes it',
    reason: 'why: it is what those are told whose build it stops',
  },
  flags: {
    list: 'list the recalls instead',
    lift: 'take a recall back instead',
    json: 'print JSON',
  },
  async run(input) {
    const { world, options, flags, operands, load } = input
    if (flags.has('list')) {
      const others = Object.keys(options).filter((name) => name !== 'config')
      if (flags.has('lift') || operands.length > 0 || others.length > 0) {
        throw new UsageError('--list stands alone, or with --json')
      }
      const { settings } = await load()
      return listRecalls(world, settings, { isJson: flags.has('json') })
    }
    const subject = readSubject(input)
    const isLift = flags.has('lift')
    if (!isLift && (options['reason'] ?? '').trim() === '') {
      throw new UsageError('say --reason: it is what those are told whose build it stops')
    }
    const { settings } = await load()
    const block = toBlock(subject, options['reason'] ?? 'lifted', settings.server.storeDir)
    return isLift ? lift(world, settings, block) : recall(input, settings, block)
  },
}

async function recall(
  { world, flags }: CommandInput,
  settings: Settings,
  block: Block,
): Promise<number> {
  const body = formatBlocks([block])
  const request = { method: 'POST', path: '/recall', body } as const
  const asked = await askControl<RecallReport>(settings.state.dir, request)
  const report = asked ?? (await recallOffline(world, settings, block))
  if (flags.has('json')) {
    world.out(
      `${JSON.stringify({ recalled: describeBlocked(block.blocked), ...report }, null, 2)}\n`,
    )
  } else {
    world.out(formatRecall(block, report, { isRunning: asked !== null }))
  }
  return 0
}

async function recallOffline(
  world: CliWorld,
  settings: Settings,
  block: Block,
): Promise<RecallReport> {
  await using offline = await openOffline(settings, createCommandLog(world))
  return await offline.recall(block)
}

async function lift(world: CliWorld, settings: Settings, block: Block): Promise<number> {
  const body = formatBlocks([block])
  const request = { method: 'POST', path: '/lift', body } as const
  const asked = await askControl<{ readonly isLifted: boolean }>(settings.state.dir, request)
  const isLifted = asked?.isLifted ?? (await liftOffline(world, settings, block))
  const what = describeBlocked(block.blocked)
  if (isLifted) {
    world.out(`${what}: not recalled any more\n`)
    return 0
  }
  world.err(
    `weir: ${what}: there is no such recall; weir recall --list shows those that can be lifted, and what a configuration blocks is taken out of its file\n`,
  )
  return 1
}

async function liftOffline(world: CliWorld, settings: Settings, block: Block): Promise<boolean> {
  await using offline = await openOffline(settings, createCommandLog(world))
  return await offline.lift(block)
}

import { hostname } from 'node:os'
import { formatPublicKey, isKeyName, publicKeyOf } from '../nix/signature.ts'
import { defaultKeyName, makeSigningKey, readSigningKey } from '../state/signing-key.ts'
import { type Command, type CommandInput, UsageError } from './command.ts'

/** `weir key generate` and `weir key show` */
export const keyCommand: Command = {
  summary: "make Weir's signing key, or show its public half",
  help: `generate makes the key that Weir signs with, where there is none; weir serve does the same on its first start.
show prints the public key, as a client's trusted-public-keys wants it.`,
  operands: 'generate | show',
  options: { name: 'the name of a new key (default: weir.<host>-1)' },
  flags: {},
  async run(input) {
    const [action, ...more] = input.operands
    if (more.length > 0) throw new UsageError('takes one operand')
    if (action === 'generate') return generate(input)
    if (action === 'show') return show(input)
    throw new UsageError('say generate or show')
  },
}

async function generate({ world, options, load }: CommandInput): Promise<number> {
  const { settings } = await load()
  const { keyFile } = settings.signing
  const name = options['name'] ?? defaultKeyName(hostname())
  if (!isKeyName(name))
    throw new UsageError(`"${name}" is no key name: it may have no colon and no white space`)
  if ((await readSigningKey(keyFile)) !== null) {
    world.err(
      `weir: there is a key at ${keyFile} already: clients trust it, so move it away yourself if you mean to replace it\n`,
    )
    return 1
  }
  const key = await makeSigningKey(keyFile, name)
  world.err(`weir: made ${keyFile}\n`)
  world.out(`${formatPublicKey(publicKeyOf(key))}\n`)
  return 0
}

async function show({ world, load }: CommandInput): Promise<number> {
  const { settings } = await load()
  const { keyFile } = settings.signing
  const key = await readSigningKey(keyFile)
  if (key === null) {
    world.err(`weir: there is no key at ${keyFile}: start weir once, or run weir key generate\n`)
    return 1
  }
  world.out(`${formatPublicKey(publicKeyOf(key))}\n`)
  return 0
}

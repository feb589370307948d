import { askStatus } from '../control/control-client.ts'
import { formatPublicKey, publicKeyOf } from '../nix/signature.ts'
import { unbracket } from '../upstream/http/network-reach.ts'
import { hostname } from 'node:os'
import { isIP } from 'node:net'
import type { ListenAddress, Settings } from '../settings/settings.ts'
import { readSigningKey } from '../state/signing-key.ts'
import { clientLines } from '../admin/client-lines.ts'
import { type Command, UsageError } from './command.ts'

/** `weir nix-conf` */
export const nixConfCommand: Command = {
  summary: "print the lines for a client's nix.conf",
  help: `Prints what to put into /etc/nix/nix.conf of a client, in place of its own substituters and trusted-public-keys.
A client that lists other substituters beside Weir is not bound by Weir's policy.`,
  operands: '',
  options: {
    url: 'the address under which clients reach Weir, where it is not the one it listens on',
  },
  flags: {},
  async run({ world, operands, options, load }) {
    if (operands.length > 0) throw new UsageError('takes no operands')
    const { settings } = await load()
    const { mode } = settings.signing
    const running = await askStatus(settings.state.dir)
    const key = running?.publicKey ?? (await storedKey(settings))
    // The lines of `keep` have only the upstreams' keys in them.
    if (key === null && mode !== 'keep') {
      world.err(
        `weir: there is no signing key yet at ${settings.signing.keyFile}: start weir once, or run weir key generate\n`,
      )
      return 1
    }
    const address = options['url'] ?? running?.address ?? addressOf(settings.server.listen)
    if (!URL.canParse(address))
      throw new UsageError(`"${address}" is no address: say http://HOST:PORT`)
    if (address.startsWith('unix:')) {
      world.err(
        `weir: Nix clients do not speak to ${address}: say --url http://… of what stands before it\n`,
      )
      return 1
    }
    const lines = clientLines({
      address: reachable(address),
      publicKey: key ?? '',
      mode,
      upstreams: settings.upstreams,
    })
    world.out(`${lines.join('\n')}\n`)
    return 0
  },
}

async function storedKey({ signing }: Settings): Promise<string | null> {
  const key = await readSigningKey(signing.keyFile)
  return key && formatPublicKey(publicKeyOf(key))
}

function addressOf(listen: ListenAddress): string {
  if (listen.kind === 'unix') return `unix:${listen.path}`
  return `http://${isIP(listen.host) === 6 ? `[${listen.host}]` : listen.host}:${listen.port}`
}

/** An address that means "every interface" is no address to ask: the machine's name stands for it. */
function reachable(address: string): string {
  const url = new URL(address)
  if (!['0.0.0.0', '::'].includes(unbracket(url.hostname))) return address
  url.hostname = hostname()
  return url.origin
}

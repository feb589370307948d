import { parseStoreDir } from '../nix/store-path.ts'
import {
  choiceField,
  durationField,
  flagField,
  listField,
  textField,
  wholeNumberField,
} from './fields.ts'
import { parseHostName } from './host-name.ts'
import { parseListenAddress } from './listen-address.ts'
import { section } from './section.ts'

const LISTEN_ALLOWED =
  '"HOST:PORT", "[IPV6]:PORT" or "unix:/ABSOLUTE/PATH" (at most 107 bytes), with a port from 0 to 65535'
const HOST_ALLOWED = 'a host name or IP address, without scheme, port or path'

/** `[server]` */
export const serverField = section('server', 'Where Weir listens, and what it says of itself.', {
  listen: textField(LISTEN_ALLOWED, parseListenAddress)
    .prefault('127.0.0.1:8484')
    .describe(
      'Where Weir listens: `HOST:PORT`, `[IPV6]:PORT` or `unix:/PATH`; port 0 takes a free one.',
    ),
  store_dir: textField('the absolute path of a Nix store, such as "/nix/store"', parseStoreDir)
    .prefault('/nix/store')
    .describe("The Nix store that the clients use; another store's paths are refused."),
  priority: wholeNumberField(0, 2_147_483_647)
    .prefault(30)
    .describe('The priority told to clients, which ask the cache with the lowest number first.'),
  hosts: listField(textField(HOST_ALLOWED, parseHostName), `a list; each entry ${HOST_ALLOWED}`)
    .prefault([])
    .describe(
      'Further names that clients may call Weir by; a request to any other name is refused.',
    ),
  expose_private: flagField()
    .prefault(false)
    .describe(
      'Whether what Weir fetches with credentials may be had by whoever reaches it from other machines.',
    ),
  page: flagField()
    .prefault(true)
    .describe(
      'Whether everybody may see what Weir is doing, on its page and by its API; else only who has the admin token. Addresses of clients need it always.',
    ),
  admin_api: choiceField(['loopback', 'on', 'off'])
    .prefault('loopback')
    .describe(
      'Where the API takes admin actions, each with the admin token: `loopback` where Weir listens for its own machine alone (a Unix socket too), `on` everywhere, `off` nowhere.',
    ),
  metrics: flagField()
    .prefault(true)
    .describe('Whether Weir measures itself, and answers `/metrics`.'),
  drain_timeout: durationField(0)
    .prefault('30s')
    .describe('How long running transfers may still take after SIGTERM.'),
})

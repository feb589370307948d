import type { IncomingMessage } from 'node:http'

/** Who asks: somebody with the admin token, with another one, or without one. */
export type Access = 'admin' | 'wrong-token' | 'everybody'

export const wrongToken = 'this is not the admin token: it is in the file admin-token in state.dir'

/** Who asks, by `Authorization: Bearer …`. */
export function accessOf(
  { headers }: Pick<IncomingMessage, 'headers'>,
  isAdmin: (token: string) => boolean,
): Access {
  const token = /^Bearer +(.+)$/i.exec(headers.authorization ?? '')?.[1]
  if (token === undefined) return 'everybody'
  return isAdmin(token) ? 'admin' : 'wrong-token'
}

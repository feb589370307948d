import { isAbsolute } from 'node:path'
import { parseHostName, parsePort } from './host-name.ts'
import { type ListenAddress } from './settings.ts'

/** The kernel's limit for the path of a Unix socket (`sun_path`, less its final zero). */
const MAX_SOCKET_PATH_BYTES = 107

/** Reads `HOST:PORT`, `[IPV6]:PORT` or `unix:/PATH`; null for anything else. */
export function parseListenAddress(text: string): ListenAddress | null {
  if (text.startsWith('unix:')) return parseSocketPath(text.slice('unix:'.length))
  const colon = text.lastIndexOf(':')
  if (colon === -1) return null
  const port = parsePort(text.slice(colon + 1))
  const written = text.slice(0, colon)
  const host = parseHostName(written)
  if (port === null || host === null) return null
  if (!host.startsWith('[')) return { kind: 'tcp', host, port }
  return written.startsWith('[') ? { kind: 'tcp', host: host.slice(1, -1), port } : null
}

/** The text that `parseListenAddress` reads as this address. */
export function formatListenAddress(address: ListenAddress): string {
  switch (address.kind) {
    case 'unix':
      return `unix:${address.path}`
    case 'tcp':
      return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
  }
}

function parseSocketPath(path: string): ListenAddress | null {
  const fits = Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES
  return isAbsolute(path) && !path.endsWith('/') && !path.includes('\0') && fits
    ? { kind: 'unix', path }
    : null
}

/** Loaded before a program (`node --import`): names in the file that NAMES_FILE names lead where it says, at every moment. */
import dns, { type LookupAddress, type LookupOptions } from 'node:dns'
import { readFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

type Callback = (error: Error | null, address: string | LookupAddress[], family?: number) => void

const systemLookup = dns.lookup
const file = process.env['NAMES_FILE'] ?? ''

function lookup(host: string, options: LookupOptions, callback: Callback): void {
  const names = JSON.parse(readFileSync(file, 'utf8')) as Readonly<Record<string, string>>
  const address = names[host]
  if (address === undefined) {
    systemLookup(host, options, callback)
    return
  }
  if (address === 'silent') return
  setImmediate(() => {
    if (address === 'unknown') {
      const error = new Error(`getaddrinfo ENOTFOUND ${host}`)
      callback(Object.assign(error, { code: 'ENOTFOUND', syscall: 'getaddrinfo' }), [])
    } else if (options.all === true) callback(null, [{ address, family: 4 }])
    else callback(null, address, 4)
  })
}

Object.assign(dns, { lookup })
syncBuiltinESMExports()

/** A process that fetches one URL again and again over some connections, and counts what comes: it looks at heads alone. */
import { fork } from 'node:child_process'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export type LoadOptions = {
  readonly url: string
  readonly connections: number
  readonly seconds: number
}

/** What came in that time, in bytes a second, heads included. */
export type Load = { readonly bytesPerSecond: number }

/** Runs a load in a process of its own; throws where an answer is not a 200 with a length, or a connection ends. */
export async function runLoad(options: LoadOptions): Promise<Load> {
  const child = fork(import.meta.filename, [JSON.stringify(options)])
  const result = await new Promise<Load | null>((resolve) => {
    child.once('message', (load) => {
      resolve(load as Load)
    })
    child.once('exit', () => {
      resolve(null)
    })
  })
  if (result === null) throw new Error(`the load on ${options.url} failed`)
  return result
}

const bufferBytes = 512 * 1024
const maxHeadBytes = 8192

async function main(options: LoadOptions): Promise<void> {
  const counts = Array.from({ length: options.connections }, () => fetchForever(options.url))
  const began = performance.now()
  const before = sum(counts)
  await delay(options.seconds * 1000)
  const bytes = sum(counts) - before
  const load: Load = { bytesPerSecond: (bytes * 1000) / (performance.now() - began) }
  process.send?.(load, () => process.exit(0))
}

function sum(counts: readonly (() => number)[]): number {
  return counts.reduce((total, count) => total + count(), 0)
}

/** Fetches until the process ends; returns what tells how many bytes came so far. */
function fetchForever(text: string): () => number {
  const url = new URL(text)
  const request = `GET ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\n\r\n`
  let received = 0
  let head = ''
  let left = 0
  const take = (piece: Uint8Array) => {
    let rest = piece
    if (left === 0) {
      const before = head.length
      head += Buffer.from(rest.subarray(0, maxHeadBytes)).toString('latin1')
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) return
      left = lengthOf(head)
      rest = rest.subarray(end + 4 - before)
      head = ''
    }
    left -= rest.length
    if (left === 0) socket.write(request)
  }
  const socket = connect({
    ...{ host: url.hostname, port: Number(url.port), noDelay: true },
    onread: {
      buffer: Buffer.alloc(bufferBytes),
      callback: (length, buffer) => {
        received += length
        take(buffer.subarray(0, length))
        return true
      },
    },
  })
  socket.once('connect', () => socket.write(request))
  socket.once('close', () => {
    throw new Error('the connection ended')
  })
  return () => received
}

function lengthOf(head: string): number {
  const length = /^content-length: (\d+)\r$/im.exec(head)?.[1]
  if (!head.startsWith('HTTP/1.1 200 ') || length === undefined) {
    throw new Error(`not a whole body: ${head.split('\r\n')[0] ?? ''}`)
  }
  return Number(length)
}

if (process.argv[1] === import.meta.filename)
  await main(JSON.parse(process.argv[2] ?? '') as LoadOptions)

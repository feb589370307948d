/** A process that asks for many narinfos again and again over some connections that are kept, and counts the answers. */
import { fork } from 'node:child_process'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export type LoadOptions = {
  /** Without a slash at the end. */
  readonly url: string
  /** The hash parts of the paths, asked for in turn. */
  readonly hashes: readonly string[]
  readonly connections: number
  readonly seconds: number
}

/** How many answers came in that time. */
export type Load = { readonly answers: number; readonly seconds: number }

/** Runs a load in a process of its own; throws where an answer is not a 200, or a connection ends. */
export async function runLoad(options: LoadOptions): Promise<Load> {
  const child = fork(import.meta.filename)
  const result = await new Promise<Load | null>((resolve) => {
    child.once('message', (load) => {
      resolve(load as Load)
    })
    child.once('exit', () => {
      resolve(null)
    })
    child.send(options)
  })
  if (result === null) throw new Error(`the load on ${options.url} failed`)
  return result
}

async function main({ url, hashes, connections, seconds }: LoadOptions): Promise<void> {
  const { host, hostname, port } = new URL(url)
  const requests = hashes.map((hash) =>
    Buffer.from(`GET /${hash}.narinfo HTTP/1.1\r\nHost: ${host}\r\n\r\n`),
  )
  let next = 0
  let answers = 0
  for (let index = 0; index < connections; index += 1) {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    const ask = (): void => {
      socket.write(requests[next++ % requests.length] ?? '')
    }
    const answered = wholeAnswers()
    socket.on('data', (piece) => {
      if (!answered(piece)) return
      answers += 1
      ask()
    })
    socket.once('connect', ask)
    socket.once('close', () => {
      throw new Error('the connection ended')
    })
  }
  const began = performance.now()
  await delay(seconds * 1000)
  const load: Load = { answers, seconds: (performance.now() - began) / 1000 }
  process.send?.(load, () => process.exit(0))
}

/** Takes what comes on a connection; says whether an answer is whole by it. */
function wholeAnswers(): (piece: Buffer) => boolean {
  let text = ''
  return (piece) => {
    text += piece.toString('latin1')
    const end = text.indexOf('\r\n\r\n')
    if (end < 0) return false
    const length = /^content-length: (\d+)\r$/im.exec(text)?.[1]
    if (!text.startsWith('HTTP/1.1 200 ') || length === undefined) {
      throw new Error(`not a narinfo: ${text.split('\r\n')[0] ?? ''}`)
    }
    if (text.length < end + 4 + Number(length)) return false
    text = ''
    return true
  }
}

if (process.argv[1] === import.meta.filename) {
  process.once('message', (options) => {
    void main(options as LoadOptions)
  })
}

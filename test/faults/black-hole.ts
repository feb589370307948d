import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'

/** How long a connection may take that is not dropped; on loopback it is there at once. */
const connectMs = 300
const maxFilling = 200

/**
 * Makes a free port of 127.0.0.1 drop every attempt to connect, as a firewall does, without any privileges: a program listens there that
 * accepts nobody, and its queue is filled. Disposing of it makes the port free again.
 */
export async function openBlackHole(port: number): Promise<AsyncDisposable> {
  const program = join(import.meta.dirname, 'deaf-listener.ts')
  const child = spawn(process.execPath, [program, String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const killNow = () => {
    child.kill('SIGKILL')
  }
  process.once('exit', killNow)
  const closed = once(child, 'close')
  const [said] = (await Promise.race([once(child.stdout, 'data'), closed])) as [unknown]
  if (!(said instanceof Buffer)) throw new Error(`port ${port}: nobody listens`)
  const queue: Socket[] = []
  while (await isTaken(port, queue)) {
    if (queue.length === maxFilling) throw new Error(`port ${port}: its queue is never full`)
  }
  return {
    [Symbol.asyncDispose]: async () => {
      for (const socket of queue) socket.destroy()
      killNow()
      process.off('exit', killNow)
      await closed
    },
  }
}

/** Whether the queue took one connection more. */
async function isTaken(port: number, queue: Socket[]): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port })
  queue.push(socket)
  // That the listener is killed breaks them all.
  socket.on('error', () => undefined)
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, connectMs, false)
    socket.once('connect', () => {
      clearTimeout(timer)
      resolve(true)
    })
  })
}

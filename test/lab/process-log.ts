import type { ChildProcessByStdio } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { createWatch } from './watch.ts'

/** A line that a process wrote; one that is not a JSON object has only `text`. */
export type LogRecord = Readonly<Record<string, unknown>> & {
  readonly event?: unknown
  readonly text: string
}

/** What a process wrote to stdout and stderr, as it comes. */
export type ProcessLog = {
  readonly logs: readonly LogRecord[]
  /** The first record, past or to come, of this event that satisfies the predicate; rejects if the process ends before. */
  readonly waitForLog: (
    event: string,
    predicate?: (record: LogRecord) => boolean,
  ) => Promise<LogRecord>
}

function parseLine(text: string): LogRecord {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' ? { ...value, text } : { text }
  } catch {
    return { text }
  }
}

/** Collects the output of a process that was just started. */
export function collectLog(child: ChildProcessByStdio<null, Readable, Readable>): ProcessLog {
  const logs: LogRecord[] = []
  const watch = createWatch()
  let ended: string | null = null
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      logs.push(parseLine(line))
      watch.notify()
    })
  }
  child.once('close', (code, signal) => {
    ended = signal ?? String(code)
    watch.notify()
  })
  return {
    logs,
    waitForLog: async (event, predicate = () => true) => {
      let found: LogRecord | undefined
      await watch.until(() => {
        found = logs.find((record) => record.event === event && predicate(record))
        if (found === undefined && ended !== null) {
          const output = logs.map((record) => record.text).join('\n')
          throw new Error(`the process ended (${ended}) without "${event}":\n${output}`)
        }
        return found !== undefined
      })
      return found ?? { text: '' }
    },
  }
}

import { type NarFileKey, narFileName } from '../../nix/nar-key.ts'
import type { Log } from '../../ports/log.ts'
import type { ReaderDestination } from './destination.ts'
import { createHeldBytes, type HeldShare } from './held-bytes.ts'
import { createFairQueue, type QueueLoad } from '../../queue/fair-queue.ts'
import { weirItself } from '../finding/ask-upstreams.ts'
import type { NarBody } from './nar-body.ts'
import type { TrustedAnswers } from '../finding/claims-for.ts'
import { StreamWindow } from './stream-window.ts'
import { streamedBody } from './streamed-body.ts'
import { Transfer } from './transfer.ts'

/** A NAR on its way past its one reader, kept nowhere. */
export type RunningStream = {
  readonly transfer: Transfer
  readonly answers: TrustedAnswers
  /** Disposing of it ends the stream, and resolves once nothing of it is left. */
  readonly body: NarBody
}

export type Streams = {
  /** Starts one; `bring` brings the NAR to its destination, and tells its transfer how it ended. */
  start(
    key: NarFileKey,
    answers: TrustedAnswers,
    bring: BringStream,
    client?: string,
  ): RunningStream
  /** How many are on their way, and how many wait for a place. */
  load(): QueueLoad
}

export type BringStream = (
  transfer: Transfer,
  destination: ReaderDestination,
  signal: AbortSignal,
) => Promise<unknown>

export type StreamDeps = {
  readonly maxTransfers: number
  readonly log: Log
  /** Aborted when transfers must end, finished or not. */
  readonly stopping: AbortSignal
  /** How long a reader may leave what waits for it before it is cut off, so that others get its place; 60,000 where it is not given. */
  readonly stalledMs?: number
}

/** For all NARs together that are held until they are verified. */
const maxHeldBytes = 64 * 1024 * 1024

export function createStreams(deps: StreamDeps): Streams {
  const { log, stopping, stalledMs = 60_000 } = deps
  const places = createFairQueue({ places: deps.maxTransfers })
  const memory = createHeldBytes(maxHeldBytes)

  return {
    start(key, answers, bring, client = weirItself) {
      const transfer = new Transfer()
      const abort = new AbortController()
      const signal = AbortSignal.any([abort.signal, stopping])
      let share: HeldShare | null = null
      let isBegun = false
      let isComplete = false
      const window = new StreamWindow((heldBytes) => {
        if (isComplete) share?.shrinkTo(heldBytes)
      })
      const destination: ReaderDestination = {
        kind: 'reader',
        maxHeldBytes,
        async hold(bytes, signal) {
          share?.shrinkTo(0)
          share = await memory.take(bytes, signal)
        },
        piece: (bytes) => window.push(bytes),
        restarted: () => {
          window.restart()
        },
      }
      transfer.attach(window)
      const inPlace = async (): Promise<void> => {
        signal.throwIfAborted()
        isBegun = true
        await bring(transfer, destination, signal)
      }
      const ended = places
        .run({ client, group: null }, inPlace, () => signal)
        .catch((error: unknown) => {
          if (signal.aborted) return
          log.error({ event: 'transfer.failed', nar: narFileName(key), err: error })
        })
        .finally(() => {
          isComplete = true
          // A transfer that is complete stays so.
          transfer.fail({ kind: 'unknown', failures: [] })
        })
      const letGo = (): void => {
        abort.abort()
        void window.close()
        share?.shrinkTo(0)
      }
      const body = streamedBody({
        ...{ transfer, window, stalledMs },
        stalled: () => {
          log.warn({ event: 'stream.stalled', nar: narFileName(key) })
          letGo()
        },
        end: async () => {
          letGo()
          // What waits for a place only waits to be told that it is not wanted any more.
          if (isBegun) await ended
          letGo()
        },
      })
      return { transfer, answers, body }
    },
    load: () => places.load(),
  }
}

import { isSameNar, type NarFileKey, type NarKey } from '../../nix/nar-key.ts'
import type { TrustedAnswer } from '../../policy/answer.ts'
import type { NarAnswerDeps, OpenedNar, UnopenedNar } from './nar-answers.ts'
import { type NarBody, transferBody } from '../fetching/nar-body.ts'
import { narKeyOf } from '../finding/render-narinfo.ts'
import { claimsFor, type TrustedAnswers } from '../finding/claims-for.ts'
import { servedNar } from './served-nar.ts'
import type { RunningStream } from '../fetching/streams.ts'
import type { Transfer } from '../fetching/transfer.ts'
import type { RunningTransfer } from '../fetching/transfers.ts'

/** What is asked for, by whom. */
export type Asked = {
  readonly key: NarFileKey
  readonly client: string
  readonly signal: AbortSignal
}

/** The two ways of a NAR to who asks for it: it is kept on its way, or it passes. */
export type Ways = { readonly kept: () => RunningTransfer; readonly streamed: () => RunningStream }

/** How often the file of a NAR is begun: room may have been made after the first time. */
const maxWritings = 2

/** A NAR that is brought here: kept where that can be, else for this client alone. */
export async function bringNar(
  deps: NarAnswerDeps,
  { kept, streamed }: Ways,
  asked: Asked,
): Promise<OpenedNar | UnopenedNar> {
  for (let writings = 0; writings < maxWritings; writings += 1) {
    if (!(await deps.storing.ready())) break
    const answer = await follow(deps, kept(), asked)
    if (!isUnwritten(answer)) return answer
  }
  const { transfer, answers, body } = streamed()
  return fromTransfer(deps, { transfer, answers, body }, asked)
}

/** Whether its file could not be written, so that it must be asked for anew. */
export function isUnwritten(answer: OpenedNar | UnopenedNar): boolean {
  return answer.kind === 'failed' && answer.failure.kind === 'unwritten'
}

/** A NAR that is on its way already. */
export function follow(
  deps: NarAnswerDeps,
  { transfer, answers }: RunningTransfer,
  asked: Asked,
): Promise<OpenedNar | UnopenedNar> {
  return fromTransfer(deps, { transfer, answers, body: transferBody(transfer) }, asked)
}

type Coming = {
  readonly transfer: Transfer
  readonly answers: TrustedAnswers
  readonly body: NarBody
}

/** A NAR on its way, as soon as a part of it may be handed out. */
async function fromTransfer(
  deps: NarAnswerDeps,
  { transfer, answers, body: coming }: Coming,
  { key, client, signal }: Asked,
): Promise<OpenedNar | UnopenedNar> {
  const isTrusted = (): boolean => trustedNow(answers, key) !== null
  const body = deps.bodies.watch(key, coming, isTrusted, transfer.progress.joined(client))
  try {
    await transfer.moreThan(0, signal)
  } catch (error) {
    await body[Symbol.asyncDispose]()
    throw error
  }
  const answer = trustedNow(answers, key)
  if (answer !== null && (transfer.failure === null || transfer.released > 0)) {
    const served = servedNar(answer, claimsFor(answers, key), deps.policy(), client)
    return { kind: 'found', body, isStored: false, served }
  }
  await body[Symbol.asyncDispose]()
  return { kind: 'failed', failure: transfer.failure ?? { kind: 'refused', failures: [] } }
}

/** The trusted claim for exactly this NAR that is preferred of those there are by now. */
export function trustedNow(answers: TrustedAnswers, key: NarKey): TrustedAnswer | null {
  const trusted = answers.trusted()
  return trusted.find(({ verdict }) => isSameNar(narKeyOf(verdict.narinfo), key)) ?? null
}

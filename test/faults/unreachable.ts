import { setTimeout as delay } from 'node:timers/promises'
import { createGate } from '../lab/gate.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { openBlackHole } from './black-hole.ts'
import { certificates } from './certificates.ts'
import { type FaultCase, nars } from './fault-case.ts'
import type { Whereabouts } from './moving-name.ts'

type Begin = FaultCase['begin']

const refuse: Begin = async ({ upstream }) => {
  await upstream.stop()
  return upstream.start
}

const neverAnswer: Begin = ({ upstream }) => {
  const gate = upstream.hold()
  return Promise.resolve(() => {
    upstream.faults.clear()
    gate.open()
    return Promise.resolve()
  })
}

const dropAttempts: Begin = async ({ upstream }) => {
  await upstream.stop()
  const hole = await openBlackHole(upstream.port)
  return async () => {
    await hole[Symbol.asyncDispose]()
    await upstream.start()
  }
}

const show =
  (certificate: 'expired' | 'selfSigned'): Begin =>
  ({ upstream }) => {
    upstream.present(certificates[certificate])
    return Promise.resolve(() => {
      upstream.present(certificates.good)
      return Promise.resolve()
    })
  }

const speakPlainly: Begin = async ({ upstream }) => {
  await upstream.stop()
  const plain = await startUpstream({ root: '/nowhere', port: upstream.port })
  return async () => {
    await plain.stop()
    await upstream.start()
  }
}

const lead =
  (where: Whereabouts): Begin =>
  async ({ upstream, name }) => {
    name.moveTo(where)
    // Connections that there are would go on to where the name led.
    await upstream.stop()
    await upstream.start()
    return () => {
      name.moveTo('127.0.0.1')
      return Promise.resolve()
    }
  }

/** How many NARs it still answers for, and how long it is gone then. */
const narsUntilDeath = 6
const deadMs = 1500

/** It dies and comes back again and again, each time that it was asked for a few NARs. */
const dieAndComeBack: Begin = ({ upstream }) => {
  const over = createGate()
  const ended = over.pass().then(() => false)
  const isNar = ({ path }: { readonly path: string }) => path.search(nars) === 0
  const isToDie = () => {
    upstream.requests.splice(0)
    return Promise.race([upstream.waitFor(isNar, narsUntilDeath).then(() => true), ended])
  }
  const live = async () => {
    while (await isToDie()) {
      await upstream.stop()
      await delay(deadMs)
      await upstream.start()
    }
  }
  const life = live()
  return Promise.resolve(() => {
    over.open()
    return life
  })
}

/** Faults in which nothing comes of a connection. */
export const unreachable: readonly FaultCase[] = [
  { title: 'refuses connections', reach: 'http', isSurvivable: false, begin: refuse },
  {
    title: 'accepts connections and answers nothing',
    ...{ reach: 'http', isSurvivable: false, begin: neverAnswer },
  },
  {
    title: 'lets connection attempts vanish',
    ...{ reach: 'http', isSurvivable: false, begin: dropAttempts },
  },
  {
    title: 'shows an expired certificate',
    ...{ reach: 'https', isSurvivable: false, begin: show('expired') },
  },
  {
    title: 'shows a self-signed certificate',
    ...{ reach: 'https', isSurvivable: false, begin: show('selfSigned') },
  },
  {
    title: 'speaks plain HTTP where HTTPS is spoken to it',
    ...{ reach: 'https', isSurvivable: false, begin: speakPlainly },
  },
  {
    title: 'has a name that leads to a dead address',
    ...{ reach: 'name', isSurvivable: false, begin: lead('127.0.0.2') },
  },
  {
    title: 'has a name that DNS does not know',
    ...{ reach: 'name', isSurvivable: false, begin: lead('unknown') },
  },
  {
    title: 'has a name about which DNS says nothing',
    ...{ reach: 'name', isSurvivable: false, begin: lead('silent') },
  },
  {
    title: `dies after every ${narsUntilDeath} NARs and is back ${deadMs / 1000} s later`,
    ...{ reach: 'http', isSurvivable: true, begin: dieAndComeBack },
    // 12 NARs, and those that it took with it when it died.
    awayMs: { alone: 4 * deadMs, beside: 0 },
  },
]

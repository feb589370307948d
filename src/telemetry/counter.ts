import type { Registry } from 'prom-client'
import { type Described, exposeValues } from './expose-values.ts'
import { createLabelTree, type LabelValues } from './label-tree.ts'

/** What only grows. */
export type Counter<Names extends readonly string[]> = {
  add(values: LabelValues<Names>, amount?: number): void
}

/**
 * Makes a counter in a registry; its labels are of finite sets. What is `known` beforehand is 0 before anything happened, so that the first time
 * shows as a rise.
 */
export function counter<const Names extends readonly string[]>(
  registry: Registry,
  { name, help, labels }: Described<Names>,
  known: () => readonly LabelValues<Names>[] = () => [],
): Counter<Names> {
  const tree = createLabelTree(labels, () => ({ total: 0 }))
  exposeValues(registry, { name, help, type: 'counter' }, () => {
    for (const values of known()) tree.at(values)
    return tree.entries().map(({ labels, leaf }) => ({ labels, value: leaf.total }))
  })
  return {
    add(values, amount = 1) {
      tree.at(values).total += amount
    },
  }
}

/** A counter without labels, which is 0 from the start. */
export function plainCounter(registry: Registry, name: string, help: string): Counter<readonly []> {
  return counter(registry, { name, help, labels: [] as const }, () => [[]])
}

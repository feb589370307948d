import { Counter, type Registry } from 'prom-client'

/** Makes a counter in a registry; its labels are of finite sets. */
export function counter<Label extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly Label[],
): Counter<Label> {
  return new Counter({ name, help, labelNames, registers: [registry] })
}

/** The time that a rate is taken over: Grafana makes it at least four scrapes long. */
const lately = '[$__rate_interval]'

/** A metric of the instances that are chosen, with further matchers such as `result="hit"`. */
export function of(metric: string, matchers = ''): string {
  return `${metric}{instance=~"$instance"${matchers === '' ? '' : `,${matchers}`}}`
}

/** How fast a counter rises, in units a second. */
export function rate(metric: string, matchers = ''): string {
  return `rate(${of(metric, matchers)}${lately})`
}

/** By how much a counter rose in the time that the dashboard shows. */
export function risen(metric: string, matchers = ''): string {
  return `increase(${of(metric, matchers)}[$__range])`
}

/** A sum by labels, or over everything where none is named. */
export function sum(expression: string, ...by: readonly string[]): string {
  return by.length === 0 ? `sum(${expression})` : `sum by (${by.join(', ')}) (${expression})`
}

/** A quantile (0 to 1) of a histogram, in its unit. */
export function quantile(share: number, metric: string, matchers = '', ...by: readonly string[]) {
  const buckets = sum(rate(`${metric}_bucket`, matchers), 'le', ...by)
  return `histogram_quantile(${share}, ${buckets})`
}

/** How much of what was asked for came from the disk, 0 to 1: `measure` is `rate` or `risen`. */
export function hitRatio(measure: typeof rate, metric: string): string {
  return `${sum(measure(metric, 'result="hit"'))} / ${sum(measure(metric, 'result=~"hit|miss"'))}`
}

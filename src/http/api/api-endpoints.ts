import type { ActionName } from '../../admin/actions.ts'

/** What can be read by GET below `/api/v1/`, besides `explain/<hash>`. */
export type ApiReading =
  'overview' | 'traffic' | 'transfers' | 'decisions' | 'paths' | 'policy' | 'openapi.json'

export const apiPrefix = '/api/v1/'

const readings: Readonly<Record<ApiReading, string>> = {
  overview: 'overview',
  traffic: 'traffic',
  transfers: 'transfers',
  decisions: 'decisions',
  paths: 'paths',
  policy: 'policy',
  'openapi.json': 'openapi.json',
}

/** What can be changed by POST, and where below `/api/v1/`. */
export const actionPaths: Readonly<Record<ActionName, string>> = {
  recall: 'recall',
  lift: 'lift',
  pin: 'pin',
  unpin: 'unpin',
  forget: 'forget',
  reload: 'reload',
  suspend: 'upstreams/suspend',
  resume: 'upstreams/resume',
}

export type ApiRoute =
  | { readonly kind: 'api'; readonly reading: ApiReading; readonly query: string }
  | { readonly kind: 'api-action'; readonly action: ActionName }
  | { readonly kind: 'api-unknown' }

const readingByPath = new Map(entriesOf(readings).map(([reading, path]) => [path, reading]))
const actionByPath = new Map(entriesOf(actionPaths).map(([action, path]) => [path, action]))

/** The route of a path below `/api/v1/`, and its query without `?`. */
export function apiRoute(path: string, query: string): ApiRoute {
  const reading = readingByPath.get(path)
  if (reading !== undefined) return { kind: 'api', reading, query }
  const action = actionByPath.get(path)
  return action === undefined ? { kind: 'api-unknown' } : { kind: 'api-action', action }
}

/** Every path of the API with its method, as OpenAPI names them. */
export function apiPaths(): readonly (readonly [method: 'get' | 'post', path: string])[] {
  return [
    ...Object.values(readings).map((path) => ['get', `${apiPrefix}${path}`] as const),
    ['get', `${apiPrefix}explain/{hash}`],
    ...Object.values(actionPaths).map((path) => ['post', `${apiPrefix}${path}`] as const),
  ]
}

function entriesOf<Key extends string>(record: Readonly<Record<Key, string>>) {
  return Object.entries(record) as [Key, string][]
}

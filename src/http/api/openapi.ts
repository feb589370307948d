import { z } from 'zod'
import type { ActionName } from '../../admin/actions.ts'
import { actionAnswers, actionBodies } from './action-schemas.ts'
import { actionPaths, apiPrefix, type ApiReading } from './api-endpoints.ts'
import { readingSchemas } from './api-schemas.ts'
import { explanationSchema } from './explanation-schema.ts'

type Json = Readonly<Record<string, unknown>>

/** The API's document, in OpenAPI 3.1. */
export function openApiDocument(): Json {
  const readings = Object.entries(operationsByReading).map(([reading, operation]) => [
    `${apiPrefix}${reading}`,
    { get: readingOperation(operation) },
  ])
  const actions = Object.entries(actionSummaries).map(([action, summary]) => [
    `${apiPrefix}${actionPaths[action as ActionName]}`,
    { post: actionOperation(action as ActionName, summary) },
  ])
  return {
    openapi: '3.1.0',
    info: {
      title: 'Weir',
      version: '1',
      description:
        'What a running Weir is doing, and what its operator may change. Fields may be added; none goes or changes within v1. See docs/api.md.',
    },
    paths: Object.fromEntries([
      ...readings,
      [`${apiPrefix}explain/{hash}`, { get: explainOperation() }],
      ...actions,
    ]),
    components: {
      securitySchemes: { adminToken: { type: 'http', scheme: 'bearer' } },
      schemas: {
        ...Object.fromEntries(
          Object.entries(readingSchemas).map(([name, schema]) => [name, jsonSchema(schema)]),
        ),
        Explanation: jsonSchema(explanationSchema),
        Problem: jsonSchema(z.strictObject({ error: z.string().describe('A sentence.') })),
      },
    },
  }
}

type ReadingOperation = {
  readonly summary: string
  /** The answer's schema; `null` for this document. */
  readonly answer: keyof typeof readingSchemas | null
  readonly parameters?: readonly Json[]
}

const limit = (max: number) =>
  query('limit', 'The most that are answered.', {
    ...{ type: 'integer', minimum: 1, maximum: max, default: 100 },
  })

const operationsByReading: Readonly<Record<ApiReading, ReadingOperation>> = {
  overview: { summary: 'State and totals since the start', answer: 'Overview' },
  traffic: { summary: 'The last half hour in steps of five seconds', answer: 'Traffic' },
  transfers: { summary: 'NARs on their way from upstreams', answer: 'Transfers' },
  decisions: {
    summary: 'How clients were answered, the latest first; the last 500 are kept',
    answer: 'Decisions',
    parameters: [
      query('after', 'Only those with a larger id.', { type: 'integer', minimum: 0, default: 0 }),
      limit(500),
    ],
  },
  paths: {
    summary: 'What is stored, the latest first',
    answer: 'Paths',
    parameters: [
      query('q', 'A part of a name, a glob over names, a hash or a store path.', {
        ...{ type: 'string', maxLength: 300, default: '' },
      }),
      query('after', 'The `next` of an answer; one may have fewer than `limit` paths.', {
        type: 'string',
      }),
      limit(1000),
    ],
  },
  policy: { summary: 'The rules as they are tried, upstreams, recalls', answer: 'Policy' },
  'openapi.json': { summary: 'This document', answer: null },
}

const actionSummaries: Readonly<Record<ActionName, string>> = {
  recall: 'Never serves something again, and lists who got it',
  lift: 'Takes a recall back',
  pin: 'Keeps a path in the cache with all that it refers to, and fetches what is not stored',
  unpin: 'Lets go of a pinned path',
  forget: 'Asks the upstreams anew for a path',
  reload: 'Takes the configuration anew',
  suspend: 'Takes an upstream out of use',
  resume: 'Takes an upstream back into use',
}

function readingOperation({ summary, answer, parameters = [] }: ReadingOperation): Json {
  const schema = answer === null ? { type: 'object' } : reference(answer)
  return {
    summary,
    ...(parameters.length > 0 && { parameters }),
    security: [{}, { adminToken: [] }],
    responses: { 200: ofJson('The answer', schema), ...problems('400', '401') },
  }
}

function explainOperation(): Json {
  const hash = { type: 'string', minLength: 32, maxLength: 32 }
  return {
    summary: 'Why a path is served or not',
    parameters: [
      { name: 'hash', in: 'path', required: true, schema: hash },
      query('live', 'Asks the upstreams now; only with the admin token.', { type: 'string' }),
    ],
    security: [{}, { adminToken: [] }],
    responses: { 200: ofJson('The answer', reference('Explanation')), ...problems('401', '404') },
  }
}

function actionOperation(action: ActionName, summary: string): Json {
  const type = action === 'pin' ? 'application/x-ndjson' : 'application/json'
  return {
    summary,
    security: [{ adminToken: [] }],
    requestBody: { required: true, ...contentOf(jsonSchema(actionBodies[action], 'input')) },
    responses: {
      200: {
        description: action === 'pin' ? 'Lines as they come, each of this form' : 'What was done',
        content: { [type]: { schema: jsonSchema(actionAnswers[action]) } },
      },
      ...problems('400', '401', '403', '413', '415'),
    },
  }
}

const problemTexts = {
  400: 'Something asked for is wrong',
  401: 'The admin token is missing or wrong',
  403: 'Admin actions are not taken here',
  404: 'That is no hash of a store path',
  413: 'The body is too long',
  415: 'The body is not JSON',
} as const

function problems(...statuses: readonly `${keyof typeof problemTexts}`[]): Json {
  return Object.fromEntries(
    statuses.map((status) => [status, ofJson(problemTexts[status], reference('Problem'))]),
  )
}

function ofJson(description: string, schema: Json): Json {
  return { description, ...contentOf(schema) }
}

function contentOf(schema: Json): Json {
  return { content: { 'application/json': { schema } } }
}

function query(name: string, description: string, schema: Json): Json {
  return { name, in: 'query', description, schema }
}

function reference(name: string): Json {
  return { $ref: `#/components/schemas/${name}` }
}

/** Without a word on what is not named: fields may be added. */
function jsonSchema(schema: z.ZodType, io: 'input' | 'output' = 'output'): Json {
  const made = z.toJSONSchema(schema, {
    io,
    override: ({ jsonSchema: each }) => {
      if (each.additionalProperties === false) delete each.additionalProperties
    },
  })
  return Object.fromEntries(Object.entries(made).filter(([name]) => name !== '$schema'))
}

/** Where a NAR's file is written while others read its released part. */
export type NarSink = Disposable & {
  /** Bytes written since the start or the last `restart`. */
  readonly bytes: number
  /** What kept it from being written; `null` where nothing did. */
  readonly failure: UnwrittenError | null
  /** Appends the whole chunk; throws `UnwrittenError`. */
  append(chunk: Uint8Array): void
  /** Resolves once it takes more. What it holds has been released by then, as far as it ever is before the end: its reader goes on with that. */
  ready(): Promise<void>
  /** Empties it; throws `UnwrittenError`. */
  restart(): void
  /** The hash of what was written, as `sha256:nix32`. */
  hash(): string
}

/** A file could not be written: no source's fault. `code` is the system's. */
export class UnwrittenError extends Error {
  override readonly name = 'UnwrittenError'
  readonly code: string

  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    const code = cause instanceof Error && 'code' in cause ? cause.code : null
    this.code = typeof code === 'string' ? code : 'EIO'
  }
}

import { spawn } from 'node:child_process'

/** How a command ended: `code` is null when a signal, or the time limit, killed it. */
export type CommandResult = {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export type CommandOptions = {
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  /** After this long the command is killed. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  /** Takes the output as it comes; `stdout` is then empty. */
  readonly onStdout?: (chunk: Buffer) => void
}

/** Runs a command to its end without blocking the event loop; rejects only if it cannot be started. */
export function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const { env, cwd, timeoutMs = 120_000, signal, onStdout } = options
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      killSignal: 'SIGKILL',
      timeout: timeoutMs,
      ...(env && { env }),
      ...(cwd !== undefined && { cwd }),
    })
    const kill = () => {
      child.kill('SIGKILL')
    }
    signal?.addEventListener('abort', kill)
    if (signal?.aborted) kill()
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    child.stdout.on('data', onStdout ?? ((chunk: Buffer) => stdout.push(chunk)))
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
    child.once('error', reject)
    child.once('close', (code, killedBy) => {
      signal?.removeEventListener('abort', kill)
      const note = killedBy === null ? '' : `\n${command} was killed by ${killedBy}\n`
      resolve({
        code,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString() + note,
      })
    })
  })
}

/** Runs a command that must succeed and returns its trimmed output; throws with its stderr otherwise. */
export async function mustRun(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const result = await runCommand(command, args, options)
  if (result.code !== 0) {
    throw new Error(`${command} ${args.join(' ')}: exit ${String(result.code)}\n${result.stderr}`)
  }
  return result.stdout.trim()
}

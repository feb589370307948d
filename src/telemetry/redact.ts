const censored = '[redacted]'

/** What is a secret by where it stands: behind a scheme of `Authorization`, in a URL's user part, in a query of a signed URL. */
const secrets: readonly (readonly [RegExp, string])[] = [
  [/\b(bearer|basic)\s+[\w+/=.~-]{6,}/gi, `$1 ${censored}`],
  [/(:\/\/)[^\s/@"'\\]+@/g, `$1${censored}@`],
  [
    // Names are bounded: else a client's long query would take the square of its length.
    /([?&](?:[\w-]{0,40}(?:token|signature|credential|secret|password)[\w-]{0,40}|key|auth)=)[^&\s"'\\]+/gi,
    `$1${censored}`,
  ],
]

/** A text without the secrets that can be told by where they stand: the log's last line of defence. */
export function redact(text: string): string {
  return secrets.reduce((clean, [pattern, by]) => clean.replace(pattern, by), text)
}

import { find, say } from './dom.ts'

/** Puts the button to work that copies the lines for nix.conf. */
export function offerCopy(): void {
  const button = find('copy', HTMLButtonElement)
  const lines = find('client-lines', HTMLElement)
  const says = find('copied', HTMLElement)
  if (button === null || lines === null || says === null) return
  button.hidden = false
  button.addEventListener('click', () => {
    void copy(lines).then((isCopied) => {
      say(says, isCopied ? 'Copied.' : 'Selected: copy it with your keyboard.')
    })
  })
}

/** False where the browser has no clipboard for a page without TLS: then the lines are selected. */
async function copy(lines: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(`${lines.textContent}\n`)
    return true
  } catch {
    document.getSelection()?.selectAllChildren(lines)
    return false
  }
}

/** The admin token: this tab's alone, and sent to nobody but the Weir that the page came from. */
import { find, say } from './dom.ts'

const key = 'weir-admin-token'

/** The token that was typed into this tab; `null` where none was. */
export function heldToken(): string | null {
  return sessionStorage.getItem(key)
}

/** Takes a token that Weir refuses out of use, and says so. */
export function refuseToken(): void {
  sessionStorage.removeItem(key)
  showToken()
  const says = find('token-says', HTMLElement)
  if (says !== null)
    say(says, 'This is not the admin token: it is in the file admin-token in state.dir.')
}

/** Puts the field for the token to work; `changed` is told when there is another one, or none. */
export function offerToken(changed: () => void): void {
  const form = find('token', HTMLFormElement)
  const text = find('token-text', HTMLInputElement)
  const forget = find('token-forget', HTMLButtonElement)
  if (form === null || text === null || forget === null) return
  form.hidden = false
  showToken()
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    if (text.value.trim() === '') return
    sessionStorage.setItem(key, text.value.trim())
    text.value = ''
    showToken()
    changed()
  })
  forget.addEventListener('click', () => {
    sessionStorage.removeItem(key)
    showToken()
    changed()
  })
}

function showToken(): void {
  const isHeld = heldToken() !== null
  const forget = find('token-forget', HTMLButtonElement)
  const says = find('token-says', HTMLElement)
  if (forget !== null) forget.hidden = !isHeld
  if (says !== null && isHeld) say(says, 'The token is in use in this tab, until it is closed.')
}

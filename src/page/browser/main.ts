/** What the pages can do with JavaScript, and need not. */
import { followAskLive, showAnew } from './anew.ts'
import { offerCopy } from './copy.ts'
import { keepLive, type Live } from './live.ts'
import { heldToken, offerToken } from './token.ts'

let live: Live | null = null

function begin(): void {
  live = keepLive()
  offerCopy()
}

async function useToken(): Promise<void> {
  const wasLocked = document.querySelector('[data-locked]') !== null
  if (wasLocked || heldToken() !== null) await showAnew({ live: false })
  // What was locked has its own parts to be put to work.
  if (wasLocked && document.querySelector('[data-locked]') === null) begin()
  else live?.restart()
}

begin()
followAskLive()
offerToken(() => {
  // Without the token less is to be seen: as a page that nobody unlocked.
  if (heldToken() === null) location.reload()
  else void useToken()
})
if (heldToken() !== null) void useToken()

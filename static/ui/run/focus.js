// @ts-check
/**
 * Where the keyboard goes when a run takes the button away that had the focus: from Train to
 * Pause, from Stop or at the end to what is next. Nobody who is elsewhere is called away.
 */

import { isRunning } from '../../store.js';
import { element } from '../dom.js';

/** Buttons that a run disables or hides; what else has the focus keeps it. */
const HOLDERS = ['train', 'pause', 'stop', 'resume-run', 'resume-discard', 'finish-chat', 'finish-evaluate', 'finish-download'];
/** Where the focus waits while none of the next ones can be pressed. */
const WAITING = 'console-title';

let isWaiting = false;

/** @param {Element} node */
const isUsable = (node) => !node.matches(':disabled') && node.checkVisibility();

/**
 * Look after the focus; called whenever buttons of a run were disabled, hidden or shown.
 * @param {boolean} [isBeginning] a run is about to begin: the last one's banner is not what is next
 */
export function followFocus(isBeginning = false) {
  const active = document.activeElement;
  isWaiting &&= active?.id === WAITING;
  if (!active || !(isWaiting || (HOLDERS.includes(active.id) && !isUsable(active)))) return;
  const names = isRunning() ? ['pause'] : isBeginning ? [] : ['finish-chat', 'train'];
  const next = names.map(element).find(isUsable);
  if (!next && isWaiting) return;
  isWaiting = !next;
  (next ?? element(WAITING)).focus({ preventScroll: true });
}

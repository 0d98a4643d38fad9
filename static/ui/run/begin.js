// @ts-check
/** What is asked before a run begins, and where it is then seen. */

import { t } from '../../messages/messages.js';
import { isRunning, state, watch } from '../../store.js';
import { element } from '../dom.js';
import { isFull, mayLoseKept, mayLoseTuned, mayTrainAll } from '../full/ask.js';
import { planNow } from '../plan/plan.js';

/** @import {Studio} from '../../api.js' */

/**
 * Whether a run of all weights may take the place of what was trained before.
 * @param {Studio} studio
 */
export const mayReplace = async (studio) => (await mayLoseTuned(studio, t('Another run of all weights takes its place.'))) && mayLoseKept();

/**
 * Whether a run may begin: it takes what is planned, and lets nothing go that nobody has.
 * @param {Studio} studio
 */
export async function mayBegin(studio) {
  // What is asked must be what is run, also where a setting was changed a moment ago.
  if (isFull() || state.edits['mode'] === 'full') await planNow(studio);
  return (await mayTrainAll()) && (!isFull() || mayReplace(studio));
}

/** Bring the run into view, its head first where the window is too low for all of it. */
function showConsole() {
  const place = element('console');
  const isCalm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  place.scrollIntoView({ block: place.offsetHeight > innerHeight ? 'start' : 'nearest', behavior: isCalm ? 'auto' : 'smooth' });
}

export function mountBegin() {
  let wasRunning = false;
  watch(['run'], () => {
    // Not before all that comes and goes with a run has done so: the console moves with it.
    if (isRunning() && !wasRunning) requestAnimationFrame(showConsole);
    wasRunning = isRunning();
  });
}

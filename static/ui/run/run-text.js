// @ts-check
/** Text that is changed during a run is the next run's: said once, where the person is. */

import { t } from '../../messages/messages.js';
import { isRunning, state, watch } from '../../store.js';
import { clearNotice, showNotice } from '../notices.js';

const NOTICE = 'run-text';

export function mountRunText() {
  /** @type {number|null} the version of the text that the run learns from; null once another was told of */
  let begun = null;
  let wasRunning = false;
  watch(['run', 'corpusVersion'], () => {
    const running = isRunning();
    if (running && !wasRunning) begun = state.corpusVersion;
    if (!running && wasRunning) clearNotice(NOTICE);
    wasRunning = running;
    if (!running || begun === null || begun === state.corpusVersion) return;
    begun = null;
    showNotice(NOTICE, t('The run goes on with the text that it began with. What is there now is for the next one.'));
  });
}

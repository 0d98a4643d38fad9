// @ts-check
/** When the GPU goes away under the benchmark: what happened is said, and one press measures again. */

import { StudioError } from '../../api.js';
import { t } from '../../messages/messages.js';
import { announce, clearError } from '../messages.js';
import { clearNotice, showNotice } from '../notices.js';

/** @import {Studio} from '../../api.js' */
/** @import {DeviceLost} from '../../types.js' */

const KEY = 'device-lost';

/**
 * @param {string} message what happened, in Python's words
 * @param {boolean} hasFigures something was measured before
 * @param {() => void} again
 */
function show(message, hasFigures, again) {
  clearError();
  const text = [t(message), hasFigures ? t('What was measured until then is still here.') : ''].filter(Boolean).join(' ');
  showNotice(KEY, text, { actions: [{ label: t('Measure again'), act: () => { clearNotice(KEY); again(); } }], canDismiss: false });
  announce(text);
}

/**
 * @param {Studio} studio
 * @param {{hasFigures: () => boolean, again: () => void, onLost: () => void}} page
 */
export function mountBenchLost(studio, { hasFigures, again, onLost }) {
  studio.on('device-lost', (/** @type {DeviceLost} */ { message }) => {
    show(message, hasFigures(), again);
    onLost();
  });
  return {
    /**
     * Whether a failure is told here: a loss is already; that there is no other GPU yet is now.
     * @param {unknown} error
     */
    tells(error) {
      if (!(error instanceof StudioError)) return false;
      if (error.kind === 'NoAdapterError') show(error.message, hasFigures(), again);
      return error.kind === 'NoAdapterError' || error.kind === 'DeviceLostError';
    },
    /** Another measurement has begun. */
    clear: () => clearNotice(KEY),
  };
}

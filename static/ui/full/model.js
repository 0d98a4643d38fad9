// @ts-check
/** The model whose weights were all trained: what is known of it, downloading it, letting it go. */

import { plural, t } from '../../messages/messages.js';
import { isRunning, state, update, watch } from '../../store.js';
import { button, element, setText } from '../dom.js';
import { formatBytes } from '../format.js';
import { mayLoseTuned } from './ask.js';
import { mountFullKept } from './kept.js';
import { mountFullSave, saveModel } from './save.js';
import { showFailure } from '../messages.js';

/** @import {Studio} from '../../api.js' */
/** @import {Tuned} from '../../types.js' */

/** @param {Tuned} tuned */
function describe({ steps, weights_bytes, weights_format, is_saved, is_kept }) {
  const values = { size: formatBytes(weights_bytes), format: weights_format };
  if (is_kept) return plural(steps, { one: 'Whole model, trained {count} step ({size} in {format}), kept in this browser until it is downloaded or let go', other: 'Whole model, trained {count} steps ({size} in {format}), kept in this browser until it is downloaded or let go' }, values);
  return is_saved
    ? plural(steps, { one: 'Whole model, trained {count} step ({size} in {format}), downloaded', other: 'Whole model, trained {count} steps ({size} in {format}), downloaded' }, values)
    : plural(steps, { one: 'Whole model, trained {count} step ({size} in {format}), not downloaded yet', other: 'Whole model, trained {count} steps ({size} in {format}), not downloaded yet' }, values);
}

/** @param {Studio} studio */
export function mountFullModel(studio) {
  // Python's None arrives as undefined.
  studio.on('tuned', ({ tuned }) => {
    const isOther = tuned?.steps !== state.tuned?.steps;
    update({
      tuned: tuned ?? null,
      ...(tuned ? {} : { useTuned: false, useLora: state.useLora && state.adapter !== null }),
      ...(isOther && state.evaluation ? { evaluation: null } : {}),
    });
  });
  mountFullSave(studio);
  mountFullKept(studio);
  button('tuned-download').addEventListener('click', () => void saveModel(studio));
  button('tuned-drop').addEventListener('click', () => {
    void mayLoseTuned(studio, t('This frees the memory that it takes.')).then((go) => go && studio.request('discard-model').catch(showFailure));
  });
  watch(['tuned', 'tunedShare', 'status', 'run'], () => {
    const { tuned, tunedShare } = state;
    element('tuned-bar').hidden = !tuned;
    if (!tuned) return;
    setText(element('tuned-status'), describe(tuned));
    const busy = isRunning() || state.status === 'generating' || state.status === 'checking' || tunedShare !== null;
    button('tuned-download').disabled = busy;
    button('tuned-drop').disabled = busy;
    setText(button('tuned-download'), tunedShare === null ? t('Download model') : `${Math.floor(100 * tunedShare)} %`);
  });
  addEventListener('beforeunload', (event) => {
    if (state.tuned && !state.tuned.is_saved && !state.tuned.is_kept) event.preventDefault();
  });
}

// @ts-check
/** The offer to go on with a run that a reload, a crash or a stop interrupted. */

import { isRunning, state, update, watch } from '../store.js';
import { button, element, setText } from './dom.js';
import { formatCount } from './format.js';
import { clearError, showError, showFailure } from './messages.js';
import { train } from './run.js';

/** @import {Studio} from '../api.js' */
/** @import {Resumable} from '../types.js' */

/** @param {Resumable} run */
export function describe(run) {
  const when = new Date(run.saved_at);
  const told = Number.isNaN(when.getTime()) ? '' : `, kept ${when.toLocaleString()}`;
  const what = `A run of ${run.base_name} was interrupted after step ${formatCount(run.step)} of ${formatCount(run.num_steps)}${told}.`;
  return run.is_this_model
    ? `${what} It goes on with its own settings and the same text (${formatCount(run.num_characters)} characters).`
    : `${what} To go on, choose that model.`;
}

/** @param {Studio} studio */
export function mountResume(studio) {
  studio.on('resumable', ({ run }) => update({ resumable: run }));
  watch(['resumable', 'run', 'status', 'model'], () => {
    const { resumable, status } = state;
    const idle = status === 'ready' || status === 'error';
    element('resume-offer').hidden = !resumable || isRunning() || state.model === null;
    if (!resumable) return;
    setText(element('resume-text'), describe(resumable));
    button('resume-run').disabled = !idle || !resumable.is_this_model;
    button('resume-discard').disabled = !idle;
  });
  button('resume-run').addEventListener('click', () => {
    clearError();
    if (state.hasCorpus) void train(studio, true);
    else showError(`Put the text back first: the run learnt from ${formatCount(state.resumable?.num_characters ?? 0)} characters, and texts are not stored.`);
  });
  button('resume-discard').addEventListener('click', () => {
    studio.request('discard-checkpoint').catch(showFailure);
  });
}

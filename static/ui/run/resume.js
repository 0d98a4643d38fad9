// @ts-check
/** The offer to go on with a run that a reload, a crash or a stop interrupted. */

import { locale, t } from '../../messages/messages.js';
import { isRunning, state, update, watch } from '../../store.js';
import { allRuns } from '../console/runs.js';
import { button, element, setText } from '../dom.js';
import { formatBytes } from '../format.js';
import { clearError, showError, showFailure } from '../messages.js';
import { followFocus } from './focus.js';
import { train } from './run.js';

/** @import {Studio} from '../../api.js' */
/** @import {Resumable} from '../../types.js' */

/** Whether the person stopped it: then it is the last that was made, and ends at that step. @param {Resumable} run */
function wasStopped({ base_name, step }) {
  const last = allRuns().at(-1);
  return last?.done?.stopped === true && last.model === base_name && last.done.steps === step;
}

/** The address asks for no model: one of this computer is about to be chosen. */
const isChosenHere = () => new URLSearchParams(location.hash.slice(1)).get('model') === 'none';

/** @param {Resumable} run */
export function describe(run) {
  const when = new Date(run.saved_at);
  const values = { model: run.base_name, step: run.step, total: run.num_steps, when: when.toLocaleString(locale()) };
  const isDated = !Number.isNaN(when.getTime());
  let what;
  if (run.mode === 'full') {
    const more = { ...values, size: formatBytes(run.bytes) };
    what = isDated
      ? t('A run of all weights of {model} was interrupted after step {step} of {total}, kept {when} ({size}).', more)
      : t('A run of all weights of {model} was interrupted after step {step} of {total} ({size}).', more);
  } else if (wasStopped(run)) {
    what = isDated
      ? t('A run of {model} was stopped after step {step} of {total}, kept {when}.', values)
      : t('A run of {model} was stopped after step {step} of {total}.', values);
  } else {
    what = isDated
      ? t('A run of {model} was interrupted after step {step} of {total}, kept {when}.', values)
      : t('A run of {model} was interrupted after step {step} of {total}.', values);
  }
  return run.is_this_model
    ? t('{sentence} It goes on with its own settings and the same text ({number} characters).', { sentence: what, number: run.num_characters })
    : t('{sentence} To go on, choose that model.', { sentence: what });
}

/** @param {Studio} studio */
export function mountResume(studio) {
  studio.on('resumable', ({ run }) => update({ resumable: run }));
  watch(['resumable', 'run', 'pastRuns', 'status', 'model'], () => {
    const { resumable, status } = state;
    const idle = status === 'ready' || status === 'error';
    // Where no model comes by itself, it says which one is wanted.
    element('resume-offer').hidden = !resumable || isRunning() || (state.model === null && !idle && !isChosenHere());
    followFocus();
    if (!resumable) return;
    setText(element('resume-text'), describe(resumable));
    button('resume-run').disabled = !idle || !resumable.is_this_model;
    button('resume-discard').disabled = !idle || state.model === null;
  });
  button('resume-run').addEventListener('click', () => {
    clearError();
    if (state.hasCorpus) void train(studio, true);
    else showError(t('Put the text back first: the run learnt from {number} characters, and texts are not stored.', { number: state.resumable?.num_characters ?? 0 }));
  });
  button('resume-discard').addEventListener('click', () => {
    studio.request('discard-checkpoint').catch(showFailure);
  });
}

// @ts-check
/** Whether the page helps itself after a loss of the GPU, and what is said of it. Needs no document. */

import { t } from '../../messages/messages.js';

/** @import {DeviceLost, Resumable} from '../../types.js' */

/** So long a loss counts: after it the page helps itself again. */
const FORGET_AFTER_MS = 120_000;

/** Decides whether the page asks for the GPU by itself. */
export class Losses {
  /** @param {() => number} [now] milliseconds */
  constructor(now = () => performance.now()) {
    this.now = now;
    this.last = -Infinity;
  }

  /** Note a loss. @returns {boolean} whether to ask again at once; a second time a person has to */
  note() {
    const isFirst = this.now() - this.last > FORGET_AFTER_MS;
    this.last = this.now();
    return isFirst;
  }
}

/** @param {DeviceLost['job']} job */
export function whatEnded(job) {
  switch (job) {
    case 'training': return t('It ended the run.');
    case 'loading': return t('It ended the loading of the model.');
    case 'checking': return t('It ended the check.');
    case 'generating': return t('It ended the answer or the evaluation.');
    default: return '';
  }
}

/**
 * What is said when the model is there again.
 * @param {DeviceLost} loss
 * @param {string} model
 * @param {Resumable|null} resumable
 * @param {boolean} hasAdapter
 */
export function describeReturn({ job, gone }, model, resumable, hasAdapter) {
  const back = model ? t('The GPU went away and is back; {model} is loaded.', { model }) : t('The GPU went away and is back.');
  const parts = [back, whatEnded(job)];
  if (job === 'training') {
    if (resumable?.is_this_model) parts.push(t('It can go on from step {step} of {total}.', { step: resumable.step, total: resumable.num_steps }));
    else if (hasAdapter) parts.push(t('What it had learnt up to the last copy is on the shelf.'));
    else parts.push(t('It had kept nothing yet: begin it anew.'));
  }
  parts.push(t('Your text, settings and chat are as they were.'), ...gone.map((sentence) => t(sentence)));
  return parts.filter(Boolean).join(' ');
}

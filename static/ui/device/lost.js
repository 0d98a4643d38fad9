// @ts-check
/**
 * When the GPU goes away (its driver restarts, the browser takes it back): what happened is said,
 * it is asked for once more without being told to, and the model is loaded again. Chrome refuses
 * a page that lost it twice for two minutes, or until the page is reloaded.
 */

import { t } from '../../messages/messages.js';
import { state, watch } from '../../store.js';
import { announce } from '../messages.js';
import { clearNotice, showNotice } from '../notices.js';
import { reload } from '../model/model.js';
import { train } from '../run/run.js';

/** @import {Studio} from '../../api.js' */
/** @import {DeviceLost, Resumable} from '../../types.js' */
/** @import {Action} from '../notices.js' */

/** So long a loss counts: after it the page helps itself again. */
const FORGET_AFTER_MS = 120_000;
const KEY = 'device-lost';

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
  const back = model ? t('The GPU went away and is back; {model} is loaded again.', { model }) : t('The GPU went away and is back.');
  const parts = [back, whatEnded(job)];
  if (job === 'training') {
    if (resumable?.is_this_model) parts.push(t('It can go on from step {step} of {total}.', { step: resumable.step, total: resumable.num_steps }));
    else if (hasAdapter) parts.push(t('What it had learnt up to the last copy is on the shelf.'));
    else parts.push(t('It had kept nothing yet: begin it anew.'));
  }
  parts.push(t('Your text, settings and chat are as they were.'), ...gone.map((sentence) => t(sentence)));
  return parts.filter(Boolean).join(' ');
}

/** @param {Studio} studio */
export function mountLost(studio) {
  const losses = new Losses();
  let turn = 0;
  /** What the last loss took, until the GPU is back. @type {DeviceLost|null} */
  let open = null;

  /** @param {Studio} line @param {Resumable} run @returns {Action} */
  const goOn = (line, run) => ({
    label: t('Go on from step {step}', { step: run.step }),
    act: () => {
      clearNotice(KEY);
      void train(line, true);
    },
  });

  function showBack() {
    if (!open) return;
    const { resumable, model } = state;
    const text = describeReturn(open, model?.name ?? '', resumable, state.adapter !== null);
    const canGoOn = open.job === 'training' && resumable?.is_this_model && state.hasCorpus;
    showNotice(KEY, text, { actions: canGoOn ? [goOn(studio, resumable)] : [] });
    open = null;
  }

  /** @param {DeviceLost} loss */
  async function recover(loss) {
    const mine = ++turn;
    showNotice(KEY, [t(loss.message), whatEnded(loss.job), t('Asking for it again…')].filter(Boolean).join(' '), { canDismiss: false });
    let reason = '';
    try {
      // What cannot be loaded is told by the model itself, as ever.
      if (!(await reload(studio)) && state.status !== 'error') await studio.request('diagnose', { measure: false });
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    }
    if (mine !== turn) return; // it went away again
    if (state.model || (!reason && state.status !== 'error')) showBack();
    else ask(loss);
  }

  /** @param {DeviceLost} loss */
  function ask(loss) {
    const text = [t(loss.message), whatEnded(loss.job),
      t('Chrome gives a page that lost the GPU twice no other one for two minutes, or until the page is reloaded: try again then, or download what you want to keep and reload.'),
      ...loss.gone.map((sentence) => t(sentence))].filter(Boolean).join(' ');
    showNotice(KEY, text, { actions: [{ label: t('Try again'), act: () => void recover(loss) }], canDismiss: false });
    announce(t(loss.message));
  }

  studio.on('device-lost', (/** @type {DeviceLost} */ loss) => {
    // What two losses in a row took is told together.
    const gone = [...new Set([...(open?.gone ?? []), ...loss.gone])];
    open = { ...loss, job: loss.job === 'loading' && open?.job ? open.job : loss.job, gone };
    if (losses.note()) void recover(open);
    else {
      turn += 1;
      ask(open);
    }
  });
  // A model that a person chose meanwhile ends it as well.
  watch(['model', 'status'], () => {
    if (state.model && state.status === 'ready') showBack();
  });
}

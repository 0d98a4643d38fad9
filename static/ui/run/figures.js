// @ts-check
/** The figures of the run: step, loss, tokens, their rate, time left, how busy the GPU is. */

import { plural, t } from '../../messages/messages.js';
import { isRunning, state } from '../../store.js';
import { epochsOf } from '../console/columns.js';
import { trackOf } from '../console/track.js';
import { byId, element, setNumber, setProgress, setText } from '../dom.js';
import { formatCount, formatEta, formatFixed, formatLoss, formatRate } from '../format.js';

/** @import {Run} from '../../types.js' */

/** @param {Run|null} run */
function renderBusy(run) {
  const busy = run ? trackOf(run).lastBusy : null;
  element('figure-busy').hidden = busy === null;
  setNumber(element('gpu-busy'), busy, (share) => `${formatCount(100 * share)} %`);
  const isTimed = state.gpu?.features.includes('timestamp-query');
  element('figure-busy').title = isTimed
    ? t('Share of the time in which the GPU computed, by its own clock')
    : t('Share of the time in which the GPU had work, from each submit until the browser said that it was done; the wait for that answer counts as work');
}

/**
 * @param {Run|null} run
 * @param {string} phase what goes on between its steps
 * @param {number|null} left seconds still to go
 */
export function renderFigures(run, phase, left) {
  const last = run?.steps.at(-1);
  byId('figures', HTMLDListElement).toggleAttribute('data-empty', !last);
  setNumber(element('step'), last?.step, formatCount);
  setText(element('step-total'), last && run?.numSteps ? `/ ${formatCount(run.numSteps)}` : '');
  setNumber(element('loss'), last?.loss, formatLoss);
  setNumber(element('tokens'), last?.num_tokens, formatCount);
  setNumber(element('epochs'), run && last ? epochsOf(run, last.num_tokens) : null, (value) => formatFixed(value, 2));
  setNumber(element('throughput'), last?.tokens_per_second, formatRate);
  setNumber(element('eta'), left, formatEta);
  setNumber(element('foot-eta'), left, formatEta);
  const bar = byId('run-progress', HTMLProgressElement);
  if (run && !last && isRunning()) setProgress(bar, run.fraction);
  else setProgress(bar, last && run?.numSteps ? last.step / run.numSteps : 0);
  setText(element('phase'), phase);
  const skipped = run ? trackOf(run).numSkipped : 0;
  renderBusy(run);
  element('skipped').hidden = skipped === 0;
  setText(element('skipped'), plural(skipped, { one: '{count} step skipped: the loss was not a number', other: '{count} steps skipped: the loss was not a number' }));
}

// @ts-check
/** Perplexity of base and trained model on the text at hand or on other text, and what it says. */

import { t } from '../../messages/messages.js';
import { isRunning, state, update, watch } from '../../store.js';
import { other } from '../chat/voices.js';
import { button, element, make, setNumber, setText, textarea } from '../dom.js';
import { formatFixed, formatPerplexity } from '../format.js';
import { clearError, showFailure } from '../messages.js';
import { runRequest } from '../plan/plan.js';
import { PLACES, verdictOf } from './verdict.js';

/** @import {Studio} from '../../api.js' */
/** @import {Evaluation} from '../../types.js' */

/** @param {Studio} studio */
async function evaluate(studio) {
  if (state.evaluating) {
    studio.request('stop').catch(showFailure);
    return;
  }
  clearError();
  update({ evaluating: t('Starting…') });
  try {
    const text = textarea('evaluate-text').value.trim();
    const wanted = { ...runRequest(), use_tuned: other()?.isTuned ?? false };
    const result = await studio.request('evaluate', text ? { ...wanted, text } : wanted);
    if (!result.stopped) update({ evaluation: result });
  } catch (error) {
    update({ evaluation: null }); // what stood there answered another question
    showFailure(error, 'evaluation');
  }
  update({ evaluating: '' });
}

function describe() {
  const { evaluation, evaluating } = state;
  if (evaluating) return evaluating;
  if (!evaluation) return t('How surprised the model is by your text; lower is better.');
  const values = { number: evaluation.base.num_predicted, place: t(PLACES[evaluation.source]) };
  return evaluation.shortened
    ? t('On {number} tokens of {place}, as many as this GPU reads in half a minute; lower is better.', values)
    : t('On {number} tokens of {place}; lower is better.', values);
}

/** @param {Evaluation|null} evaluation */
function renderVerdict(evaluation) {
  const [word, why] = evaluation ? verdictOf(evaluation) : ['', ''];
  element('verdict').hidden = !word;
  setText(element('verdict-word'), word);
  setText(element('verdict-why'), why);
  element('passages').hidden = !evaluation?.passages.length;
  element('passage-rows').replaceChildren(...(evaluation?.passages ?? []).map(({ text, is_cut, base, lora }) => make('tr', {},
    make('th', { scope: 'row', translate: 'no', text: is_cut ? `${text}…` : text }), make('td', { text: formatFixed(base, 3) }), make('td', { text: formatFixed(lora, 3) }),
    make('td', { class: lora < base ? 'better' : 'worse', text: `${lora < base ? '−' : '+'}${formatFixed(Math.abs(lora - base), 3)}` }))));
}

/** @param {Studio} studio */
export function mountEvaluate(studio) {
  studio.on('evaluate-progress', ({ which, fraction }) => {
    const values = { percent: Math.floor(fraction * 100) };
    if (state.evaluating) update({ evaluating: which === 'base' ? t('Reading with the base model: {percent} %', values) : t('Reading with the trained model: {percent} %', values) });
  });
  button('evaluate').addEventListener('click', () => void evaluate(studio));
  textarea('evaluate-text').addEventListener('input', () => clearError('evaluation'));
  watch(['corpusVersion'], () => {
    update({ evaluation: null });
    clearError('evaluation');
  });
  watch(['tuned', 'useTuned', 'adapter'], () => setText(element('ppl-who'), other()?.isTuned ? t('Tuned') : 'LoRA'));
  watch(['evaluation'], () => {
    setNumber(element('ppl-base'), state.evaluation?.base.perplexity, formatPerplexity);
    setNumber(element('ppl-lora'), state.evaluation?.lora?.perplexity, formatPerplexity);
    renderVerdict(state.evaluation);
  });
  watch(['evaluation', 'evaluating', 'status', 'model', 'run'], () => {
    setText(element('ppl-hint'), describe());
    setText(button('evaluate'), state.evaluating ? t('Stop') : t('Evaluate'));
    button('evaluate').disabled = !state.evaluating && (state.model === null || isRunning() || state.status !== 'ready');
  });
}

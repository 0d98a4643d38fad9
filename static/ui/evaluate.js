// @ts-check
/** Perplexity of base and adapter on the text at hand or on other text, and what it says of the adapter. */

import { isRunning, state, update, watch } from '../store.js';
import { button, element, make, setNumber, setText, textarea } from './dom.js';
import { formatCount, formatPerplexity } from './format.js';
import { clearError, showFailure } from './messages.js';
import { runRequest } from './plan.js';

/** @import {Studio} from '../api.js' */
/** @import {Evaluation} from '../types.js' */

const EXPLANATION = 'How surprised the model is by your text; lower is better.';
const PLACES = { 'held-out': 'text kept out of training', learnt: 'the text it learns from', pasted: 'the other text' };

/** @param {Studio} studio */
async function evaluate(studio) {
  if (state.evaluating) {
    studio.request('stop').catch(showFailure);
    return;
  }
  clearError();
  update({ evaluating: 'Starting' });
  try {
    const text = textarea('evaluate-text').value.trim();
    const result = await studio.request('evaluate', text ? { ...runRequest(), text } : runRequest());
    if (!result.stopped) update({ evaluation: result });
  } catch (error) {
    showFailure(error);
  }
  update({ evaluating: '' });
}

function describe() {
  const { evaluation, evaluating } = state;
  if (evaluating) return evaluating;
  if (!evaluation) return EXPLANATION;
  return `On ${formatCount(evaluation.base.num_predicted)} tokens of ${PLACES[evaluation.source]}${evaluation.shortened ? ', as many as this GPU reads in half a minute' : ''}; lower is better.`;
}

/** @param {number} nats a token */
const nats = (nats) => `${Math.abs(nats).toFixed(3)} nats a token`;

/**
 * What the numbers say, in plain words.
 * @param {Evaluation} evaluation
 * @returns {[string, string]} the verdict, and why
 */
export function verdictOf({ judgement, source }) {
  if (!judgement) return ['', ''];
  const { verdict, gain, margin, train_gain, num_better, num_passages } = judgement;
  const place = PLACES[source];
  const passages = `${formatCount(num_better)} of ${formatCount(num_passages)} ${num_passages === 1 ? 'passage' : 'passages'} got easier.`;
  const chance = `differences below ${margin.toFixed(3)} may be chance`;
  if (verdict === 'learned') {
    const caution = source === 'learnt' ? ' Whether it only knows this text by heart cannot be told: keep some aside under Plan & settings.' : '';
    return ['Learned.', `The adapter finds ${place} easier by ${nats(gain)} (${chance}). ${passages}${caution}`];
  }
  if (verdict === 'overfit' && train_gain !== null) {
    return ['Overfit.', `The text that it learnt from became easier by ${nats(train_gain)}, but ${place} did not: ${gain < 0 ? 'harder' : 'easier'} by ${nats(gain)} (${chance}). ${passages} Train with more text, or for fewer steps.`];
  }
  if (verdict === 'worse') {
    return ['Worse.', `The adapter finds ${place} harder by ${nats(gain)} (${chance}). ${passages} Lower the learning rate, or the adapter’s strength.`];
  }
  return ['Unchanged.', `On ${place} base and adapter differ by ${nats(gain)} (${chance}). ${passages} Train longer, or with a higher learning rate.`];
}

/** @param {Evaluation|null} evaluation */
function renderVerdict(evaluation) {
  const [word, why] = evaluation ? verdictOf(evaluation) : ['', ''];
  element('verdict').hidden = !word;
  setText(element('verdict-word'), word);
  setText(element('verdict-why'), why);
  element('passages').hidden = !evaluation?.passages.length;
  element('passage-rows').replaceChildren(...(evaluation?.passages ?? []).map(({ text, is_cut, base, lora }) => make('tr', {},
    make('th', { scope: 'row', text: is_cut ? `${text}…` : text }), make('td', { text: base.toFixed(3) }), make('td', { text: lora.toFixed(3) }),
    make('td', { class: lora < base ? 'better' : 'worse', text: `${lora < base ? '−' : '+'}${Math.abs(lora - base).toFixed(3)}` }))));
}

/** @param {Studio} studio */
export function mountEvaluate(studio) {
  studio.on('evaluate-progress', ({ which, fraction }) => {
    if (state.evaluating) update({ evaluating: `Reading with ${which === 'base' ? 'the base model' : 'the adapter'}: ${Math.floor(fraction * 100)} %` });
  });
  button('evaluate').addEventListener('click', () => void evaluate(studio));
  watch(['corpusVersion'], () => update({ evaluation: null }));
  watch(['evaluation'], () => {
    setNumber(element('ppl-base'), state.evaluation?.base.perplexity, formatPerplexity);
    setNumber(element('ppl-lora'), state.evaluation?.lora?.perplexity, formatPerplexity);
    renderVerdict(state.evaluation);
  });
  watch(['evaluation', 'evaluating', 'status', 'model', 'run'], () => {
    setText(element('ppl-hint'), describe());
    setText(button('evaluate'), state.evaluating ? 'Stop' : 'Evaluate');
    button('evaluate').disabled = !state.evaluating && (state.model === null || isRunning() || state.status !== 'ready');
  });
}

// @ts-check
/** Perplexity of base and adapter on the text at hand. */

import { isRunning, state, update, watch } from '../store.js';
import { button, element, setNumber, setText } from './dom.js';
import { formatCount, formatPerplexity } from './format.js';
import { clearError, showFailure } from './messages.js';
import { runRequest } from './plan.js';

/** @import {Studio} from '../api.js' */

const EXPLANATION = 'How surprised the model is by your text; lower is better.';

/** @param {Studio} studio */
async function evaluate(studio) {
  if (state.evaluating) {
    studio.request('stop').catch(showFailure);
    return;
  }
  clearError();
  update({ evaluating: 'Starting' });
  try {
    const result = await studio.request('evaluate', runRequest());
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
  const where = evaluation.held_out ? 'text kept out of training' : 'your text';
  return `On ${formatCount(evaluation.base.num_predicted)} tokens of ${where}${evaluation.shortened ? ', as many as this GPU does in half a minute' : ''}; lower is better.`;
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
  });
  watch(['evaluation', 'evaluating', 'status', 'model', 'run'], () => {
    setText(element('ppl-hint'), describe());
    setText(button('evaluate'), state.evaluating ? 'Stop' : 'Evaluate');
    button('evaluate').disabled = !state.evaluating && (state.model === null || isRunning() || state.status !== 'ready');
  });
}

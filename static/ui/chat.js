// @ts-check
/** Talking to the model, with the adapter off or on. */

import { state, update, watch } from '../store.js';
import { addQuestion, AnswerBubble, showEmpty } from './chat-log.js';
import { button, byId, element, input, make, setText, textarea } from './dom.js';
import { announce, clearError, showFailure } from './messages.js';

/** @import {Studio} from '../api.js' */
/** @import {Answer, Message} from '../types.js' */

const FIRST_QUESTIONS = ['Explain gravity in one sentence.', 'Write two lines about the sea.'];

/** @type {Message[]} */
let messages = [];
/** @type {{id: number, bubble: AnswerBubble}|null} */
let answering = null;

const settings = { temperature: 0, max_new_tokens: 128, raw: false };

const canSend = () => state.model !== null && answering === null && (state.status === 'ready' || state.status === 'paused');

/** @param {Studio} studio */
async function send(studio) {
  const box = textarea('chat-input');
  const question = box.value.trim();
  if (!question || !canSend()) return;
  clearError();
  const log = element('chat-log');
  const asked = addQuestion(log, question);
  const bubble = new AnswerBubble(log, state.useLora);
  box.value = '';
  const turn = [...messages, { role: /** @type {const} */ ('user'), content: question }];
  try {
    /** @type {Answer} */
    const answer = await studio.request('chat', { messages: turn, use_lora: state.useLora, ...settings }, (id) => {
      answering = { id, bubble };
      render();
    });
    bubble.finish(answer);
    messages = [...turn, { role: 'assistant', content: answer.text }];
    announce(`${state.useLora ? 'LoRA' : 'Base'} says: ${answer.text}`);
  } catch (error) {
    // Nothing that was typed is lost: the question goes back into the box.
    bubble.remove();
    asked.remove();
    if (!box.value) box.value = question;
    if (!messages.length) showEmpty(log);
    showFailure(error);
  }
  answering = null;
  render();
}

function render() {
  button('chat-send').disabled = !canSend();
  button('chat-send').hidden = answering !== null;
  button('chat-stop').hidden = answering === null;
  button('chat-clear').disabled = messages.length === 0 || answering !== null;
  const box = input('use-lora');
  box.disabled = state.adapter === null;
  box.checked = state.useLora && state.adapter !== null;
  box.title = state.adapter === null ? 'Train an adapter or load one first' : '';
  const waiting = state.model === null ? (state.supported ? 'The model is still loading; you can type already' : 'Ask the model something')
    : state.status === 'training' ? 'Training is on: pause it to talk' : `Ask ${state.useLora ? 'the trained model' : 'the base model'} something`;
  textarea('chat-input').placeholder = waiting;
  renderSuggestions();
}

function renderSuggestions() {
  const questions = state.question ? [state.question] : messages.length === 0 ? FIRST_QUESTIONS : [];
  const place = element('chat-suggest');
  if (place.dataset['for'] === questions.join('|')) return;
  place.dataset['for'] = questions.join('|');
  place.replaceChildren(...questions.map((question) => {
    const chip = make('button', { type: 'button', text: question });
    chip.addEventListener('click', () => {
      textarea('chat-input').value = question;
      if (canSend()) byId('chat-form', HTMLFormElement).requestSubmit();
      else textarea('chat-input').focus();
    });
    return chip;
  }));
}

function mountSettings() {
  const temperature = make('input', { id: 'chat-temperature', type: 'range', min: '0', max: '1.5', step: '0.1', value: '0' });
  const shown = make('span', { text: '0' });
  temperature.addEventListener('input', () => {
    settings.temperature = temperature.valueAsNumber;
    setText(shown, temperature.value);
  });
  const length = make('input', { id: 'chat-length', type: 'number', min: '1', max: '2048', step: '1', value: String(settings.max_new_tokens) });
  length.addEventListener('change', () => {
    settings.max_new_tokens = Math.min(2048, Math.max(1, Math.round(length.valueAsNumber || 128)));
    length.value = String(settings.max_new_tokens);
  });
  const raw = make('input', { id: 'chat-raw', type: 'checkbox' });
  raw.addEventListener('change', () => (settings.raw = raw.checked));
  element('chat-fields').append(
    make('label', { class: 'field', for: 'chat-temperature' }, make('span', {}, 'Temperature ', shown), temperature,
      make('small', { text: '0 always takes the likeliest word; higher is freer.' })),
    make('label', { class: 'field', for: 'chat-length' }, make('span', { text: 'Longest answer, in tokens' }), length),
    make('label', { class: 'field check', for: 'chat-raw' }, raw, make('span', { text: 'Continue my text instead of answering' }),
      make('small', { text: 'Leaves out the chat format: the model goes on where your message ends.' })));
  button('chat-settings-open').addEventListener('click', () => byId('chat-dialog', HTMLDialogElement).showModal());
}

/** @param {Studio} studio */
export function mountChat(studio) {
  studio.on('token', ({ request, text }) => {
    if (answering && answering.id === request) answering.bubble.add(text);
  });
  const box = textarea('chat-input');
  byId('chat-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    void send(studio);
  });
  box.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    void send(studio);
  });
  button('chat-stop').addEventListener('click', () => studio.request('chat-stop').catch(showFailure));
  button('chat-clear').addEventListener('click', () => {
    messages = [];
    showEmpty(element('chat-log'));
    render();
  });
  input('use-lora').addEventListener('change', () => update({ useLora: input('use-lora').checked }));
  mountSettings();
  showEmpty(element('chat-log'));
  watch(['status', 'model', 'adapter', 'useLora', 'supported', 'question'], render);
}

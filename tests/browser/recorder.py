"""JavaScript of the tests in the page: what went between it and its worker, and when."""

# Keeps what is asked of the worker and what it posts, lets requests of a kind wait, presses a
# button the moment the worker says something, and asks the worker something beside the page.
RECORDER = """
(() => {
  const Plain = globalThis.Worker;
  if (!Plain) return;
  globalThis.lab = { events: [], requests: [], held: null, waiting: [], presses: [], answers: new Map() };
  globalThis.Worker = class extends Plain {
    constructor(url, options) {
      super(url, options);
      globalThis.lab.worker = this;
      this.addEventListener('message', ({ data }) => {
        lab.events.push({ at: performance.now(), ...data });
        lab.answers.get(data.id)?.(data);
        for (const press of lab.presses) {
          if (press.kind === data.type && (press.times -= 1) === 0) {
            setTimeout(() => { press.at = lab.events.length; document.querySelector(press.button).click(); }, press.after);
          }
        }
      });
    }
    postMessage(message, ...more) {
      if (message?.type === lab.held) return lab.waiting.push(() => super.postMessage(message, ...more));
      lab.requests.push({ id: message?.id, type: message?.type });
      return super.postMessage(message, ...more);
    }
  };
  let nextId = 1_000_000;
  lab.ask = (type, fields) => new Promise((resolve) => {
    const id = nextId++;
    lab.answers.set(id, resolve);
    lab.worker.postMessage({ ...fields, id, type });
  });
})();
"""  # noqa: E501


# Resolves once all that the page has been told by now is on the screen: it draws 80 ms after a
# change at the latest, in a frame; timers and frames come in the order they were asked for.
SETTLED = """() => new Promise((resolve) => {
  setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(() => resolve())), 100);
})"""

# The last request of a kind since then, answered; its error, where it has one.
ANSWER = """([kind, since]) => {
  const asked = lab.requests.slice(since).findLast(({ type }) => type === kind);
  return (asked && lab.events.find(({ id }) => id === asked.id)) ?? null;
}"""

# How many tokens the text has, in words and as a number.
COUNTED = """() => {
  const { dataset, textContent } = document.querySelector('[data-testid=corpus-count]');
  return /[Tt]oken/.test(textContent) && dataset.value;
}"""

# One more answer than there were is written to its end.
ANSWERED = """count => {
  const found = document.querySelectorAll('[data-testid=chat-log] [data-role=assistant]');
  return found.length > count && !('busy' in found[count].dataset);
}"""

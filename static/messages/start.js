// @ts-check
/**
 * Runs before the page is first painted, so that nobody sees it in one language and then in
 * another; and offers the choice where the page has room for it. With it comes what notes the
 * presses that the page cannot answer yet.
 */

import '../early.js';
import { translateDocument } from './document.js';
import { onReread } from '../kept/kept.js';
import { currentLanguage, LANGUAGES, switchLanguage } from './messages.js';

function offerLanguages() {
  const select = document.getElementById('language');
  if (!(select instanceof HTMLSelectElement)) return;
  select.replaceChildren(...Object.entries(LANGUAGES).map(([language, { name }]) => {
    const option = new Option(name, language);
    option.lang = language;
    return option;
  }));
  select.value = currentLanguage();
  const change = () => {
    const wanted = select.value;
    switchLanguage(wanted, translateDocument).catch(() => {
      if (select.value === wanted) select.value = currentLanguage(); // no network, and the language is not kept yet
    });
  };
  select.addEventListener('change', change);
  onReread('language', (now) => {
    if (!Object.hasOwn(LANGUAGES, now) || now === currentLanguage()) return;
    select.value = now;
    change();
  });
}

if (currentLanguage() !== 'en') translateDocument();
offerLanguages();
delete document.documentElement.dataset['words'];
performance.mark('words');

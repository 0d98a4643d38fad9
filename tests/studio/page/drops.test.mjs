// Which of several dropped files belongs where.

import assert from 'node:assert/strict';
import { test } from 'node:test';

const { kindsOf } = await import('../../../static/ui/drops.js');

/** @param {string[]} names */
function sorted(names) {
  const found = kindsOf(/** @type {any} */ (names.map((name) => ({ name, type: '' }))));
  return Object.fromEntries(Object.entries(found).map(([kind, files]) => [kind, [files ?? []].flat().map(({ name }) => name).join()]));
}

test('every file is taken or named', () => {
  assert.deepEqual(sorted(['a.txt', 'b.pdf', 'c.docx', 'd.safetensors', 'adapter_config.json', 'e.gguf', 'f.gguf', 'g.jsonl']), {
    adapters: 'd.safetensors', configs: 'adapter_config.json', model: 'e.gguf', more: 'f.gguf', texts: 'a.txt,g.jsonl', unread: 'b.pdf,c.docx',
  });
});

test('a text without an ending is read as one', () => {
  assert.deepEqual(sorted(['README', 'LICENSE', 'b.exe', '.hidden']), { adapters: '', configs: '', model: '', more: '', texts: 'README,LICENSE', unread: 'b.exe,.hidden' });
});

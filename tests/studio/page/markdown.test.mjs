// Markdown becomes plain data; nothing a model writes becomes markup, an address or a long wait.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMarkdown } from '../../../static/ui/markdown/markdown.js';
import { addressOf, parseInline } from '../../../static/ui/markdown/inline.js';

const text = (value) => ({ type: 'text', text: value });

/** All text of some blocks, as a screen shows it. */
function shown(blocks) {
  const inline = (parts) => parts.map((part) => part.text ?? inline(part.inline)).join('');
  return blocks.map((block) => {
    if (block.type === 'code') return block.text;
    if (block.type === 'list') return block.items.map(shown).join('\n');
    if (block.type === 'quote') return shown(block.blocks);
    if (block.type === 'table') return [block.head, ...block.rows].map((row) => row.map(inline).join('|')).join('\n');
    return block.type === 'rule' ? '' : inline(block.inline);
  }).join('\n');
}

const types = (source) => parseMarkdown(source).map((block) => block.type);

test('emphasis, code and links', () => {
  assert.deepEqual(parseInline('a **b *c*** d'), [
    text('a '), { type: 'strong', inline: [text('b '), { type: 'em', inline: [text('c')] }] }, text(' d'),
  ]);
  assert.deepEqual(parseInline('use `x < y` and ``a`b``'), [
    text('use '), { type: 'code', text: 'x < y' }, text(' and '), { type: 'code', text: 'a`b' },
  ]);
  assert.deepEqual(parseInline('~~old~~ __new__'), [
    { type: 'strike', inline: [text('old')] }, text(' '), { type: 'strong', inline: [text('new')] },
  ]);
  assert.deepEqual(parseInline('see [the paper](https://arxiv.org/abs/2106.09685).'), [
    text('see '), { type: 'link', text: 'the paper', href: 'https://arxiv.org/abs/2106.09685' }, text('.'),
  ]);
});

test('signs that mean nothing stay as they are', () => {
  for (const plain of ['2 * 3 * 4', 'snake_case_name', 'a ** b', '*', '**', '****', '`', 'half `open', '[no](link', 'a\nb', '~ 5 ~', '**open', '_ _']) {
    assert.deepEqual(parseInline(plain), [text(plain)], plain);
  }
  assert.deepEqual(parseInline('\\*not\\* \\`this\\`'), [text('*not* `this`')]);
});

test('blocks', () => {
  const source = '# Title ##\nintro\nmore\n\n- one\n  - deep\n- two\n\n3. three\n4. four\n\n> said\n> so\n\n---\n```js\nif (a < b) {}\n```\n| a | b |\n|---|:-:|\n| 1 | **2** | 3 |\nend';
  assert.deepEqual(types(source), ['heading', 'paragraph', 'list', 'list', 'quote', 'rule', 'code', 'table', 'paragraph']);
  const [heading, intro, bullets, numbers, , , code, table] = parseMarkdown(source);
  assert.deepEqual(heading, { type: 'heading', level: 1, inline: [text('Title')] });
  assert.deepEqual(intro.inline, [text('intro\nmore')]);
  assert.equal(bullets.items.length, 2);
  assert.deepEqual(bullets.items[0].map((block) => block.type), ['paragraph', 'list']);
  assert.equal(numbers.start, 3);
  assert.deepEqual(code, { type: 'code', language: 'js', text: 'if (a < b) {}' });
  assert.deepEqual(table.rows, [[[text('1')], [{ type: 'strong', inline: [text('2')] }], [text('3')]]]);
});

test('a code block that is still being written is one already, and a heading may end in a sharp', () => {
  assert.deepEqual(parseMarkdown('```py\nprint(1)'), [{ type: 'code', language: 'py', text: 'print(1)' }]);
  assert.deepEqual(parseMarkdown('# C#')[0].inline, [text('C#')]);
  assert.deepEqual(types('1. a\n\n2. b\n   more\n\n   - c'), ['list']);
});

test('markup stays text', () => {
  const hostile = [
    '<script>alert(1)</script>', '<img src=x onerror=alert(1)>', '&lt;b&gt; &amp;', '<!-- x -->',
    '</div><iframe srcdoc="<p>">', '<svg/onload=alert(1)>',
  ];
  for (const line of hostile) assert.equal(shown(parseMarkdown(line)), line);
  assert.equal(shown(parseMarkdown(`- ${hostile[0]}`)), hostile[0]);
  assert.equal(shown(parseMarkdown(`| ${hostile[1]} |\n|---|`)), hostile[1]);
});

test('only the web can be linked to', () => {
  for (const bad of ['javascript:alert(1)', 'JaVaScRiPt:alert(1)', 'data:text/html,<script>', 'vbscript:x', 'file:///etc/passwd', 'blob:https://a/b', '//evil.example', '/local', 'https://user:pass@host/', 'https://', '\u0001javascript:alert(1)']) {
    assert.equal(addressOf(bad), null, bad);
    const line = `[click](${bad})`;
    assert.ok(!JSON.stringify(parseMarkdown(line)).includes('"href"'), bad);
    assert.equal(shown(parseMarkdown(line)), line);
  }
  // What is shown is what the browser will open: a look-alike host shows its real letters.
  assert.equal(addressOf('https://аpple.com/'), 'https://xn--pple-43d.com/');
  // A picture is never fetched: its sign and its text stay, its address is one to click.
  assert.deepEqual(parseInline('![x](https://example.org/x.png)')[0], text('!'));
});

test('no text keeps the page busy or nests without end', () => {
  const many = 20_000;
  const bombs = [
    '*'.repeat(many), '*a '.repeat(many), '**a*'.repeat(many), '_*'.repeat(many), '`'.repeat(many), '` `` ``` '.repeat(many / 8),
    '['.repeat(many), '[a]('.repeat(many), '[a](https://a'.repeat(many / 8), '>'.repeat(many), '> '.repeat(many), '- '.repeat(many), `${'- '.repeat(many)}x`,
    '1. '.repeat(many), '#'.repeat(many), `# ${' '.repeat(many)}`, `# a${'#'.repeat(many)}b`, '|'.repeat(many), `${'|'.repeat(many)}\n${'|-'.repeat(many)}`,
    '\n'.repeat(many), ' '.repeat(many), `\`\`\`${' '.repeat(many)}\``, '~'.repeat(many), '\\'.repeat(many), '- a\n'.repeat(many), '  - a\n\n'.repeat(many), '\0'.repeat(many), '\u202e'.repeat(many),
    Array.from({ length: 500 }, (_, index) => `${' '.repeat(index)}- a`).join('\n'), '*_'.repeat(many) + 'x' + '_*'.repeat(many),
  ];
  const depth = (value) => (value && typeof value === 'object' ? 1 + Math.max(0, ...Object.values(value).map(depth)) : 0);
  for (const bomb of bombs) {
    // The processor's time, not the clock's: what else the machine does is not this text's fault.
    const before = process.cpuUsage();
    const blocks = parseMarkdown(bomb);
    const { user, system } = process.cpuUsage(before);
    const took = (user + system) / 1000;
    assert.ok(took < 1000, `${JSON.stringify(bomb.slice(0, 12))}: ${took} ms`);
    assert.ok(blocks.every((block) => depth(block) < 80), bomb.slice(0, 12));
  }
});

test('random text neither throws nor gains a letter', () => {
  const signs = ['*', '**', '_', '`', '```', '\n', '\n\n', '- ', '1. ', '> ', '# ', '[', '](', ')', '|', '|-|', ' ', 'word', '<b>', '&', '\\', '~~', '    '];
  let seed = 1;
  const random = (limit) => (seed = (seed * 1103515245 + 12345) % 2147483648) % limit;
  for (let round = 0; round < 3000; round += 1) {
    const source = Array.from({ length: random(40) }, () => signs[random(signs.length)]).join('');
    const letters = (value) => value.replace(/[^a-z<&]/g, '');
    assert.ok(letters(source).length >= letters(shown(parseMarkdown(source))).length, source);
  }
});

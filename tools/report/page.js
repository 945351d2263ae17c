'use strict';
(() => {
  const root = document.documentElement;
  root.classList.add('js');
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector, within = document) => within.querySelector(selector);
  const table = one('#comparison');
  const bodies = all('tbody', table);

  // Theme: as the system has it until somebody says otherwise. Storage may be forbidden.
  const theme = one('#theme');
  const stored = () => { try { return localStorage.getItem('ebb-theme'); } catch { return null; } };
  const dark = () => root.dataset.theme
    ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  const name_theme = () => { theme.textContent = dark() ? 'Light' : 'Dark'; };
  if (['light', 'dark'].includes(stored())) root.dataset.theme = stored();
  theme.hidden = false;
  name_theme();
  theme.addEventListener('click', () => {
    root.dataset.theme = dark() ? 'light' : 'dark';
    try { localStorage.setItem('ebb-theme', root.dataset.theme); } catch { /* only for now, then */ }
    name_theme();
  });

  // A configuration is lit wherever it is drawn: while the pointer is on it, or until it is let go.
  const chosen = one('#chosen');
  let pinned = '';
  const describe = (id) => {
    const body = bodies.find((each) => each.dataset.c === id);
    if (!body) return;
    const text = (selector) => one(selector, body)?.textContent.trim();
    const name = document.createElement('b');
    name.textContent = one('.pick', body).title;
    const facts = [['score', ''], ['difference', 'to baseline '], ['separates', 'separates: '],
      ['cost', 'cost '], ['n', 'n = ']];
    const spans = facts.filter(([key]) => !['–', undefined].includes(text(`[data-k="${key}"]`)))
      .map(([key, before]) => {
        const span = document.createElement('span');
        span.textContent = before + text(`[data-k="${key}"]`);
        return span;
      });
    chosen.replaceChildren(name, ...spans);
  };
  const light = (id, run = '') => {
    for (const each of all('.c')) each.classList.toggle('lit', id !== '' && each.dataset.c === id);
    for (const each of all('.r')) each.classList.toggle('lit-run', run !== '' && each.dataset.r === run);
    root.classList.toggle('lit-any', id !== '');
    chosen.hidden = id === '';
    if (id !== '') describe(id);
  };
  const pin = (id) => {
    pinned = id;
    light(id);
    for (const each of all('.pick'))
      each.setAttribute('aria-pressed', String(id !== '' && each.closest('.c').dataset.c === id));
  };
  const of = (target) => target.closest?.('.c')?.dataset.c ?? '';
  document.addEventListener('pointerover', (event) => {
    const drawn = event.target.closest?.('svg, #answer, .pick') ? of(event.target) : '';
    const run = event.target.closest?.('.r')?.dataset.r ?? '';
    if (drawn !== '' || run !== '') light(drawn || of(event.target), run);
    else light(pinned);
  });
  document.addEventListener('click', (event) => {
    const mark = event.target.closest('svg .c, #answer .c, .pick');
    if (mark) pin(of(mark) === pinned ? '' : of(mark));
    else if (!event.target.closest('button, input, table, summary')) pin('');
  });
  document.addEventListener('keydown', (event) => { if (event.key === 'Escape') pin(''); });

  // The table: runs of a configuration, order, filter, commands.
  for (const button of all('.expand')) button.addEventListener('click', () => {
    const open = button.closest('tbody').classList.toggle('open');
    button.setAttribute('aria-expanded', String(open));
  });
  const value_of = (body, index) => {
    const cell = one('tr', body).cells[index];
    return cell.dataset.value !== undefined ? Number(cell.dataset.value) : cell.textContent.trim();
  };
  const compare = (a, b) => {
    const missing = (value) => value === '–' || value === '';
    if (missing(a) || missing(b)) return missing(a) - missing(b) || 0;
    if (typeof a === 'number' && typeof b === 'number') return a - b;
    return String(a).localeCompare(String(b), 'en', { numeric: true });
  };
  for (const button of all('.sort')) button.addEventListener('click', () => {
    const heading = button.closest('th');
    const descending = heading.getAttribute('aria-sort') === 'ascending';
    for (const each of all('th', heading.parentNode)) each.setAttribute('aria-sort', 'none');
    heading.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
    const sorted = bodies.map((body) => [value_of(body, heading.cellIndex), body]);
    sorted.sort(([a], [b]) => compare(a, b) * (descending ? -1 : 1));
    table.append(...sorted.map(([, body]) => body));
  });
  const filter = one('#filter');
  filter.addEventListener('input', () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    const out = new Set();
    for (const body of bodies) {
      const text = (one('.config', body).textContent + ' ' + one('.pick', body).title).toLowerCase();
      if (words.every((word) => text.includes(word))) ++shown;
      else out.add(body.dataset.c);
    }
    for (const each of all('.c')) each.classList.toggle('out', out.has(each.dataset.c));
    one('#count').textContent = words.length ? `${shown} of ${bodies.length} configurations` : '';
  });
  const copy = async (text) => {
    try { await navigator.clipboard.writeText(text); } catch {
      const area = document.createElement('textarea'); // where the clipboard is forbidden
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand('copy');
      area.remove();
    }
  };
  for (const button of all('.copy')) button.addEventListener('click', async () => {
    await copy(one('code', button.parentNode).textContent);
    button.textContent = 'copied';
    setTimeout(() => { button.textContent = 'copy'; }, 1500);
  });
})();

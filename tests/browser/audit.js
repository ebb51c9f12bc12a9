// What axe would call serious, as far as this page can offend: run inside it by test_looks.py.

// Everything a person can use has a name; ids are unique; what is hidden takes no focus.
function unnamed() {
  const named = (node) => node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.length
    || node.getAttribute('aria-labelledby') || node.getAttribute('title');
  const seen = (node) => node.checkVisibility({ visibilityProperty: true });
  const found = [];
  for (const node of document.querySelectorAll('button, a, input, select, textarea, [role=button], [role=dialog], dialog, img')) {
    if (!seen(node)) continue;
    if (node.tagName === 'IMG' ? !node.hasAttribute('alt') : !named(node)) found.push(`no name: ${node.outerHTML.slice(0, 120)}`);
  }
  const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
  for (const id of new Set(ids.filter((one, at) => ids.indexOf(one) !== at))) found.push(`id twice: ${id}`);
  for (const node of document.querySelectorAll('[aria-controls], [aria-labelledby], [aria-describedby]')) {
    for (const name of ['aria-controls', 'aria-labelledby', 'aria-describedby']) {
      for (const id of (node.getAttribute(name) || '').split(' ').filter(Boolean)) {
        if (!document.getElementById(id)) found.push(`${name} points nowhere: ${id}`);
      }
    }
  }
  for (const node of document.querySelectorAll('[aria-hidden=true] :is(a, button, input)')) found.push(`hidden, but takes focus: ${node.outerHTML.slice(0, 80)}`);
  const headings = [...document.querySelectorAll('h1')].filter(seen);
  if (headings.length !== 1) found.push(`${headings.length} first headings`);
  return found;
}

// WCAG 2: 4.5 to 1 for texts, 3 to 1 for large ones.
function pale(root = document.body) {
  const parse = (text) => text.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
  const light = ([r, g, b]) => [r, g, b].map((one) => one / 255).map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
  const over = (top, under) => { const a = top[3] ?? 1; return [0, 1, 2].map((at) => top[at] * a + under[at] * (1 - a)); };
  const ground = (node) => {
    const layers = [];
    for (let one = node; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if ((colour[3] ?? 1) > 0) layers.push(colour);
      if ((colour[3] ?? 1) === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const found = [];
  for (const node of root.querySelectorAll("*")) {
    const says = [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim());
    if (!says || !node.checkVisibility({ visibilityProperty: true, opacityProperty: true }) || node.closest('.unseen, :disabled, .skip, option')) continue;
    const style = getComputedStyle(node);
    const [one, other] = [light(over(parse(style.color), ground(node))), light(ground(node))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} ${node.className} ${node.textContent.trim().slice(0, 30)}`);
  }
  return found;
}

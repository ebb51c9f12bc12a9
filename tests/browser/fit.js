// Where a list does not fit: what sticks out of its box or the window, and ids that break over two lines.
// Run inside the page by test_lists.py.

const IDS = [
  /bmac-[0-9a-f]{12}/, // a gateway
  /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/, // a job
  /\b[RASMP]-\u2060?\d+/, // a rollout, an alert, a silence, a window, a policy
  /\bgateway-[\w.-]+\.bin/,
  /\b\d+\.\d+\.\d+(?:-[\w.]+)?/, // a version
  /[\d,.]*\d\s(?:s|min|h|d|%)(?!\w)/, // a length, a share
  /\bU0[A-Z0-9]{8}/,
].map((one) => one.source).join('|');

// A table scrolls by itself, as Slack's does; inside it nothing is cut, and nothing breaks.
function sticking(root) {
  const found = [];
  for (const node of [root, ...root.querySelectorAll('*')]) {
    if (!node.checkVisibility({ visibilityProperty: true }) || node.closest('.unseen, svg, option, .tools')) continue;
    const box = node.getBoundingClientRect();
    const says = `${node.tagName.toLowerCase()}.${node.className} ${node.textContent.trim().slice(0, 40)}`;
    const frame = node.closest('.block') ?? root;
    if (!node.closest('table') && box.right > Math.min(innerWidth, frame.getBoundingClientRect().right) + 1) found.push(`sticks out: ${says}`);
    if (node.matches('select')) {
      if (box.width < 60) found.push(`too narrow: ${says}`);
    } else if (!node.matches('.table') && node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).display !== 'inline') {
      found.push(`is cut: ${says}`);
    }
  }
  return found;
}

function broken(root) {
  const found = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.parentElement.checkVisibility() || node.parentElement.closest('option')) continue;
    for (const match of node.data.matchAll(new RegExp(IDS, 'g'))) {
      const range = document.createRange();
      range.setStart(node, match.index);
      range.setEnd(node, match.index + match[0].length);
      const tops = [...range.getClientRects()].filter((box) => box.width > 0).map((box) => Math.round(box.top));
      if (Math.max(...tops) - Math.min(...tops) > 4) found.push(`breaks: ${match[0]} in ${node.data.slice(0, 60)}`);
    }
  }
  return found;
}

// The text of the widget `indices`, such as "0, 2-4, 7-, -1", as a set of numbers and back.

// Returns the numbers below `count` that a text names; all of them for an empty text.
export function parse(text, count) {
  const parts = text.replaceAll(",", " ").split(/\s+/).filter(Boolean);
  const chosen = new Set();
  for (const part of parts) {
    const [, single, first, last] = part.match(/^(?:(-?\d+)|(\d+)-(\d*))$/) ?? [];
    const from = Number(single ?? first ?? NaN);
    const to = single !== undefined ? from : last ? Number(last) : count - 1;
    const [low, high] = from < 0 ? [count + from, count + from] : [from, to];
    for (let number = Math.max(low, 0); number <= Math.min(high, count - 1); number++)
      chosen.add(number);
  }
  if (!parts.length) for (let number = 0; number < count; number++) chosen.add(number);
  return chosen;
}

// Returns the shortest text that names these numbers; an empty one for all of `count`.
export function format(chosen, count) {
  const numbers = [...chosen].sort((a, b) => a - b);
  if (numbers.length === count) return "";
  const parts = [];
  for (let start = 0, end; start < numbers.length; start = end + 1) {
    end = start;
    while (numbers[end + 1] === numbers[end] + 1) end++;
    const [first, last] = [numbers[start], numbers[end]];
    if (end - start < 2) parts.push(...numbers.slice(start, end + 1));
    else parts.push(`${first}-${last}`);
  }
  return parts.join(", ");
}
